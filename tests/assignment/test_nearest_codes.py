"""Assignments: a case by hand for each, then the slow truth, code after code."""

import jax
import numpy as np
import pytest

from geovq.assignment.nearest import assign_euclidean, assign_local, assign_whitened
from geovq.numerics.linalg import eigen_root
from tests import reference


def random_metrics(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    roots = rng.standard_normal((n, d + 1, d))
    return np.einsum("npi,npj->nij", roots, roots).astype(np.float32)


CODES = np.array([[1, 0], [0, 2]], np.float32)


def test_by_hand():
    origin = np.zeros((1, 2), np.float32)
    np.testing.assert_array_equal(assign_euclidean(origin, CODES), [0])
    stretched = np.diag([9, 1]).astype(np.float32)  # a step along the first axis moves the image three times as far
    np.testing.assert_array_equal(assign_whitened(origin, CODES, stretched), [1])
    np.testing.assert_array_equal(
        assign_local(np.repeat(origin, 2, 0), CODES, np.stack([stretched, np.eye(2)])), [1, 0]
    )


def test_equals_the_slow_truth(rng):
    z, codes, metrics = rng.standard_normal((50, 4)), rng.standard_normal((20, 4)), random_metrics(50, 4, rng)
    z, codes = z.astype(np.float32), codes.astype(np.float32)
    euclidean = [reference.nearest_under(point, codes, np.eye(4)) for point in z]
    np.testing.assert_array_equal(assign_euclidean(z, codes), euclidean)
    whitened = [reference.nearest_under(point, codes, metrics[0]) for point in z]
    np.testing.assert_array_equal(assign_whitened(z, codes, metrics[0]), whitened)
    local = [reference.nearest_under(point, codes, g) for point, g in zip(z, metrics, strict=True)]
    np.testing.assert_array_equal(assign_local(z, codes, metrics), local)


def test_codes_are_assigned_to_themselves_far_from_the_origin(rng):
    codes = rng.standard_normal((300, 16)).astype(np.float32) + 100
    everyone = np.arange(300)
    np.testing.assert_array_equal(assign_euclidean(codes, codes), everyone)
    np.testing.assert_array_equal(assign_local(codes, codes, random_metrics(300, 16, rng)), everyone)


@pytest.mark.parametrize(("chunk", "block"), [(3, 512), (10, 4), (7, 2), (6, 3)])
def test_rows_do_not_depend_on_chunks_and_blocks(chunk, block, rng, monkeypatch):
    z = rng.standard_normal((10, 4)).astype(np.float32)
    codes, metrics = rng.standard_normal((7, 4)).astype(np.float32), random_metrics(10, 4, rng)
    whole = assign_local(z, codes, metrics), assign_euclidean(z, codes)
    monkeypatch.setattr("geovq.assignment.nearest._CHUNK", chunk)
    monkeypatch.setattr("geovq.assignment.nearest._BLOCK", block)
    jax.clear_caches()  # blocks are compiled in
    np.testing.assert_array_equal(assign_local(z, codes, metrics), whole[0])
    np.testing.assert_array_equal(assign_euclidean(z, codes), whole[1])


def test_first_of_equal_codes_is_taken():
    codes = np.array([[1, 0], [1, 0], [-1, 0]], np.float32)
    np.testing.assert_array_equal(assign_euclidean(np.array([[1, 1]], np.float32), codes), [0])


def test_square_root_of_a_singular_metric():
    metric = np.array([[4, 0], [0, 0]], np.float32)
    np.testing.assert_allclose(eigen_root(metric), [[2, 0], [0, 0]], atol=1e-6)
