"""The small jobs that faults are tried on: every stage of a run, and the commands of geovq that write folders; seconds each."""

import pathlib
import shutil
from typing import NamedTuple

import numpy as np

from benchmarks.faults.programs import GEOVQ, Finished, attempt
from geovq.storage.arrays import stored_digest
from geovq.storage.bits import digest
from geovq.storage.records import read_record
from geovq.validation import InputError
from train.run.fingerprint import fingerprint


class Job(NamedTuple):
    """One command, which makes something in a folder."""

    name: str
    program: str
    words: tuple[str, ...]
    """Its command line; {folder} is the folder that it works in, {inputs} where `make_inputs` has put something."""
    after: str | None = None
    """The job whose folder it continues; None for one that begins with none."""

    def command(self, folder: pathlib.Path, inputs: pathlib.Path) -> list[str]:
        """Its command line."""
        return [word.format(folder=folder, inputs=inputs) for word in self.words]


_RUN = ("--run", "{folder}")
_DIGITS = ("--dataset", "digits")
_VAE = (
    *("--vae.width", "4", "--vae.max-width", "8", "--vae.epochs", "2", "--vae.batch-size", "512"),
    *("--vae.checkpoint-every", "3"),
)
_SAMPLE = ("--sample.per-class", "2", "--evaluate.max-images", "20")
_ASSIGNERS = ("--evaluate.assigners", "euclidean", "whitened", "local", "geodesic")

STAGES: tuple[Job, ...] = (
    Job("vae", "train.vae", (*_RUN, *_DIGITS, *_VAE)),
    Job(
        "codebook",
        "train.codebook",
        (
            *(*_RUN, "--codebook.num-codes", "8", "--codebook.max-images", "20", "--codebook.num-neighbours", "4"),
            *("--codebook.codebooks", "kmeans", "whitened", "geodesic"),
        ),
        "vae",
    ),
    Job(
        "finetune",
        "train.finetune",
        (
            *(*_RUN, "--finetune.rounds", "2", "--finetune.epochs", "1", "--finetune.batch-size", "512"),
            *("--finetune.max-val-images", "40"),
        ),
        "codebook",
    ),
    Job(
        "gpt",
        "train.gpt",
        (
            *(*_RUN, "--gpt.layers", "1", "--gpt.width", "16", "--gpt.heads", "2", "--gpt.batch-size", "512"),
            *("--gpt.epochs", "2", "--gpt.start", "random"),
        ),
        "codebook",
    ),
    Job("samples and scores", "train.pipeline", (*_RUN, *_SAMPLE, *_ASSIGNERS), "gpt"),
    Job(
        "baseline",
        "train.baseline",
        (*_RUN, *_DIGITS, *_VAE, "--vae.epochs", "1", "--baseline.num-codes", "8"),
    ),
    Job(
        "classifier",
        "train.classifier",
        (
            *(*_RUN, *_DIGITS, "--classifier.no-mirror", "--classifier.shift", "1", "--classifier.width", "4"),
            *("--classifier.epochs", "1", "--classifier.batch-size", "512"),
        ),
    ),
)
"""Every stage of a study, in an order in which each finds what it needs."""

CORPUS: tuple[Job, ...] = (
    Job("geovq encode", GEOVQ, ("encode", "{inputs}/photos.npz", "{inputs}/arrays", "--out", "{folder}")),
    Job("geovq decode", GEOVQ, ("decode", "{inputs}/photos.npz", "{inputs}/tokens", "--out", "{folder}")),
)
"""Commands of geovq that fill a folder and can resume it."""

_TINY = (
    *(*_RUN, *_DIGITS, "--classifier.no-mirror", "--classifier.shift", "1", "--classifier.width", "2"),
    *("--classifier.epochs", "1", "--classifier.batch-size", "1024", "--classifier.checkpoint-every", "1000"),
)

SMOKE: tuple[Job, ...] = (Job("classifier", "train.classifier", _TINY), CORPUS[0])
"""For tests."""


class Place(NamedTuple):
    """Where the jobs are."""

    folder: pathlib.Path

    @property
    def inputs(self) -> pathlib.Path:
        """What `make_inputs` makes."""
        return self.folder / "inputs"

    def whole(self, job: Job) -> pathlib.Path:
        """The folder of a job that was never interrupted."""
        return self.folder / "whole" / job.name.replace(" ", "-")


