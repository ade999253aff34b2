"""Which tokens give the best images, and how predictable are they? Transformers over tokens of every system."""
