"""A sample of a corpus: the same however it is cut, bounded, and without what is broken or too small."""

import numpy as np
import pytest

from geovq.corpus import arrays, records
from geovq.corpus.crops import draw_crops
from geovq.corpus.samples import sample_crops, sample_images
from geovq.corpus.sources import open_images
from geovq.validation import InputError
from tests.corpus.sources import png, write_folder, write_tar

pytest.importorskip("grain")


@pytest.fixture
def images(rng):
    """Nine images."""
    return rng.integers(0, 256, (9, 12, 10, 3), dtype=np.uint8)


@pytest.mark.parametrize("n", [4, 9, 30])
def test_a_sample_does_not_depend_on_how_the_corpus_is_cut(images, tmp_path, n, monkeypatch):
    np.save(tmp_path / "images.npy", images)
    found = sample_crops(open_images(tmp_path), 5, n, 1)
    assert found.crops.shape == (n, 5, 5, 3)
    assert found.images == min(n, 9)
    (tmp_path / "tars").mkdir()
    for part, ends in enumerate([(0, 1), (1, 6), (6, 9)]):
        write_tar(tmp_path / f"tars/{part}.tar", {f"{i}.png": png(images[i]) for i in range(*ends)})
    np.testing.assert_array_equal(sample_crops(open_images(tmp_path / "tars"), 5, n, 1).crops, found.crops)
    monkeypatch.setattr(arrays, "ROWS_OF_SHARD", 2)
    np.testing.assert_array_equal(sample_crops(open_images(tmp_path / "images.npy"), 5, n, 1).crops, found.crops)
    assert (sample_crops(open_images(tmp_path / "images.npy"), 5, n, 2).crops != found.crops).any()


def test_it_is_the_sample_that_draw_crops_draws(images, tmp_path):
    write_folder(tmp_path, {f"{i}.png": pixels for i, pixels in enumerate(images)})
    found = sample_crops(open_images(tmp_path), 5, 30, 3)
    np.testing.assert_array_equal(found.crops, draw_crops(tmp_path, 5, 30, 3))


def test_broken_and_small_images_are_left_out_and_counted(images, tmp_path):
    write_folder(tmp_path, {f"{i}.png": pixels[: 3 if i == 5 else 12] for i, pixels in enumerate(images)})
    (tmp_path / "2.png").write_bytes(b"broken")
    progress: list[int] = []
    found = sample_crops(open_images(tmp_path), 5, 20, progress=progress.append)
    assert (found.images, found.small) == (7, 1)
    assert sum(progress) == 20
    assert "2.png: expected a whole PNG" in found.unreadable[0]
    with pytest.raises(
        InputError, match="at least 11x11 pixels, found 8 smaller ones, of up to 10 on the shorter side, and 1"
    ):
        sample_crops(open_images(tmp_path), 11, 1)


def test_no_more_images_are_read_than_are_needed(images, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_AHEAD", 1)
    monkeypatch.setattr(records, "_THREADS", 1)
    read: list[int] = []
    shards = open_images_of(images, tmp_path)
    (shard,), read_of = shards, shards[0].read

    def count(start, stop):
        read.append(start)
        return read_of(start, stop)

    monkeypatch.setattr(shard, "read", count)
    sample_crops(shards, 5, 3)
    assert 3 <= len(read) <= 6


def open_images_of(images, folder):
    """A corpus of files."""
    write_folder(folder / "files", {f"{i}.png": pixels for i, pixels in enumerate(images)})
    return open_images(folder / "files")


def test_whole_images_are_drawn_once_each(images, tmp_path):
    shards = open_images_of(images, tmp_path)
    (tmp_path / "files/2.png").write_bytes(b"broken")
    found = [record.name for record in sample_images(shards, 20)]
    assert sorted(found) == [f"{i}.png" for i in range(9) if i != 2]
    assert [record.name for record in sample_images(shards, 3)] == found[:3]
