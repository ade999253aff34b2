"""Pullback metrics of a decoder, and the lengths that they give edges and curves."""
