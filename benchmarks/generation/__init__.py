"""Samples of Transformers on tokens of every kind, compared with real images."""
