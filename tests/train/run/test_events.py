"""Events of a training, read back from their files: the numbers of metrics.jsonl, also after an interruption."""

import json
import struct
import sys

import numpy as np
import pytest

from geovq.validation import InputError
from tests.programs import program
from train.run import events

ROWS = [
    {"epoch": 1, "step": 10, "train_loss": 0.5, "val_loss": 0.25, "val_squared_error": 1.0},
    {"epoch": 2, "step": 20, "train_loss": 1 / 3, "val_loss": 0.125, "val_squared_error": 2.0},
]


@pytest.fixture
def asked(monkeypatch):
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed; pip install 'geovq[tensorboard]'")
    monkeypatch.setattr(events, "_asked", False)
    events.ask()


def read_back(folder):
    """Scalars by name and step: records of a length, its checksum, an event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, dict[int, float]] = {}
    for path in folder.iterdir():
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
            data = data[16 + length :]
    return found


@pytest.mark.usefixtures("asked")
def test_events_are_the_rows_of_the_log_before_and_after_an_interruption(tmp_path):
    log = tmp_path / "metrics.jsonl"
    with events.events(log) as write:
        for row in ROWS:
            write({**row, "val_loss": 99.0})  # what the interrupted training had after its last checkpoint
    log.write_text(json.dumps({**ROWS[0], "sha256": "0"}) + "\n")
    with events.events(log) as write:
        write(ROWS[1])
    found = read_back(tmp_path / events.FOLDER)
    assert found.keys() == {"loss/train", "loss/val", "squared_error/val"}
    for name, key in (
        ("loss/train", "train_loss"),
        ("loss/val", "val_loss"),
        ("squared_error/val", "val_squared_error"),
    ):
        assert found[name] == {row["step"]: float(np.float32(row[key])) for row in ROWS}


@pytest.mark.usefixtures("asked")
def test_a_training_writes_events(tmp_path):
    from tests.train.loop.test_loop import MeanTask, schedule, train

    train(tmp_path, MeanTask(), schedule(2))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    found = read_back(tmp_path / events.FOLDER)
    assert found["loss/val"] == {row["step"]: float(np.float32(row["val_loss"])) for row in rows}
    assert found["mean/train"].keys() == {row["step"] for row in rows}


def test_nothing_is_written_where_nobody_asked(tmp_path):
    with events.events(tmp_path / "metrics.jsonl") as write:
        write(ROWS[0])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(InputError, match=r"pip install 'geovq\[tensorboard\]'"):
        events.ask()
    found = program("vae", "--run", str(tmp_path / "run"), "--tensorboard")
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
