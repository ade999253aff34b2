"""One question a file; each writes benchmarks/results/NAME.json, which the README quotes."""
