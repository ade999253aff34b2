"""Autoencoders in PyTorch, by torchax: `modules` has `from_torch`. Nothing of PyTorch is imported before it is called."""
