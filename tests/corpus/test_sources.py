"""Images of a corpus: the same images from folders, arrays, tars and array_record; broken ones are told."""

import io
import tarfile

import numpy as np
import pytest

from geovq.corpus import sources
from geovq.corpus.sources import fingerprint, open_images, read_shard
from geovq.validation import InputError

image = pytest.importorskip("PIL.Image")
pytest.importorskip("grain")


@pytest.fixture
def images(rng):
    """Five images of one size."""
    return rng.integers(0, 256, (5, 6, 8, 3), dtype=np.uint8)


def png(pixels):
    """The bytes of a file."""
    file = io.BytesIO()
    image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_folder(path, images):
    """Two folders, whose names are labels."""
    for i, pixels in enumerate(images):
        (path / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        (path / "ab"[i % 2] / f"{i}.png").write_bytes(png(pixels))


def write_tar(path, images):
    """A WebDataset."""
    with tarfile.open(path, "w") as file:
        for i, pixels in enumerate(images):
            for name, data in ((f"{i}.png", png(pixels)), (f"{i}.cls", str(i % 2).encode()), (f"{i}.json", b"{}")):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                file.addfile(member, io.BytesIO(data))


def records(source, **options):
    """All records of all shards."""
    return [record for shard in open_images(source, **options) for record in read_shard(shard)]


def test_a_folder_gives_its_images_in_order(images, tmp_path):
    write_folder(tmp_path, images)
    found = records(tmp_path, labels=True)
    assert [record.name for record in found] == ["a/0.png", "a/2.png", "a/4.png", "b/1.png", "b/3.png"]
    assert [record.label for record in found] == list("aaabb")
    np.testing.assert_array_equal([record.image for record in found], images[[0, 2, 4, 1, 3]])
    assert records(tmp_path)[0].label is None


def test_shards_of_a_folder_are_bounded(images, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "FILES_OF_SHARD", 2)
    write_folder(tmp_path, images)
    shards = open_images(tmp_path)
    assert [len(shard) for shard in shards] == [2, 2, 1]
    assert len({shard.name for shard in shards}) == 3
    before = fingerprint(shards)
    (tmp_path / "a/0.png").rename(tmp_path / "a/1.png")
    assert fingerprint(open_images(tmp_path)) != before


@pytest.mark.parametrize("grey", [False, True])
def test_arrays_give_their_rows(images, tmp_path, grey):
    pixels = images[..., 0] if grey else images
    np.save(tmp_path / "images.npy", pixels)
    found = records(tmp_path / "images.npy")
    np.testing.assert_array_equal([record.image for record in found], pixels[..., None] if grey else pixels)
    np.savez(tmp_path / "images.npz", images=pixels, labels=np.arange(5))
    assert [record.label for record in records(tmp_path / "images.npz")] == [0, 1, 2, 3, 4]


def test_tars_give_their_images_and_labels(images, tmp_path):
    for part in (0, 1):
        write_tar(tmp_path / f"{part}.tar", images)
    shards = open_images(tmp_path)
    assert [shard.name for shard in shards] == ["0.tar", "1.tar"]
    found = list(read_shard(shards[1]))
    np.testing.assert_array_equal([record.image for record in found], images)
    assert [(record.name, record.label) for record in found] == [(f"{i}.png", i % 2) for i in range(5)]


def test_array_records_give_their_images(images, tmp_path):
    writer_of = pytest.importorskip("array_record.python.array_record_module").ArrayRecordWriter
    writer = writer_of(str(tmp_path / "0.array_record"), "group_size:1")
    for pixels in images:
        writer.write(png(pixels))
    writer.close()
    found = records(tmp_path)
    np.testing.assert_array_equal([record.image for record in found], images)


def test_broken_images_are_told_and_not_fatal(images, tmp_path):
    write_folder(tmp_path, images)
    (tmp_path / "a/2.png").write_bytes(png(images[2])[:50])
    found = records(tmp_path)
    assert [record.image is None for record in found] == [False, True, False, False, False]
    assert "2.png: expected a whole PNG, JPEG or WebP file" in found[1].error


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "expected a folder of images, or a file that ends in .*, found nothing"),
        (lambda path: path.mkdir(), "expected files that end in"),
        (lambda path: path.write_text("?"), "found a file that ends in ''"),
    ],
)
def test_what_is_no_source_is_refused(tmp_path, make, message):
    make(tmp_path / "source")
    with pytest.raises(InputError, match=message):
        open_images(tmp_path / "source")


def test_damaged_files_are_refused_by_name(tmp_path):
    for name in ("a.npy", "a.npz", "a.tar"):
        (tmp_path / name).write_bytes(b"damaged")
        with pytest.raises(InputError, match=f"{name}: expected"):
            open_images(tmp_path / name)
    np.save(tmp_path / "floats.npy", np.zeros((2, 4, 4, 3)))
    with pytest.raises(InputError, match="expected uint8 images"):
        open_images(tmp_path / "floats.npy")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(InputError, match="expected arrays in NumPy's format"):
        open_images(tmp_path / "objects.npy")


def test_files_of_several_kinds_are_refused(images, tmp_path):
    write_tar(tmp_path / "0.tar", images)
    np.save(tmp_path / "1.npy", images)
    with pytest.raises(InputError, match=r"expected files of one kind, found \.npy, \.tar"):
        open_images(tmp_path)
