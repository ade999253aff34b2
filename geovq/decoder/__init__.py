"""Decoders and encoders of any library as functions that GeoVQ can trace, and the checks of them. Imports `geovq.batching`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
