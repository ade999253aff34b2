"""Chunks of one size, whatever the number of rows."""

import numpy as np
import pytest

from geovq.chunks import map_chunks


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
