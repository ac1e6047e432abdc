"""Graphs and costs as trees, sums and notebook tables."""
