"""Is a tokenizer made after training better than a VQ-VAE? Every codebook and assignment, with VQ-VAE and FSQ."""
