"""Kernels of one row run over many: in chunks, compiled, on one device or several."""
