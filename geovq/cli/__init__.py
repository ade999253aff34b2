"""The command line: `geovq fit | encode | decode | score | report | export | info`. May import all; JAX when a command runs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
