"""Autoencoders of other conventions: layouts, intensities, scales of latents, and results that are no arrays.

`adaptation` has `adapt`, which takes an autoencoder as its arguments state it, and `parts` names an array in a result. The other
files find what was not stated: `roundtrip` reconstructs images and checks shapes, `repairs` lists calls of `adapt`, `diagnosis`
tries them on functions that do not fit, and `reconstructions` compares values. Imports `adapters`, `precision` and `checks` of
this package, and no PyTorch.
"""
