"""Nearest codes: a case by hand for each distance, then the slow truth, code after code."""

import jax
import numpy as np
import pytest

from geovq.assignment.nearest_codes import nearest_tokens, nearest_tokens_under, nearest_tokens_whitened
from tests import reference


def one(tokens: np.ndarray) -> np.ndarray:
    """Tokens of a single quantizer, without its axis."""
    return tokens[:, 0]


def random_metrics(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    roots = rng.standard_normal((n, d + 1, d))
    return np.einsum("npi,npj->nij", roots, roots).astype(np.float32)


CODES = np.array([[1, 0], [0, 2]], np.float32)


def test_by_hand():
    origin = np.zeros((1, 2), np.float32)
    np.testing.assert_array_equal(one(nearest_tokens(origin, CODES[None])), [0])
    stretched = np.diag([9, 1]).astype(np.float32)  # a step along the first axis moves the image three times as far
    np.testing.assert_array_equal(one(nearest_tokens_whitened(origin, CODES[None], stretched)), [1])
    np.testing.assert_array_equal(
        one(nearest_tokens_under(np.repeat(origin, 2, 0), CODES[None], np.stack([stretched, np.eye(2)]))), [1, 0]
    )


def test_equals_the_slow_truth(rng):
    z, codes, metrics = rng.standard_normal((50, 4)), rng.standard_normal((20, 4)), random_metrics(50, 4, rng)
    z, codes = z.astype(np.float32), codes.astype(np.float32)
    euclidean = [reference.nearest_under(point, codes, np.eye(4)) for point in z]
    np.testing.assert_array_equal(one(nearest_tokens(z, codes[None])), euclidean)
    whitened = [reference.nearest_under(point, codes, metrics[0]) for point in z]
    np.testing.assert_array_equal(one(nearest_tokens_whitened(z, codes[None], metrics[0])), whitened)
    local = [reference.nearest_under(point, codes, g) for point, g in zip(z, metrics, strict=True)]
    np.testing.assert_array_equal(one(nearest_tokens_under(z, codes[None], metrics)), local)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_without_sweeps_they_are_the_tokens_of_a_residual_vq(count, rng):
    z = rng.standard_normal((40, 3)).astype(np.float32)
    codes = (rng.standard_normal((count, 6, 3)) + 5).astype(
        np.float32
    )  # codes that are not chosen yet count for nothing
    own = np.stack([reference.residual_tokens(point, codes) for point in z])
    np.testing.assert_array_equal(nearest_tokens(z, codes, sweeps=0), own)
    swept = nearest_tokens(z, codes)
    errors = [((z - reference.summed_codes(codes, tokens)) ** 2).sum() for tokens in (swept, own)]
    assert errors[0] < errors[1] or (count == 1 and errors[0] == errors[1])


def test_codes_are_assigned_to_themselves_far_from_the_origin(rng):
    codes = rng.standard_normal((300, 16)).astype(np.float32) + 100
    everyone = np.arange(300)
    np.testing.assert_array_equal(one(nearest_tokens(codes, codes[None])), everyone)
    np.testing.assert_array_equal(one(nearest_tokens_under(codes, codes[None], random_metrics(300, 16, rng))), everyone)


@pytest.mark.parametrize(("chunk", "block"), [(3, 512), (10, 4), (7, 2), (6, 3)])
def test_rows_do_not_depend_on_chunks_and_blocks(chunk, block, rng, monkeypatch):
    z = rng.standard_normal((10, 4)).astype(np.float32)
    codes, metrics = rng.standard_normal((7, 4)).astype(np.float32), random_metrics(10, 4, rng)
    whole = one(nearest_tokens_under(z, codes[None], metrics)), one(nearest_tokens(z, codes[None]))
    monkeypatch.setattr("geovq.assignment.nearest_codes._CHUNK", chunk)
    monkeypatch.setattr("geovq.assignment.nearest_codes._BLOCK", block)
    jax.clear_caches()  # blocks are compiled in
    np.testing.assert_array_equal(one(nearest_tokens_under(z, codes[None], metrics)), whole[0])
    np.testing.assert_array_equal(one(nearest_tokens(z, codes[None])), whole[1])


def test_first_of_equal_codes_is_taken():
    codes = np.array([[1, 0], [1, 0], [-1, 0]], np.float32)
    np.testing.assert_array_equal(one(nearest_tokens(np.array([[1, 1]], np.float32), codes[None])), [0])
