"""One replay per kind of reference file."""
