"""The best mapping where every operand has a tile of its own in every memory."""
