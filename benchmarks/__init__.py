"""What the claims rest on: benchmarks, each a script of its own."""
