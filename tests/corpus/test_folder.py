"""Image files of a folder: which, and in which order."""

import os
import pathlib

import pytest

from geovq.corpus.folder import as_paths, find_images
from geovq.validation import InputError

FILES = ["b.PNG", "a/2.jpg", "a/10.JPeG", "a/deep/er/1.webp", "B.png", "a-b/0.png"]
OTHERS = [".hidden.png", ".cache/0.png", "a/._2.jpg", "notes.txt", "png", "x.gif", "a.png.part"]
FOUND = ["B.png", "a/10.JPeG", "a/2.jpg", "a/deep/er/1.webp", "a-b/0.png", "b.PNG"]


@pytest.fixture
def folder(tmp_path):
    for name in FILES + OTHERS:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "images"


@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_images_of_nested_folders_are_found_in_one_order(folder, kind):
    assert find_images(kind(folder)) == [folder / name for name in FOUND]


def test_the_order_is_not_the_file_systems(folder, monkeypatch):
    walk = os.walk

    def backwards(top, **options):
        return [(parent, list(folders), names[::-1]) for parent, folders, names in walk(top, **options)][::-1]

    visible = folder / "a"
    wanted = find_images(visible)
    monkeypatch.setattr(os, "walk", backwards)
    assert find_images(visible) == wanted


def test_a_hidden_folder_that_is_asked_for_is_read(folder):
    assert find_images(folder / ".cache") == [folder / ".cache/0.png"]


def test_a_folder_that_cannot_be_read_is_named(folder, monkeypatch):
    scandir = os.scandir

    def refuses(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuses)
    with pytest.raises(InputError, match=r"deep: expected a folder that can be read, found: Permission denied"):
        find_images(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "missing: expected a folder of images, found nothing"),
        ("images/b.PNG", r"b\.PNG: expected a folder of images, found a file"),
        ("images/a/deep/empty", r"expected files that end in \.jpeg, \.jpg, \.png, \.webp, found none"),
    ],
)
def test_what_is_no_folder_of_images_is_refused(folder, name, message):
    (folder / "a/deep/empty").mkdir()
    with pytest.raises(InputError, match=message):
        find_images(folder.parent / name)


def test_given_paths_keep_their_order(folder):
    assert as_paths(["z.png", pathlib.Path("a.gif")]) == [pathlib.Path("z.png"), pathlib.Path("a.gif")]
    assert as_paths(folder) == find_images(folder)
    with pytest.raises(InputError, match="found an empty list"):
        as_paths([])
