"""The measured latent space: latents with their metrics, the graph between them, and codes in that graph.

Imports `geovq.medoids` and the packages before it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
