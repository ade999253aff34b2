"""Latents to tokens: every token by itself, or all tokens of an image together."""
