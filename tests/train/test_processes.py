"""Training in two processes with two devices each: what one finds, goes on from what one saved, and ends as a whole."""

import json
import pathlib
import shutil
import subprocess
import time
from collections.abc import Callable

import pytest

from geovq.storage.arrays import load_arrays
from tests import several
from tests.programs import kill_when, lines_of, process
from tests.runs import TINY, TINY_VAE

pytestmark = pytest.mark.slow

_SECONDS = 60
"""After which nothing is left of a run that has lost a process."""


def curve(run: pathlib.Path, stage: str) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (run / stage / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "sha256"} for row in rows]


def assert_same_curves(found: pathlib.Path, expected: pathlib.Path, stage: str) -> None:
    one, two = curve(found, stage), curve(expected, stage)
    assert len(one) == len(two) > 1
    for mine, theirs in zip(one, two, strict=True):
        assert mine == pytest.approx(theirs, rel=2e-3)


def succeed_together(name: str, folder: pathlib.Path, *flags: str) -> None:
    ended = several.processes(2, f"train.{name}", "--run", str(folder), *flags, "--distributed")
    assert [each.returncode for each in ended] == [0, 0], ended
    assert "2 processes, 4 devices" in ended[0].stdout


def kill_together(due: Callable[[], bool], victim: int, *flags: str) -> subprocess.CompletedProcess[str]:
    """Kills one of two processes that train a VAE, and waits for the other."""
    started = [several.start(each, "train.vae", *flags, "--distributed") for each in several.environments(2)]
    try:
        deadline = time.monotonic() + 5 * _SECONDS
        while not due() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert all(each.poll() is None for each in started), "expected processes at work, found one that had ended"
        started[victim].kill()
        other = started[1 - victim]
        printed, said = other.communicate(timeout=_SECONDS)
        return subprocess.CompletedProcess(other.args, other.returncode, printed, said)
    finally:
        for each in started:
            each.kill()
            each.communicate()


def test_two_processes_train_and_encode_as_one_does(whole, started, tmp_path):
    succeed_together("vae", tmp_path / "vae", *TINY_VAE)
    assert_same_curves(tmp_path / "vae", whole, "vae")
    gpt = tmp_path / "gpt"
    shutil.copytree(started, gpt)
    succeed_together("gpt", gpt, *TINY[TINY.index("--gpt.layers") : TINY.index("--sample.per-class")])
    tokens, expected = (load_arrays(run / "gpt" / "tokens.npz")[0] for run in (gpt, whole))
    for part in ("train", "val"):
        assert (tokens[part] == expected[part]).mean() > 0.999
    assert_same_curves(gpt, whole, "gpt")


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other_and_one_goes_on(whole, tmp_path, victim):
    folder, flags = tmp_path / "run", ["--run", str(tmp_path / "run"), *TINY_VAE]
    log = folder / "vae" / "metrics.jsonl"
    ended = kill_together(lambda: lines_of(log) >= 2, victim, *flags)
    assert ended.returncode != 0
    assert "another task died" in ended.stderr
    found = process("vae", *flags)
    assert found.returncode == 0, found.stderr
    assert "going on from step" in found.stdout
    assert_same_curves(folder, whole, "vae")


def test_two_go_on_from_what_one_has_saved(whole, tmp_path):
    folder, flags = tmp_path / "run", ["--run", str(tmp_path / "run"), *TINY_VAE]
    kill_when(lambda: lines_of(folder / "vae" / "metrics.jsonl") >= 2, "vae", *flags)
    succeed_together("vae", folder, *TINY_VAE)
    assert_same_curves(folder, whole, "vae")
