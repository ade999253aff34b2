"""The benchmark of corpora on a tiny autoencoder: its rows, its table, and the peak of another process."""

import pathlib

import numpy as np
import pytest

from benchmarks import corpus
from benchmarks.common.rows import value_of
from geovq.corpus.records import read_records
from geovq.corpus.sources import open_images
from geovq.validation import InputError
from tests.corpus.sources import write_folder

pytest.importorskip("grain")

TINY = corpus.Schedule(many=48, few=16, sizes={32: 6}, rounds=2)


@pytest.fixture
def measured(tmp_path, monkeypatch, rng):
    """Rows, without starting processes: peaks are numbers of images."""
    monkeypatch.setattr(corpus, "peak_of_encoding", lambda tokenizer, images, out: (len(np.load(images)), 1.0))
    monkeypatch.setattr(corpus, "_CODES", 4)
    images = {f"{i}.png": rng.integers(0, 256, (32, 40, 3), dtype=np.uint8) for i in range(6)}
    write_folder(tmp_path / "photographs", images)
    vae = str(corpus._write_small(tmp_path / "vae"))
    rows = corpus.memory(vae, tmp_path / "run", TINY)
    return rows + corpus.throughput(vae, tmp_path / "photographs", tmp_path / "run", TINY)


@pytest.mark.filterwarnings("ignore:reconstructions")
def test_rows_have_peaks_and_speeds_beside_the_encoders(measured):
    small = {"case": "memory", "autoencoder": corpus.SMALL}
    assert [value_of(measured, **small, images=count, score="peak_bytes") for count in (16, 48)] == [16, 48]
    assert value_of(measured, **small, score="ratio") == 3
    assert value_of(measured, case="memory", autoencoder="vae", score="peak_bytes") == 16
    for source in ("folder", "tar", "array"):
        assert value_of(measured, source=source, score="ratio") > 0
    table = corpus.table(measured)
    assert "| 32x32 | tar |" in table
    assert f"| 48 | {corpus.SMALL} |" in table


@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="only Linux tells the peak of a process")
def test_the_peak_is_that_of_the_other_process(tmp_path, monkeypatch):
    held = np.ones(1 << 25)  # 256 MiB of this process
    monkeypatch.setattr(corpus, "_PROGRAM", ["-c", "import time; x = b'1' * (1 << 26); time.sleep(0.5)"])
    peak, seconds = corpus.peak_of_encoding(tmp_path / "x", tmp_path / "y", tmp_path / "z")
    assert 1 << 26 < peak < held.nbytes
    assert seconds > 0.5
    monkeypatch.setattr(corpus, "_PROGRAM", ["-c", "raise SystemExit(3)"])
    with pytest.raises(InputError, match="found status 3"):
        corpus.peak_of_encoding(tmp_path / "x", tmp_path / "y", tmp_path / "z")


def test_sources_hold_the_images(tmp_path, rng):
    images = rng.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    for source in corpus.write_sources(tmp_path, images).values():
        (shard,) = open_images(source)
        np.testing.assert_array_equal([record.image for record in read_records(shard)], images)
