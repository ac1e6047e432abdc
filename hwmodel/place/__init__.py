"""Networks: where every tensor lives while the layers run, and what that makes of their costs."""