def make_inputs(folder: pathlib.Path, images: int = 24) -> None:
    """Makes an autoencoder with random weights, images, a tokenizer and its tokens; none if they are there.

    Args:
        folder: Where they go.
        images: Images of each array.

    Raises:
        InputError: A program did not end well.
    """
    import PIL.Image
    from flax import nnx

    from geovq.models.config import TinyAutoencoderConfig
    from geovq.models.tiny_autoencoder import TinyAutoencoder

    if (folder / "tokens" / "index.json").exists() and (folder / "done").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    config = TinyAutoencoderConfig(4, 4, (0, 0, 0, 1), (1, 0, 0, 0))
    TinyAutoencoder(config, rngs=nnx.Rngs(0)).save_pretrained(folder / "vae")
    rng = np.random.default_rng(0)
    (folder / "arrays").mkdir()
    for number in range(3):
        np.save(folder / "arrays" / f"{number}.npy", rng.integers(0, 256, (images, 32, 32, 3), dtype=np.uint8))
    (folder / "images").mkdir()
    for number in range(4):
        pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
    fit = ("--images", folder / "images", "--num-codes", 8, "--crop", 32, "--crops", 8)
    succeed(attempt(GEOVQ, "fit", "--autoencoder", folder / "vae", "--out", folder / "photos.npz", *fit))
    succeed(
        attempt(
            GEOVQ,
            "encode",
            folder / "photos.npz",
            folder / "images",
            "--out",
            folder / "tokens",
            "--assigner",
            "nearest",
        )
    )
    (folder / "done").write_text("")


def make_whole(jobs: tuple[Job, ...], place: Place) -> None:
    """Runs every job without any fault; those that are complete are left as they are.

    Raises:
        InputError: A program did not end well.
    """
    make_inputs(place.inputs)
    for job in jobs:
        folder = place.whole(job)
        if folder.with_name(f"{folder.name}.done").exists():
            continue
        shutil.rmtree(folder, ignore_errors=True)
        begin(job, jobs, place, folder)
        succeed(attempt(job.program, *job.command(folder, place.inputs)))
        folder.with_name(f"{folder.name}.done").write_text("")


def begin(job: Job, jobs: tuple[Job, ...], place: Place, folder: pathlib.Path) -> None:
    """Makes the folder that a job begins with, from the one that it continues."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for before in jobs:
        if before.name == job.after:
            shutil.copytree(place.whole(before), folder)


def succeed(found: Finished) -> None:
    """Raises InputError unless a program has ended well."""
    if found.returncode != 0:
        raise InputError(f"faults: expected a job without faults to end well, found: {found.stderr[-1000:]}")


def content(folder: pathlib.Path) -> dict[str, str]:
    """Returns what a folder says, by path: of arrays and records their content, without times; of other files every byte.

    Of checkpoints the best parameters count: an older step may remain whose removal was interrupted.

    Raises:
        InputError: A damaged file.
    """
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.name == "checkpoints" and path.is_dir():
            found[name] = fingerprint(path)
        elif path.is_file() and "checkpoints" not in path.relative_to(folder).parts[:-1] and path.name != ".lock":
            found[name] = _of_file(path)
    return found


def _of_file(path: pathlib.Path) -> str:
    if path.name == "stage.json":
        return digest({}, {name: value for name, value in read_record(path).items() if name != "seconds"})
    if path.name == "results.json":
        return digest({}, {"rows": read_record(path)["rows"]})
    if path.name == "report.html":  # says when it was made, and how long that took
        return "a page" if path.read_bytes().rstrip().endswith(b"</html>") else "no whole page"
    return (
        stored_digest(path) if path.suffix == ".npz" else digest({"bytes": np.frombuffer(path.read_bytes(), np.uint8)})
    )


def difference(found: dict[str, str], expected: dict[str, str], but: tuple[str, ...] = ()) -> str:
    """Says how two contents differ, by path; empty where they are the same.

    Args:
        found: Of a folder.
        expected: Of the one that was never interrupted.
        but: Paths that are not compared.
    """
    differing = [name for name in sorted(found.keys() | expected.keys()) if found.get(name) != expected.get(name)]
    said = {
        name: "missing" if name not in found else "extra" if name not in expected else "other" for name in differing
    }
    return ", ".join(f"{name} {how}" for name, how in said.items() if name not in but)
