"""Nearest: by hand, with ties and copies, and equal to a slow search."""

import numpy as np
import pytest

from geovq.assignment.base import Codebook, Inputs
from geovq.assignment.nearest import Nearest
from geovq.decoder.adapters import as_partial
from tests import reference
from tests.assignment.conftest import D


def assign(latents, codes):
    """Tokens (n,) of latents (n, d), each a grid of its own; the decoder is never run."""
    codes = np.asarray(codes, np.float32)
    d = codes.shape[-1]
    codebook = Codebook(codes.reshape(-1, codes.shape[-2], d), np.zeros((1, 1, d, d), np.float32))
    inputs = Inputs(np.asarray(latents, np.float32).reshape(-1, 1, 1, d))
    found = Nearest()(as_partial(lambda z: 1 / 0), codebook, inputs)
    assert found.dtype == np.int32
    return found[:, 0, 0]


def test_on_a_line_by_hand():
    np.testing.assert_array_equal(assign([[-9], [0.4], [0.6], [2.6], [9]], [[0], [1], [4]])[:, 0], [0, 0, 1, 2, 2])


@pytest.mark.parametrize(("codes", "wanted"), [([[0], [2]], 0), ([[2], [0]], 0), ([[5], [1], [1]], 1)])
def test_of_equally_near_codes_the_first_is_taken(codes, wanted):
    assert assign([[1]], codes) == wanted


def test_a_single_code_is_every_token():
    np.testing.assert_array_equal(assign([[0], [7]], [[100]]), [[0], [0]])


def test_the_codes_of_two_quantizers_add_up():
    """5 is 4 + 1, and 3 is 4 - 1: the second quantizer corrects the first."""
    np.testing.assert_array_equal(assign([[5], [3], [1]], [[[0], [4]], [[1], [-1]]]), [[1, 0], [1, 1], [0, 0]])


def test_equals_the_slow_truth(case):
    _, codebook, inputs = case
    wanted = [reference.nearest_under(z, codebook.codes[0], np.eye(D)) for z in inputs.latents.reshape(-1, D)]
    np.testing.assert_array_equal(Nearest()(*case).ravel(), wanted)
