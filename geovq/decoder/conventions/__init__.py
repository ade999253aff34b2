"""Autoencoders of other conventions: `adaptation` takes them as they are stated, the other files find what was not stated."""
