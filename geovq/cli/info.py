"""geovq info: what a file or a folder holds."""

import argparse

from geovq.corpus.token_shards import open_tokens
from geovq.storage import load_arrays, stored_digest
from geovq.tokenizer.file import read_source


def run(options: argparse.Namespace) -> None:
    """Prints it."""
    if options.path.is_dir():
        tokens = open_tokens(options.path)
        print(repr(tokens))
        print(f"tokenizer sha256 {tokens.header.tokenizer}")
        for each in tokens.unreadable:
            print(f"could not be read: {each.message}")
        return
    arrays, meta = load_arrays(options.path)
    source = read_source(options.path)
    quantizers, count, channels = arrays["codes"].shape
    print(f"tokenizer: {quantizers} x {count} codes of {channels} numbers, assigner {meta['assigner']['name']}")
    print(f"fitted to images {'x'.join(map(str, meta['image_shape']))}")
    print("autoencoder: not named" if source is None else f"autoencoder: {source.path}, sha256 {source.sha256}")
    print(f"sha256 {stored_digest(options.path)}")
