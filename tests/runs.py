"""A tiny run that many tests share, and what they ask of run folders."""

import dataclasses
import functools
import pathlib
import shutil
from collections.abc import Iterator

import pytest

from geovq.storage.records import read_json
from tests.programs import program
from train.config.options import GPTOptions
from train.run.folder import Run, stored_run

TINY_VAE = [
    *("--dataset", "digits"),
    *("--vae.width", "4", "--vae.max-width", "8", "--vae.epochs", "4", "--vae.batch-size", "256"),
    *("--vae.checkpoint-every", "3"),
]
TINY_GPT = ["--gpt.layers", "1", "--gpt.width", "16", "--gpt.heads", "2", "--gpt.batch-size", "256"]
TINY = [
    *TINY_VAE,
    *("--codebook.num-codes", "8", "--codebook.max-images", "20", "--codebook.num-neighbours", "4"),
    *("--codebook.codebooks", "kmeans", "whitened", "geodesic"),
    *(*TINY_GPT, "--gpt.epochs", "4", "--gpt.checkpoint-every", "3", "--gpt.label-smoothing", "0.1"),
    *("--gpt.start", "random", "--sample.per-class", "2"),
    *("--evaluate.assigners", "euclidean", "whitened", "local", "geodesic", "--evaluate.max-images", "40"),
]

ROUNDS = [
    *("--finetune.assigners", "whitened", "joint", "--finetune.probes", "4", "--finetune.max-images", "256"),
    *("--finetune.max-val-images", "40", "--finetune.rounds", "2", "--finetune.epochs", "3", "2"),
    *("--finetune.batch-size", "128", "--finetune.checkpoint-every", "4", "--finetune.codebook", "whitened"),
]


def succeed(name: str, folder: pathlib.Path, *flags: str) -> str:
    """What a program prints that ends well."""
    found = program(name, "--run", str(folder), *flags)
    assert found.returncode == 0, found.stderr
    return found.stdout


def run_of(folder: pathlib.Path) -> Run:
    """The run in a folder."""
    return stored_run(folder)


def outputs(folder: pathlib.Path) -> dict[str, str]:
    """SHA-256 of every output of a complete run."""
    return {
        name: sha
        for stage in ("vae", "codebook", "gpt", "sample", "evaluate")
        for name, sha in read_json(folder / stage / "stage.json")["outputs"].items()
    }


CHEAP_JOINT = """
import functools, train.config.assigners as assigners
assigners.Joint = functools.partial(assigners.Joint, jacobians=1, corrections=0)
"""
"""Joint tokens of one linearisation, without corrections, whose kernel compiles in a fraction of the time; for processes too."""


@pytest.fixture(scope="session", autouse=True)
def cheap_joint() -> Iterator[None]:
    """Programs that are called in the tests' process assign joint tokens as cheaply."""
    from train.config import assigners

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assigners, "Joint", functools.partial(assigners.Joint, jacobians=1, corrections=0))
        yield


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A complete run that was never interrupted; tests copy it before they change anything."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    succeed("pipeline", folder, *TINY)
    return folder


@pytest.fixture(scope="session")
def started(whole: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Its VAE and codebooks alone."""
    folder = tmp_path_factory.mktemp("runs") / "started"
    for name in ("vae", "codebook"):
        shutil.copytree(whole / name, folder / name)
    shutil.copy(whole / "config.json", folder)
    return folder


@pytest.fixture(scope="session")
def tuned(started: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, str]:
    """The same, fine-tuned, and what was printed."""
    folder = tmp_path_factory.mktemp("runs") / "tuned"
    shutil.copytree(started, folder)
    return folder, succeed("finetune", folder, *ROUNDS)


@pytest.fixture(scope="session")
def expected(started: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """A Transformer over whitened tokens, and one over tokens that the first expects."""
    from train.stages import gpt

    options = GPTOptions(codebook="whitened", layers=1, width=16, heads=2, epochs=4, batch_size=256, learning_rate=1e-2)
    folder = tmp_path_factory.mktemp("expected")
    shutil.copytree(started, folder / "first")
    first = Run(folder / "first", dataclasses.replace(run_of(started).config, gpt=options))
    gpt.run(first)
    shutil.copytree(started, folder / "weighed")
    flags = ["--gpt.codebook", "whitened", "--gpt.assigner", "amortised", "--gpt.nat-weight", "0.5"]
    flags += [*TINY_GPT, "--gpt.epochs", "2", "--gpt.average", "0.9", "--gpt.label-smoothing", "0"]
    succeed("gpt", folder / "weighed", "--prior", str(first.folder), *flags)
    return first, run_of(folder / "weighed")
