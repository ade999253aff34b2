"""Images of a corpus: the same images from folders, arrays, tars and array_record; broken ones are told."""

import os
import tarfile

import numpy as np
import pytest

from geovq.corpus import arrays, sources
from geovq.corpus.records import fingerprint, read_chosen, read_records
from geovq.corpus.sources import open_images
from geovq.validation import InputError
from tests.corpus.sources import png, write_folder, write_tar

pytest.importorskip("grain")


@pytest.fixture
def images(rng):
    """Five images of one size."""
    return rng.integers(0, 256, (5, 6, 8, 3), dtype=np.uint8)


@pytest.fixture
def folder(images, tmp_path):
    """The same in two folders, whose names are labels."""
    write_folder(tmp_path / "folder", {f"{'ab'[i % 2]}/{i}.png": pixels for i, pixels in enumerate(images)})
    return tmp_path / "folder"


def webdataset(images):
    """Members of a tar with labels."""
    return {
        name: data
        for i, pixels in enumerate(images)
        for name, data in ((f"{i}.png", png(pixels)), (f"{i}.cls", str(i % 2).encode()), (f"{i}.json", b"{}"))
    }


def records(source, **options):
    """All records of all shards."""
    return [record for shard in open_images(source, **options) for record in read_records(shard)]


def test_a_folder_gives_its_images_in_order(images, folder):
    found = records(folder, labels=True)
    assert [record.name for record in found] == ["a/0.png", "a/2.png", "a/4.png", "b/1.png", "b/3.png"]
    assert [record.label for record in found] == list("aaabb")
    np.testing.assert_array_equal([record.image for record in found], images[[0, 2, 4, 1, 3]])
    assert records(folder)[0].label is None


def test_one_image_file_is_a_corpus(images, folder):
    (found,) = records(folder / "a/2.png")
    assert found.name == "2.png"
    np.testing.assert_array_equal(found.image, images[2])


def test_shards_of_a_folder_are_bounded(folder, monkeypatch):
    monkeypatch.setattr(sources, "FILES_OF_SHARD", 2)
    shards = open_images(folder)
    assert [len(shard) for shard in shards] == [2, 2, 1]
    assert len({shard.name for shard in shards}) == 3


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("block", [1 << 20, 300])
def test_arrays_give_their_rows(images, tmp_path, grey, block, monkeypatch):
    monkeypatch.setattr(arrays, "ROWS_OF_SHARD", 3)
    monkeypatch.setattr(arrays, "_BLOCK_BYTES", block)
    pixels = images[..., 0] if grey else images
    np.save(tmp_path / "images.npy", pixels)
    found = records(tmp_path / "images.npy")
    assert [record.name for record in found] == [f"images.npy/00000000{i}" for i in range(5)]
    np.testing.assert_array_equal([record.image for record in found], pixels[..., None] if grey else pixels)
    np.savez_compressed(tmp_path / "images.npz", images=pixels, labels=np.arange(5))
    found = records(tmp_path / "images.npz")
    assert [record.label for record in found] == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal([record.image for record in found], pixels[..., None] if grey else pixels)


def test_tars_give_their_images_and_labels(images, tmp_path):
    for part in (0, 1):
        write_tar(tmp_path / f"{part}.tar", webdataset(images))
    shards = open_images(tmp_path)
    assert [shard.name for shard in shards] == ["0.tar", "1.tar"]
    found = list(read_records(shards[1]))
    np.testing.assert_array_equal([record.image for record in found], images)
    assert [(record.name, record.label) for record in found] == [(f"1.tar/{i}.png", i % 2) for i in range(5)]


def test_keys_of_tars_end_at_the_first_dot_of_a_name(images, tmp_path):
    image = png(images[0])
    write_tar(tmp_path / "0.tar", {"a.b/0.left.png": image, "a.b/0.right.png": image, "a.b/0.txt": b" two words\n"})
    found = records(tmp_path)
    assert [record.label for record in found] == ["two words"] * 2


def test_array_records_give_their_images(images, tmp_path):
    writer_of = pytest.importorskip("array_record.python.array_record_module").ArrayRecordWriter
    for name in ("train.array_record-00000-of-00001", "x.array_record"):
        writer = writer_of(str(tmp_path / name), "group_size:1")
        for pixels in images:
            writer.write(png(pixels))
        writer.close()
    found = records(tmp_path)
    np.testing.assert_array_equal([record.image for record in found], np.concatenate([images, images]))
    assert found[5].name == "x.array_record/000000000"


