"""One question a file; each writes benchmarks/results/NAME.json, which the README and docs quote."""
