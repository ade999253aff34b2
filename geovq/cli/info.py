"""geovq info: what a file or a folder holds."""

import argparse
import pathlib

from geovq.corpus.token_folder import open_tokens
from geovq.tokenizer.file import summarize


def run(options: argparse.Namespace) -> None:
    """Prints it."""
    if options.path.is_dir():
        _describe_tokens(options.path, options.verify)
    else:
        _describe_tokenizer(options.path)


def _describe_tokens(folder: pathlib.Path, verify: bool) -> None:
    tokens = open_tokens(folder)
    if verify:
        tokens.verify()
    print(repr(tokens))
    for (h, w), count in sorted(tokens.grids.items()):
        print(f"grid {h}x{w}: {count:,} images")
    print(f"assigner {tokens.header.assigner}, tokenizer sha256 {tokens.header.tokenizer}")
    for each in tokens.left_out():
        print(f"left out: {each.name}: {each.why.removeprefix(f'{each.name}: ')}")


def _describe_tokenizer(path: pathlib.Path) -> None:
    found = summarize(path)
    codes = f"{found.num_quantizers} x {found.num_codes}" if found.num_quantizers > 1 else f"{found.num_codes}"
    print(f"tokenizer: {codes} codes of {found.channels} numbers, assigner {found.assigner}")
    print(f"fitted to images of {'x'.join(map(str, found.image_shape))}")
    source = found.autoencoder
    print("autoencoder: not named" if source is None else f"autoencoder: {source.path}, sha256 {source.sha256}")
    print(f"sha256 {found.sha256}")
