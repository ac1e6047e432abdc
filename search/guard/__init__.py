"""What protects a run: hashes over its records, its code and its data; a time limit per candidate."""
