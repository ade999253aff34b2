"""Autoencoders that people have (TAESD, AutoencoderKL), and the networks of the FashionMNIST study: VAE, quantizers and GPT.

Imports `geovq.decoder` and the packages before it. `geovq.models.config` is free of JAX.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
