"""Every codebook and assignment compared with VQ-VAE and FSQ."""
