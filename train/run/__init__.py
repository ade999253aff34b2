"""A run folder: command line, records, checkpoints, fingerprints."""
