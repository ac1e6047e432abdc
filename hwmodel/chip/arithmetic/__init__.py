"""What the arithmetic of a chip file may say beside one multiplier: rates by width, compute in memory."""
