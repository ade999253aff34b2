"""Corpora: images of folders, arrays, tars and array_record, and their tokens on disk. Imports everything but the command line.

Pillow reads photographs: `pip install 'geovq[images]'`. grain reads corpora: `pip install 'geovq[corpus]'`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
