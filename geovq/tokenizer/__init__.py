"""The tokenizer: encoder, decoder and codebook in one object. Imports `geovq.codebook` and the packages before it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
