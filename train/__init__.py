"""Programs: `python -m train.X`. Each stage reads its inputs from a run folder and writes its results there."""
