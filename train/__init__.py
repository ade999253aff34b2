"""Programs: `python -m train.X`. Each stage reads its inputs from a run folder and writes its results there."""

from geovq.cli import interruption

if interruption.is_program():
    interruption.listen()  # imports take seconds, in which Ctrl-C is to end in one line too
