"""The program `geovq`: a newcomer's path from photographs to tokens and back, and careless ones."""

import errno
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from geovq.cli.interruption import stoppable
from geovq.corpus import encoding
from geovq.corpus.token_folder import open_tokens
from geovq.tokenizer.file import summarize
from tests.cli.programs import geovq
from tests.corpus.sources import write_tar


@pytest.fixture
def tokens(work, tmp_path):
    """The tokens of the photographs."""
    found = geovq("encode", work / "photos.npz", work / "photographs", "--out", tmp_path / "tokens", "--labels")
    assert found.returncode == 0, found.stderr
    return tmp_path / "tokens"


ASK_HELP = """
import sys
from geovq.cli.program import main
sys.argv = ["geovq", "--help"]
try:
    main()
except SystemExit:
    print(*sys.modules)
"""


def test_help_loads_no_jax_and_names_all_commands():
    found = subprocess.run([sys.executable, "-c", ASK_HELP], capture_output=True, text=True, check=True).stdout
    assert all(
        f"\n    {command} " in found for command in ("fit", "encode", "decode", "score", "report", "export", "info")
    )
    assert not {"jax", "scipy", "sklearn", "grain", "PIL"} & {*found.splitlines()[-1].split()}


@pytest.mark.parametrize("command", ["fit", "encode", "decode", "score", "report", "export", "info"])
def test_every_command_has_help(command):
    found = geovq(command, "--help")
    assert found.returncode == 0
    assert f"usage: geovq {command}" in found.stdout


def test_the_tokenizer_names_its_autoencoder(work):
    found, source = geovq("info", work / "photos.npz"), summarize(work / "photos.npz").autoencoder
    assert source is not None
    assert "tokenizer: 8 codes of 4 numbers, assigner Whitened()" in found.stdout
    assert f"autoencoder: {work / 'vae'}, sha256 {source.sha256}" in found.stdout


def test_photographs_become_tokens_and_images_again(work, tokens, tmp_path):
    opened = open_tokens(tokens)
    assert [each.label for each in opened] == list("aaabbb")
    assert opened[0].tokens.shape == (7, 9)  # 51x70 pixels, padded
    found = geovq("decode", work / "photos.npz", tokens, "--out", tmp_path / "images")
    assert found.returncode == 0, found.stderr
    images = {path.relative_to(tmp_path / "images").as_posix(): path for path in (tmp_path / "images").rglob("*.png")}
    assert images.keys() == {each.name for each in opened}
    assert np.asarray(PIL.Image.open(images["a/0.png"])).shape == (51, 70, 3)
    again = geovq("encode", work / "photos.npz", work / "photographs", "--out", tokens, "--labels")
    assert "nothing to do" in again.stdout
    assert "grid 6x8: 5 images" in geovq("info", tokens, "--verify").stdout


def test_scores_are_printed_for_tokens_and_without(work):
    found = geovq("score", work / "photos.npz", work / "photographs", "--max-images", 2)
    assert found.returncode == 0, found.stderr
    assert "2 images, 0.0469 bits a pixel, Whitened()" in found.stdout
    assert "autoencoder alone: PSNR dB" in found.stdout


def test_tokens_are_exported(tokens, tmp_path):
    found = geovq("export", tokens, "--stream", tmp_path / "train.bin")
    assert "309 integers |u1 below 9" in found.stdout  # 5 grids of 6x8, one of 7x9, 6 separators
    assert (tmp_path / "train.bin").stat().st_size == 309
    assert "expected --stream FILE or --parquet FILE" in geovq("export", tokens).stderr


def test_broken_images_are_listed_and_not_fatal(work, tmp_path):
    image = (work / "photographs/a/2.png").read_bytes()
    write_tar(tmp_path / "0.tar", {"good.png": image, "broken.png": image[:99], "../../climbs.png": image})
    found = geovq("encode", work / "photos.npz", tmp_path / "0.tar", "--out", tmp_path / "tokens")
    assert found.returncode == 0, found.stderr
    assert "1 images, 48 tokens" in found.stdout
    assert "left out: 0.tar/broken.png: expected a whole PNG" in found.stderr
    assert "left out: 0.tar/../../climbs.png: expected a path inside the tar" in found.stderr
    assert "left out: 0.tar/broken.png" in geovq("info", tmp_path / "tokens").stdout


