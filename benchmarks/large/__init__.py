"""What do large grids cost, and what are they worth? Published autoencoders on photographs of 64 pixels to whole ones."""
