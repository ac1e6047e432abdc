"""Other tools' words for our types."""
