"""The stages of a run, a file each, with the tasks that they train; and what they share: inputs, networks, tokenizers, tokens."""
