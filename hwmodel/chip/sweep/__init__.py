"""Ranges in a chip file: the chips that it stands for."""
