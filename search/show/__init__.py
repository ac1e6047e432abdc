"""A study as a notebook shows it: HTML, and figures."""
