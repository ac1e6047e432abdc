"""The search held against complete tables: every candidate of a small search really finetuned."""
