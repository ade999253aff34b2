"""Latents to tokens: one assigner a file (`base` says what each is), below them the nearest codes and the Gauss-Newton loop.

Imports `geovq.geometry` and the packages before it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
