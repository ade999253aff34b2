"""Two processes with two devices each find what one finds."""

import numpy as np
import pytest

from geovq.batching import processes
from geovq.batching.chunks import spans
from geovq.batching.processes import Part
from geovq.storage.arrays import load_arrays
from geovq.validation import InputError
from tests import several
from tests.batching import worker


@pytest.mark.parametrize("n", [1, 2, 7, 12])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_row_is_in_the_chunks_of_a_process(n, count):
    parts = [spans(n, 3, Part(index, count)) for index in range(count)]
    assert all(parts)
    assert {row for part in parts for span in part for row in range(n)[span]} == set(range(n))
    whole = spans(n, 3)
    if count <= len(whole):  # else some have the same
        assert sorted(span.start for part in parts for span in part) == [span.start for span in whole]


def test_two_processes_find_what_one_finds(tmp_path):
    ended = several.processes(2, "tests.batching.worker", str(tmp_path))
    assert [each.returncode for each in ended] == [0, 0], ended
    assert "distributed: 2 processes, 4 devices" in ended[0].stdout
    assert not ended[1].stdout
    expected = worker.compute()
    for index in range(2):
        found, _ = load_arrays(tmp_path / f"{index}.npz")
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-6, err_msg=name)
            assert found[name].dtype == np.asarray(value).dtype
        np.testing.assert_array_equal(found["own"], worker.ROWS[index::2] + index)
        assert (tmp_path / f"own-{index}").exists()


@pytest.mark.parametrize(
    "given",
    [
        {"JAX_NUM_PROCESSES": "2"},
        {"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "0"},
        {"JAX_COORDINATOR_ADDRESS": "localhost:1", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "2"},
        {"JAX_COORDINATOR_ADDRESS": "localhost:1", "JAX_NUM_PROCESSES": "two", "JAX_PROCESS_ID": "0"},
    ],
)
def test_half_a_cluster_is_refused(monkeypatch, given):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="set all three"):
        processes.join()


def test_one_process_shares_with_nobody():
    assert processes.part() == Part(0, 1)
    assert processes.mesh() is processes.own_mesh() is None
