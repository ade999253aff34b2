"""Dead codes: by hand, with ties, too few candidates, and under a metric."""

import numpy as np

from geovq.assignment.nearest_codes import nearest_tokens_whitened
from geovq.codebook.dead_codes import revive_codes, revive_whitened


def test_dead_codes_by_hand():
    """Codes 1 and 2 of three are dead; the candidates with the greatest errors are the last and the first."""
    codes = np.array([[0.0], [9.0], [8.0]])
    found = revive_codes(codes, np.zeros((2, 2), int), np.array([[5.0], [6.0], [7.0]]), np.array([2.0, 1.0, 3.0]))
    np.testing.assert_array_equal(found.codes, [[0], [7], [5]])
    np.testing.assert_array_equal(found.moved, [1, 2])
    np.testing.assert_array_equal(found.chosen, [2, 0])
    np.testing.assert_array_equal(codes, [[0], [9], [8]])
    few = revive_codes(codes, np.zeros(2, int), np.array([[5.0]]), np.ones(1))
    np.testing.assert_array_equal(few.codes, [[0], [5], [8]])


def test_dead_codes_come_back(rng):
    latents, metric = rng.standard_normal((100, 3)).astype(np.float32), np.diag([4.0, 1.0, 0.2]).astype(np.float32)
    codes = np.concatenate([latents[:5], np.full((5, 3), 40, np.float32)])
    found = revive_whitened(codes, latents, metric)
    assert len(np.unique(nearest_tokens_whitened(latents, found[None], metric))) == 10
    np.testing.assert_array_equal(found[:5], codes[:5])


def test_codes_that_are_used_stay_to_the_bit():
    codes = np.array([[0.1], [0.2]], np.float32)
    found = revive_codes(codes, np.array([1, 0]), np.zeros((3, 1), np.float32), np.ones(3))
    np.testing.assert_array_equal(found.codes, codes, strict=True)
    assert len(found.moved) == len(found.chosen) == 0


def test_of_equal_errors_the_first_candidates_are_taken():
    found = revive_codes(np.zeros((3, 1)), np.array([1]), np.array([[5.0], [6.0], [7.0]]), np.ones(3))
    np.testing.assert_array_equal(found.codes.ravel(), [5, 0, 6])


def test_latents_that_the_metric_cannot_tell_apart_leave_a_code_dead():
    """It ends all the same: two latents, which differ only where the image does not change."""
    latents = np.array([[0, 0], [0, 1]], np.float32)
    found = revive_whitened(np.zeros((2, 2), np.float32), latents, np.diag([1, 0]).astype(np.float32))
    tokens = nearest_tokens_whitened(latents, found[None], np.diag([1, 0]).astype(np.float32))
    np.testing.assert_array_equal(tokens.ravel(), [0, 0])
