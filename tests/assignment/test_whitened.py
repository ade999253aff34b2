"""Whitened: by hand under metrics that turn the order of codes round, and equal to a slow search."""

import numpy as np

from geovq.assignment.base import Codebook, Inputs
from geovq.assignment.nearest import Nearest
from geovq.assignment.whitened import Whitened
from geovq.decoder.adapters import as_partial
from tests import reference
from tests.assignment.conftest import D, H, W

CODES = np.array([[[1, 0], [0, 2]]], np.float32)


def assign(assigner, metrics, latents):
    return assigner(
        as_partial(lambda z: 1 / 0),
        Codebook(CODES, np.asarray(metrics, np.float32)),
        Inputs(np.asarray(latents, np.float32)),
    )[..., 0]


def test_a_direction_that_the_image_does_not_see_costs_nothing():
    """From 0 the code (1, 0) is nearer; where only the first number matters, (0, 2) changes nothing."""
    latents = np.zeros((1, 1, 1, 2))
    assert assign(Nearest(), [[np.eye(2)]], latents) == 0
    assert assign(Whitened(), [[np.eye(2)]], latents) == 0
    assert assign(Whitened(), [[np.diag([1, 0])]], latents) == 1
    assert assign(Whitened(), [[np.zeros((2, 2))]], latents) == 0  # all are equally near, so the first


def test_each_position_has_its_own_mean_metric_on_request():
    metrics = [[np.diag([1.0, 0]), np.diag([0, 1.0])]]
    latents = np.zeros((3, 1, 2, 2))
    np.testing.assert_array_equal(assign(Whitened(per_position=True), metrics, latents), [[[1, 0]]] * 3)
    np.testing.assert_array_equal(assign(Whitened(), metrics, latents), [[[0, 0]]] * 3)


def test_equals_the_slow_truth(case):
    _, codebook, inputs = case
    codes = codebook.codes[0]
    wanted = [reference.nearest_under(z, codes, codebook.mean_metric) for z in inputs.latents.reshape(-1, D)]
    np.testing.assert_array_equal(Whitened()(*case).ravel(), wanted)
    found = Whitened(per_position=True)(*case)
    for i, j in np.ndindex(H, W):
        metric = codebook.position_metrics[i, j]
        wanted = [reference.nearest_under(z, codes, metric) for z in inputs.latents[:, i, j]]
        np.testing.assert_array_equal(found[:, i, j, 0], wanted)


def test_one_grid_alone_has_the_same_tokens(case):
    decode, codebook, inputs = case
    for assigner in (Whitened(), Whitened(per_position=True)):
        alone = assigner(decode, codebook, Inputs(inputs.latents[3:4]))
        np.testing.assert_array_equal(alone[0], assigner(*case)[3])
