"""The measured latent space: latents with their metrics, the graph between them, codes in it."""
