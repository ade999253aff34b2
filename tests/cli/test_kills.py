"""`geovq encode` killed at random moments: the same command goes on and ends with the same bytes."""

import random
import signal
import time

import numpy as np
import pytest

from benchmarks.faults.kills import SIGNALS, kill, was_killed
from benchmarks.faults.processes import SECONDS
from tests.cli.programs import start
from tests.corpus.test_encoding import contents

pytestmark = pytest.mark.slow

_KILLS = 20


def test_killed_twenty_times_it_ends_with_the_same_bytes(work, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "compiled"))  # a kill may leave half an entry
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for i in range(24):
        np.save(tmp_path / f"images/{i:02}.npy", rng.integers(0, 256, (4096, 32, 32, 3), dtype=np.uint8))

    def begin(name):
        return start("encode", work / "photos.npz", tmp_path / "images", "--out", tmp_path / name)

    def at_work(name):
        return lambda: (tmp_path / name / "index.json").exists()

    began, process = time.monotonic(), begin("whole")
    said = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    seconds = time.monotonic() - began
    dice = random.Random(0)
    ends: list[object] = []
    while len(ends) < _KILLS:
        after = dice.uniform(0, 0.3) * seconds + 3 * len(ends) % 4
        ended = kill(begin("killed"), at_work("killed"), after, dice.choice(SIGNALS))
        assert isinstance(ended.returncode, int)
        ends.append(ended.returncode)
        assert ended.returncode == 0 or was_killed(ended), ended
    assert {-signal.SIGKILL, 130} <= {*ends}
    process = begin("killed")
    said = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
