"""One module per kind of reference file: how its cases are replayed through the public API."""
