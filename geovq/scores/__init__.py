"""Scores of reconstructions, tokens and sets of images. Imports `geovq.batching` and the packages before it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
