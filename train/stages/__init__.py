"""What the stages share: inputs, networks, tokenizers, tokens."""
