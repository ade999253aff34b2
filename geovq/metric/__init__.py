"""Pullback metrics of a decoder, and the lengths that they give to edges and curves.

Imports `geovq.decoder` and the packages before it. `pullback` has the kernels of one latent, `batched` runs them over many.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
