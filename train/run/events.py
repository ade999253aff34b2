"""Training logs for TensorBoard, where they were asked for: the numbers of metrics.jsonl, in STAGE/tensorboard.

They are a copy, and no output of a stage: a training that goes on writes them anew from metrics.jsonl, so that they agree with
it whatever happened before.
"""

import contextlib
import importlib.util
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping

from geovq.batching import processes
from geovq.validation import InputError

FOLDER = "tensorboard"

_PLACES = ("epoch", "step", "sha256")
"""Entries of a row that are no scores."""

_asked = False


def ask() -> None:
    """Makes the trainings of this process write events.

    Raises:
        InputError: The package that writes them is not installed.
    """
    global _asked
    if importlib.util.find_spec("tensorboardX") is None:
        raise InputError(
            "tensorboard: expected tensorboardX to be installed, found nothing; run pip install 'geovq[tensorboard]', or leave "
            "--tensorboard out."
        )
    _asked = True


@contextlib.contextmanager
def events(log: pathlib.Path) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Writes the rows of a log as events, then those that it is called with; does nothing where nobody asked.

    Args:
        log: A training's metrics.jsonl. The events are in a folder beside it.

    Yields:
        A function of a new row. A score `train_loss` becomes the scalar `loss/train` at the row's step.
    """
    if not _asked or processes.part().index:
        yield lambda row: None
        return
    from tensorboardX import SummaryWriter

    folder = log.with_name(FOLDER)
    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(str(folder)) as writer:

        def write(row: Mapping[str, float]) -> None:
            for name, value in row.items():
                if name not in _PLACES:
                    split, _, score = name.partition("_")
                    writer.add_scalar(f"{score}/{split}", value, int(row["step"]))
            writer.flush()

        for line in log.read_text().splitlines() if log.exists() else ():
            write(json.loads(line))
        yield write
