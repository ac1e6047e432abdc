"""Other tools' files: what they write, read as our types, and our types written for them."""
