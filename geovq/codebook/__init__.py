"""Latents to codes."""
