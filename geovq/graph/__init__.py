"""Graphs of nearest neighbours: built, joined, re-weighted, and new points attached to them. Imports `geovq.metric`.

A graph is a `scipy.sparse.csr_array` (n, n) with both directions of every edge, all lengths > 0.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
