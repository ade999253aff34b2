"""Runs of the pipeline in processes of their own, which are killed in a stage with some of its work on the disk."""

import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

from geovq.storage import read_json
from train.pipeline import STAGES

SECONDS = 900
"""A run that takes longer than this is a failure."""


def epochs_logged(folder: pathlib.Path) -> int:
    """Lines of a stage's log."""
    log = folder / "metrics.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


KILLS: Mapping[str, Callable[[pathlib.Path], bool]] = {
    "vae": lambda folder: epochs_logged(folder / "vae") >= 2,
    "codebook": lambda folder: (folder / "codebook" / "geometry.npz").exists(),
    "gpt": lambda folder: epochs_logged(folder / "gpt") >= 2,
}
"""When to kill: in the stage, with some of its work on the disk."""


def pipeline(folder: pathlib.Path, flags: Sequence[str], kill: Callable[[pathlib.Path], bool] | None = None) -> str:
    """Runs the pipeline in a process of its own, and kills it when `kill` says so.

    Args:
        folder: The run folder.
        flags: Of train.pipeline.
        kill: Looks at the folder; None lets the run end.

    Returns:
        What it printed.

    Raises:
        RuntimeError: It failed, or ended before it was killed.
    """
    with tempfile.TemporaryFile("w+") as log:
        command = [sys.executable, "-m", "train.pipeline", "--run", str(folder), *flags]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + SECONDS
        killed = False
        while process.poll() is None:
            if (kill is not None and kill(folder)) or time.monotonic() > deadline:
                process.kill()
                process.wait()
                killed = True
            time.sleep(0.02)
        log.seek(0)
        printed = log.read()
    if killed != (kill is not None) or (not killed and process.returncode):
        raise RuntimeError(f"expected a run {'to be killed' if kill else 'to end'}, found:\n{printed}")
    return printed


def outputs(folder: pathlib.Path) -> dict[str, str]:
    """SHA-256 of every output of a complete run."""
    return {name: sha for stage in STAGES for name, sha in read_json(folder / stage / "stage.json")["outputs"].items()}
