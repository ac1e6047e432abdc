"""Cycles in closed form: systolic arrays, engines fed by streams, and arrays that work block by block."""
