"""What does a person who has a VQ-VAE win by better tokens, and what does it cost? Two VQ-VAEs and a residual VQ."""
