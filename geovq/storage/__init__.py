"""Files that are whole or absent: written under a temporary name and renamed, read whole or refused in one line.

Files come from strangers: what one claims is compared with its length before memory is taken for it. Imports `geovq.validation`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
