"""Signals, and what else ends a program early: one line, and a status that says which."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from geovq.cli import interruption
from tests.programs import program

TERMINATED = 1 << (signal.SIGTERM - 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_a_program_starts_is_one_line(number, tmp_path, request):
    command = [sys.executable, "-m", "train.vae", "--dataset", "digits", "--run", str(tmp_path / "run")]
    before = signal.signal(number, signal.SIG_DFL)  # a shell's background jobs, and what they start, ignore Ctrl-C
    request.addfinalizer(lambda: signal.signal(number, before))
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"GLIBC_TUNABLES": ""}
    ) as started:
        deadline = time.monotonic() + 60
        while not _catches_sigterm(started.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        started.send_signal(number)
        _, said = started.communicate(timeout=60)
    assert started.returncode == 128 + number
    assert said.startswith("interrupted")
    assert said.count("\n") == 1


def _catches_sigterm(pid: int) -> bool:
    status = pathlib.Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("expected Linux")
    caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) & TERMINATED)


def test_afterwards_signals_do_what_they_did_before():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with interruption.working():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 7 TiB"),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nmore"),
    ],
)
def test_too_little_memory_is_one_line(error, tmp_path, monkeypatch):
    def fails(*_):
        raise error

    monkeypatch.setattr("train.stages.vae.run", fails)
    found = program("vae", "--dataset", "digits", "--run", str(tmp_path / "run"))
    assert found.returncode == 2
    assert found.stderr == (
        f"error: expected room in memory, found: {str(error).splitlines()[0]}; choose a smaller batch, a smaller network, or "
        "fewer images or codes. The same command goes on from the last checkpoint.\n"
    )


def test_other_errors_are_not_hidden(tmp_path, monkeypatch):
    def fails(*_):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr("train.stages.vae.run", fails)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        program("vae", "--dataset", "digits", "--run", str(tmp_path / "run"))
