"""Networks: layers, the graph between them, and what it says before anything is priced."""
