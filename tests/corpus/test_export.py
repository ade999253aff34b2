"""Tokens for other programs: the flat file and the Parquet file hold what the folder holds."""

import json

import numpy as np
import pytest

from geovq.corpus.export import export_parquet, export_stream
from geovq.corpus.token_files import Header
from geovq.corpus.token_folder import open_tokens
from geovq.corpus.token_shards import Shard, begin, finish, write_shard
from geovq.validation import InputError


@pytest.fixture(params=[1, 2])
def folder(tmp_path, rng, request):
    """Two shards of images of two sizes, with one or two codes a token."""
    quantizers = request.param
    header = Header("tokenizer", "Whitened()", 128, quantizers, "images", 2)
    begin(tmp_path / "tokens", header)
    grids = []
    for number, shapes in enumerate([[(2, 3), (1, 4)], [(2, 3)]]):
        some = [rng.integers(0, 128, (*shape, quantizers)) for shape in shapes]
        squeezed = [grid[..., 0] if quantizers == 1 else grid for grid in some]
        names = [f"{number}/{i}" for i in range(len(some))]
        shard = Shard(names, squeezed, [(8, 8)] * len(some), [number] * len(some), [])
        write_shard(tmp_path / "tokens", number, header, shard)
        grids += some
    finish(tmp_path / "tokens")
    return open_tokens(tmp_path / "tokens"), grids


@pytest.mark.parametrize("separator", [True, False])
def test_the_flat_file_has_every_code_in_order(folder, tmp_path, separator):
    tokens, grids = folder
    found = export_stream(tokens, tmp_path / "train.bin", separator=separator)
    quantizers = tokens.num_quantizers
    wanted = []
    for grid in grids:
        wanted += [128 * quantizers] * separator
        wanted += [code + 128 * s for token in grid.reshape(-1, quantizers).tolist() for s, code in enumerate(token)]
    values = np.fromfile(tmp_path / "train.bin", found.dtype)
    assert values.tolist() == wanted
    assert found.length == len(wanted)
    assert found.vocabulary == 128 * quantizers + separator
    assert values.dtype.itemsize == (1 if found.vocabulary <= 256 else 2)
    assert json.loads((tmp_path / "train.bin.json").read_text()) == found._asdict()


def test_a_parquet_file_has_a_row_for_each_image(folder, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    tokens, grids = folder
    export_parquet(tokens, tmp_path / "tokens.parquet")
    rows = parquet.read_table(tmp_path / "tokens.parquet").to_pylist()
    for row, image, grid in zip(rows, tokens, grids, strict=True):
        assert (row["name"], row["label"], row["image_height"]) == (image.name, image.label, 8)
        np.testing.assert_array_equal(np.reshape(row["tokens"], (row["height"], row["width"], -1)), grid)
    assert parquet.ParquetFile(tmp_path / "tokens.parquet").metadata.num_row_groups == 2


def test_a_file_that_cannot_be_written_is_told_and_leaves_nothing(folder, tmp_path):
    tokens, _ = folder
    (tmp_path / "taken").mkdir()
    with pytest.raises(InputError, match="taken: expected to write it, found"):
        export_stream(tokens, tmp_path / "taken")
    assert {path.name for path in tmp_path.iterdir()} == {"tokens", "taken"}
