"""What a page says of a tokenizer: reconstructions, rates, codes, what other codes would do. May import all but commands."""
