"""The networks of the study: SpatialVAE, VQ and FSQ quantizers, the Transformer over tokens."""
