"""GeoVQ turns a trained VAE into a discrete tokenizer through the pullback geometry of its decoder.

`__init__.pyi` lists the public names; each is imported when it is first used. Packages, each of which imports only packages
before it: numerics, batching, decoder, models, metric, graph, medoids, geometry, assignment, codebook, scores, tokenizer,
corpus.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
