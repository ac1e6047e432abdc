"""Our types written for other tools."""
