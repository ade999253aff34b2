"""What the geometry is worth on published autoencoders and photographs, compared with every rival at the same bits."""
