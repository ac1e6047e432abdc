"""What moves on a terminal while something runs."""
