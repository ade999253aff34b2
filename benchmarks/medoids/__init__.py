"""k-medoids on graphs: quality, speed and memory."""
