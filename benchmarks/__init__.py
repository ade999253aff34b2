"""One package or module for each question; `python -m benchmarks.NAME` answers it and writes benchmarks/results/NAME.json."""
