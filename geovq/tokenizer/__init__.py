"""Tokenizer, the public face: fit, encode, decode, save, load."""
