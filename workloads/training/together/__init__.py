"""Many candidates trained as one: a candidate dim on every parameter, `torch.vmap` over the forward pass."""
