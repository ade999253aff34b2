"""geovq export: tokens for other programs."""

import argparse

from geovq.corpus.export import export_parquet, export_stream
from geovq.corpus.token_folder import open_tokens
from geovq.validation import InputError


def run(options: argparse.Namespace) -> None:
    """Writes what is asked for."""
    if options.stream is None and options.parquet is None:
        raise InputError("export: expected --stream FILE or --parquet FILE, found neither; give one of them, or both.")
    tokens = open_tokens(options.tokens)
    if options.stream is not None:
        found = export_stream(tokens, options.stream, separator=not options.no_separator)
        print(f"export: {found.length:,} integers {found.dtype} below {found.vocabulary:,} in {options.stream}")
    if options.parquet is not None:
        export_parquet(tokens, options.parquet)
        print(f"export: {len(tokens):,} rows in {options.parquet}")
