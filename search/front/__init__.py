"""Scored candidates as values: results, objectives, fronts and picks."""
