"""The commands of `hwmodel`, one file per subject. Heavy packages are imported inside the functions."""
