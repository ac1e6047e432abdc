"""What is stored: weight files, compressed states, codes and their lengths."""
