"""Photographs from a folder: found, read upright in RGB, and crops of them drawn by seed. Imports `geovq.validation`.

Pillow reads the files: `pip install 'geovq[images]'`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
