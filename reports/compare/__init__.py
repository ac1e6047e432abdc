"""Runs beside runs, and a network on several accelerators."""
