"""The op table of the tracer: one rule per op."""
