"""Graphs of nearest neighbours between latents."""
