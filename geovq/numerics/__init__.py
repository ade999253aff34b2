"""Matrix roots, quadratic forms, k-means, and codes that add up: NumPy and JAX on arrays alone. Imports `geovq.validation`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
