"""Shortest-path k-medoids of a graph, and a scikit-learn estimator of points. Imports `geovq.graph` and `geovq.metric`.

All compiled kernels are in `kernels`. Start reading at `search`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
