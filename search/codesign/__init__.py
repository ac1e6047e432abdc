"""Configurations and designs together: what was finetuned once is priced on every design of the chip."""
