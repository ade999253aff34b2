"""What is reported of reconstructions, tokens and sets of images."""