def test_records_can_begin_anywhere(images, tmp_path):
    np.save(tmp_path / "images.npy", images)
    (shard,) = open_images(tmp_path)
    for start in range(6):
        assert [record.name[-1] for record in read_records(shard, start)] == list("01234"[start:])


def test_single_images_are_found_in_any_shard(images, tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "ROWS_OF_SHARD", 2)
    np.save(tmp_path / "images.npy", images)
    found = list(read_chosen(open_images(tmp_path), np.array([4, 0, 3, 3])))
    np.testing.assert_array_equal([record.image for record in found], images[[4, 0, 3, 3]])


def test_another_corpus_has_another_fingerprint(images, folder, tmp_path):
    before = fingerprint(open_images(folder))
    assert fingerprint(open_images(folder)) == before
    assert fingerprint(open_images(folder, labels=True)) != before
    (folder / "a/0.png").rename(folder / "a/1.png")
    assert fingerprint(open_images(folder)) != before
    np.save(tmp_path / "images.npy", images)
    arrays = fingerprint(open_images(tmp_path / "images.npy"))
    np.save(tmp_path / "images.npy", 255 - images)
    assert fingerprint(open_images(tmp_path / "images.npy")) != arrays


def test_broken_images_are_told_and_not_fatal(images, folder):
    (folder / "a/2.png").write_bytes(png(images[2])[:50])
    (folder / "a/4.png").unlink()
    (folder / "a/4.png").symlink_to("nowhere")
    found = records(folder)
    assert [record.image is None for record in found] == [False, True, True, False, False]
    assert "a/2.png: expected a whole PNG, JPEG or WebP file" in found[1].error
    assert "a/4.png: expected a file that can be read, found: No such file" in found[2].error


def test_members_of_tars_that_leave_it_are_told(images, tmp_path):
    image = png(images[0])
    write_tar(tmp_path / "0.tar", {"../0.png": image, "/1.png": image, "a/../../2.png": image, "a/3.png": image})
    found = records(tmp_path)
    assert [record.image is None for record in found] == [True, True, True, False]
    assert all("expected a path inside the tar" in record.error for record in found[:3])


def test_links_in_tars_are_no_images(images, tmp_path):
    write_tar(tmp_path / "0.tar", {"0.png": png(images[0])})
    with tarfile.open(tmp_path / "0.tar", "a") as file:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            link = tarfile.TarInfo(f"{kind.decode()}.png")
            link.type, link.linkname = kind, "/etc/passwd"
            file.addfile(link)
    assert [record.name for record in records(tmp_path)] == ["0.tar/0.png"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "expected a folder of images, or a file that ends in .*, found nothing"),
        (lambda path: path.mkdir(), "expected files that end in .*, found none in it"),
        (lambda path: path.write_text("?"), "found a file with another ending"),
    ],
)
def test_what_is_no_source_is_refused(tmp_path, make, message):
    make(tmp_path / "source")
    with pytest.raises(InputError, match=message):
        open_images(tmp_path / "source")


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.tar", "a.array_record"])
def test_damaged_files_are_refused_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"damaged")
    with pytest.raises(InputError, match=f"{name}: expected"):
        open_images(tmp_path / name)


def test_files_that_were_cut_off_are_refused(images, tmp_path):
    write_tar(tmp_path / "0.tar", webdataset(images))
    np.save(tmp_path / "0.npy", images)
    for name in ("0.tar", "0.npy"):
        os.truncate(tmp_path / name, 700)
        with pytest.raises(InputError, match=f"{name}: expected"):
            open_images(tmp_path / name)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 4, 4, 3)), "expected uint8 images"),
        (np.zeros((2, 4), np.uint8), "expected uint8 images"),
        (np.zeros((0, 4, 4, 3), np.uint8), "expected uint8 images"),
        (np.array([{}]), "expected an .npy of images"),
        (np.asfortranarray(np.zeros((2, 4, 4, 3), np.uint8)), "Fortran"),
    ],
)
def test_arrays_of_something_else_are_refused(tmp_path, values, message):
    np.save(tmp_path / "a.npy", values, allow_pickle=True)
    with pytest.raises(InputError, match=message):
        open_images(tmp_path / "a.npy")


def test_labels_have_to_fit_their_images(images, tmp_path):
    for labels in (np.arange(4), np.zeros(5), np.zeros((5, 2), int)):
        np.savez(tmp_path / "a.npz", images=images, labels=labels)
        with pytest.raises(InputError, match="expected 5 labels"):
            open_images(tmp_path)


def test_files_of_several_kinds_are_refused(images, folder):
    np.save(folder / "mean.npy", images)
    with pytest.raises(InputError, match="expected files of one kind, found 1 arrays and 5 image files"):
        open_images(folder)
