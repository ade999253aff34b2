"""The training loop of all networks: the task that is trained, its schedule, checkpoints, progress."""
