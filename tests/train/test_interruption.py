"""Interrupted programs: killed, on a full disk, or with damaged checkpoints; the same command ends with the same bits."""

import shutil
import subprocess
import sys

import pytest

from tests.programs import kill_when, lines_of, process
from tests.runs import TINY, TINY_VAE, outputs

pytestmark = pytest.mark.slow


def test_killed_in_every_stage_it_ends_with_the_same_bits(whole, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "compiled"))  # a kill may leave half an entry
    folder = tmp_path / "broken"
    for due in (
        lambda: lines_of(folder / "vae/metrics.jsonl") >= 2,
        lambda: (folder / "codebook/geometry.npz").exists(),
        lambda: lines_of(folder / "gpt/metrics.jsonl") >= 2,
    ):
        kill_when(due, "pipeline", "--run", str(folder), *TINY)
    found = process("pipeline", "--run", str(folder), *TINY)
    assert found.returncode == 0, found.stderr
    assert "going on from step" in found.stdout
    assert outputs(folder) == outputs(whole)
    logs = [(run / "gpt/metrics.jsonl").read_text() for run in (folder, whole)]
    assert logs[0] == logs[1]


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path):
    """Files larger than 20 kB cannot be written; without that limit the same command goes on."""
    command = [sys.executable, "-m", "train.vae", "--run", str(tmp_path / "full"), *TINY_VAE]
    limit = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    limited = f"{limit}; sys.argv = {command[2:]!r}; runpy.run_module('train.vae', run_name='__main__', alter_sys=True)"
    found = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, timeout=120)
    assert found.returncode == 2, found.stderr
    assert [line for line in found.stderr.splitlines() if line.startswith("error: ") and "free space" in line]
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr


def test_training_goes_on_from_the_checkpoint_before_a_damaged_one(whole, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(whole, folder)
    newest = max((folder / "gpt/checkpoints").iterdir(), key=lambda step: int(step.name) if step.name.isdigit() else -1)
    for path in (newest / "state").rglob("d/*"):
        path.write_bytes(path.read_bytes()[:-10])
    found = process("sample", "--run", str(folder))
    assert found.returncode == 2
    assert "python -m train.gpt" in found.stderr
    assert "Event loop" not in found.stderr
    found = process("gpt", "--run", str(folder))
    assert found.returncode == 0, found.stderr
    assert "going on from step" in found.stdout
    assert outputs(folder) == outputs(whole)
