"""GeoVQ: a trained VAE becomes a discrete tokenizer, through the pullback geometry of its decoder."""
