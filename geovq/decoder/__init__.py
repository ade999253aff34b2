"""Any trained decoder as a function of one latent, and what is refused."""