def test_a_corpus_without_one_good_image_is_refused(work, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/0.png").write_bytes(b"broken")
    found = geovq("encode", work / "photos.npz", tmp_path / "images", "--out", tmp_path / "tokens")
    assert found.returncode == 2
    assert "expected images that can be encoded, found none" in found.stderr


def test_a_signal_stops_after_the_chunk_and_the_same_command_goes_on(work, tokens, tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "_PIXELS", 1)
    encode = encoding._encode_chunk

    def interrupted(work, chunk):
        os.kill(os.getpid(), signal.SIGTERM)
        return encode(work, chunk)

    words = ["encode", work / "photos.npz", work / "photographs", "--out", tmp_path / "stopped", "--labels"]
    for done in (1, 2):
        with monkeypatch.context() as patch:
            patch.setattr(encoding, "_encode_chunk", interrupted)
            found = geovq(*words)
        assert found.returncode == 130
        assert f"stopped after {done} of 6 images; this goes on:\n  geovq encode" in found.stdout
    found = geovq(*words)
    assert "going on after 2 of 6 images" in found.stdout
    assert [each.tokens.tobytes() for each in open_tokens(tmp_path / "stopped")] == [
        each.tokens.tobytes() for each in open_tokens(tokens)
    ]


def test_signals_that_are_ignored_stay_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable() as stop:
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert not stop()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "encode photos.npz photographs --out T --autoencoder other",
            "other: expected the autoencoder that photos.npz was",
        ),
        ("encode photos.npz photographs --out T --autoencoder nowhere", "nowhere: expected"),
        ("encode nowhere.npz photographs --out T", "nowhere.npz: expected a .npz file of arrays"),
        ("encode vae/config.json photographs --out T", "config.json: expected a .npz"),
        ("encode photos.npz nowhere --out T", "nowhere: expected a folder of images"),
        ("encode photos.npz vae --out T", "vae: expected files that end in"),
        (
            "encode photos.npz photographs --out photographs",
            "photographs: expected no such folder, or an empty one, found a",
        ),
        ("encode photos.npz photographs --out T --no-pad", "a/0.png: expected a height and a width that the stride 8"),
        ("encode photos.npz photographs --out T --assigner amortised", "geovq fit ... --assigner amortised"),
        (
            "encode photos.npz photographs --out T --perceptual 1",
            "expected --assigner joint, amortised or greedy beside it",
        ),
        ("encode photos.npz photographs --out T --memory -1", "memory: expected GiB above 0"),
        (
            "encode photos.npz photographs --out vae/config.json",
            "vae/config.json: expected a folder, found: Not a directory",
        ),
        ("decode photos.npz photographs --out T", "expected a folder of tokens, found no index.json"),
        (
            "score photos.npz photographs --assigner whitened --perceptual 1",
            "perceptual: expected an assigner that runs",
        ),
        ("score photos.npz photographs --max-images 0", "max_images: expected a whole number of at least 1"),
        ("score photos.npz photographs --max-images -1", "max_images: expected a whole number of at least 1"),
        ("score photos.npz photographs --seed 4294967296", "seed: expected a whole number in 0..4294967295"),
        ("report photos.npz --images photographs --seed 4294967296", "seed: expected a whole number in 0..4294967295"),
        ("info nowhere", "nowhere: expected a .npz file of arrays"),
        ("fit --autoencoder nowhere --images photographs --out x.npz", "nowhere: expected"),
        ("fit --autoencoder vae --images nowhere --out x.npz", "nowhere: expected a folder of images"),
        ("fit --autoencoder vae --images photographs --out vae", "vae: expected a file to write, found a folder"),
        (
            "fit --autoencoder vae --images photographs --out x.npz --crops -1",
            "crops: expected a whole number in 1..1000",
        ),
        (
            f"fit --autoencoder vae --images photographs --out x.npz --crops {10**30}",
            "crops: expected a whole number in 1..10000000",
        ),
        ("fit --autoencoder vae --images photographs --out x.npz --crop 4096", "of up to 51 on the shorter side"),
    ],
)
def test_bad_input_is_refused_in_one_line(work, words, message, monkeypatch, tmp_path):
    monkeypatch.chdir(work)
    found = geovq(*(str(tmp_path / "T") if word == "T" else word for word in words.split()))
    assert found.returncode == 2, found.stdout + found.stderr
    assert found.stderr.count("\n") == 1, found.stderr
    assert message in found.stderr


def test_tokens_of_another_tokenizer_are_refused(work, tokens, tmp_path):
    shutil.copy(work / "photos.npz", tmp_path / "same.npz")
    assert geovq("decode", tmp_path / "same.npz", tokens, "--out", tmp_path / "images").returncode == 0
    images = ("--images", work / "photographs", "--num-codes", 8, "--crop", 32, "--crops", 8)
    fitted = geovq("fit", "--autoencoder", work / "vae", "--out", tmp_path / "other.npz", "--seed", 1, *images)
    assert fitted.returncode == 0, fitted.stderr
    found = geovq("decode", tmp_path / "other.npz", tokens, "--out", tmp_path / "others")
    assert f"{tokens}: expected tokens of {tmp_path / 'other.npz'}" in found.stderr
    found = geovq("encode", tmp_path / "other.npz", work / "photographs", "--out", tokens, "--labels")
    assert "begun with the same tokenizer, found another" in found.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_is_one_line_and_the_same_command_goes_on(work, tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    words = ["encode", work / "photos.npz", work / "photographs", "--out", tmp_path / "tokens"]
    with monkeypatch.context() as patch:
        patch.setattr("geovq.storage.files.os.replace", refuse)
        found = geovq(*words)
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1
    assert os.strerror(number) in found.stderr
    assert geovq(*words).returncode == 0


def test_weights_that_have_moved_are_asked_for(work):
    moved = pathlib.Path(shutil.move(work / "vae", work / "moved"))
    try:
        found = geovq("score", work / "photos.npz", work / "photographs", "--max-images", 1)
        assert "If its weights are elsewhere now, pass --autoencoder." in found.stderr
        found = geovq("score", work / "photos.npz", work / "photographs", "--max-images", 1, "--autoencoder", moved)
        assert found.returncode == 0, found.stderr
    finally:
        shutil.move(moved, work / "vae")
