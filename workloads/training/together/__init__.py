"""Many candidates trained as one: a candidate dim in front of every parameter, `torch.vmap` over the forward pass."""
