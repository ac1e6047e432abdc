"""Figures: plots and pictures of networks."""
