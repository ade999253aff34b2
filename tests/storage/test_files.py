"""Bytes of files: whole or absent, and what cannot be written is named."""

import os

import numpy as np
import pytest

from geovq.storage.arrays import load_arrays, save_arrays
from geovq.storage.files import check_writable, write_bytes
from geovq.storage.paths import as_path
from geovq.storage.records import read_json, write_json
from geovq.validation import InputError


def test_a_trial_leaves_no_folder(tmp_path):
    check_writable(tmp_path / "a/b/c.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_what_stood_there(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device; free space"):
        write_json(path, {"a": 2})
    assert read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["x.json"]


def test_the_home_folder_is_written_to_and_read(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    save_arrays("~/x.npz", {"a": np.ones(2)}, {})
    assert load_arrays("~/x.npz")[0]["a"].sum() == 2
    assert os.listdir(tmp_path) == ["home"]


def test_a_folder_in_the_place_of_an_output_is_named(tmp_path):
    (tmp_path / "x.npz").mkdir()
    with pytest.raises(
        InputError, match=r"x\.npz: expected to write a file, found a folder of that name; move it away"
    ):
        save_arrays(tmp_path / "x.npz", {}, {})


def test_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another folder"):
        write_bytes(tmp_path / "file" / "x", b"")


@pytest.mark.parametrize("path", [None, 3, ["x"], b"x", object()])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(InputError, match=r"folder: expected a path, found .*; pass text or a pathlib.Path"):
        as_path("folder", path)
