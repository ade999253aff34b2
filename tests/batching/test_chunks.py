"""Chunks of one size, whatever the number of rows."""

import numpy as np
import pytest

from geovq.batching.chunks import map_chunks, padded_chunks


@pytest.mark.parametrize("n", [1, 3, 4, 5, 8])
def test_equals_one_call_and_sees_one_shape(n):
    rows = np.arange(2.0 * n).reshape(n, 2)
    shapes: set[tuple[int, ...]] = set()
    done: list[int] = []

    def double(x):
        shapes.add(x.shape)
        return 2 * x

    np.testing.assert_array_equal(map_chunks(double, rows, chunk=4, progress=done.append), 2 * rows)
    assert shapes == {(min(n, 4), 2)}
    assert sum(done) == n


def test_several_arrays_in_and_out():
    a, b = np.arange(5), np.arange(5) + 10
    total, difference = map_chunks(lambda x, y: (x + y, x - y), a, b, chunk=2)
    np.testing.assert_array_equal(total, a + b)
    np.testing.assert_array_equal(difference, a - b)


def test_fewer_rows_than_a_chunk_are_padded_if_asked():
    shapes: list[tuple[int, ...]] = []

    def double(x):
        shapes.append(x.shape)
        return 2 * x

    for n in (1, 4, 6):
        rows = np.arange(n)
        np.testing.assert_array_equal(map_chunks(double, rows, chunk=4, pad=True), 2 * rows)
    assert set(shapes) == {(4,)}


def test_chunks_name_their_rows():
    found = [(place, rows[0].tolist()) for place, rows in padded_chunks(np.arange(5), chunk=3)]
    assert found == [(slice(0, 3), [0, 1, 2]), (slice(3, 5), [3, 4, 4])]
