"""`hwmodel compare`: finished and unfinished runs beside each other."""
