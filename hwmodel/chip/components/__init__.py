"""Energy, area and leakage from what a part is: kind, size, technology. Every constant has its source."""
