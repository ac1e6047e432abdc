"""Fidelities of finetuning: short runs before full ones, warm starts, and full runs that are ended early."""
