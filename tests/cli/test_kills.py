"""`geovq encode` killed at random moments: the same command goes on and ends with the same bytes."""

import random
import signal
import time

import numpy as np
import pytest

from tests.cli.programs import start
from tests.corpus.test_encoding import contents

pytestmark = pytest.mark.slow

_KILLS = 20

_SECONDS = 300
"""A process that takes longer than this is a failure."""


def test_killed_twenty_times_it_ends_with_the_same_bytes(work, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "compiled"))  # a kill may leave half an entry
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for i in range(24):
        np.save(tmp_path / f"images/{i:02}.npy", rng.integers(0, 256, (4096, 32, 32, 3), dtype=np.uint8))

    def begin(name):
        return start("encode", work / "photos.npz", tmp_path / "images", "--out", tmp_path / name)

    def wait_for_work(name, process):
        deadline = time.monotonic() + _SECONDS
        while not (tmp_path / name / "index.json").exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    process = begin("whole")
    wait_for_work("whole", process)
    began = time.monotonic()
    said = process.communicate(timeout=_SECONDS)
    assert process.returncode == 0, said
    seconds = time.monotonic() - began
    dice = random.Random(0)
    ends: list[int] = []
    while len(ends) < _KILLS:
        process = begin("killed")
        wait_for_work("killed", process)
        time.sleep(dice.uniform(0, 0.3) * seconds + 3 * len(ends) % 4)  # some before anything is loaded
        process.send_signal(dice.choice([signal.SIGKILL, signal.SIGTERM]))
        said = process.communicate(timeout=_SECONDS)
        ends.append(process.returncode)
        assert ends[-1] in (0, -signal.SIGKILL, -signal.SIGTERM, 130), said
    assert {-signal.SIGKILL, 130} <= {*ends}
    process = begin("killed")
    said = process.communicate(timeout=_SECONDS)
    assert process.returncode == 0, said
    found = contents(tmp_path / "killed")
    assert {name: data for name, data in found.items() if not name.startswith(".index.json.")} == contents(
        tmp_path / "whole"
    )
