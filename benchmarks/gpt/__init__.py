"""Cached against uncached sampling; a training step compared with PyTorch's."""
