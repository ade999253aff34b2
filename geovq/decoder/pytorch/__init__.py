"""Autoencoders in PyTorch as JAX functions, by torchax.

`modules` has `from_torch`. `copies` copies modules and takes their weights out, `functions` makes JAX functions of the copies,
and `environment` runs PyTorch's operations as JAX's. Imports `adapters`, `checks` and `conventions` of this package. PyTorch and
torchax are imported inside functions alone, so that GeoVQ works without them.
"""
