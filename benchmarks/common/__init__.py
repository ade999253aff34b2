"""What all benchmarks share: rows of results, the files they go to, and timing. It imports geovq and train, no benchmark."""
