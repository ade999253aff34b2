"""Kernels of one row run over many rows: in chunks, compiled, on one device or several. Imports `geovq.validation`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
