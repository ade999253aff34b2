"""Geodesic: along the graph, round a bend that no straight line follows; and what is refused."""

import numpy as np
import pytest

from geovq.assignment.base import Codebook, Inputs, Training
from geovq.assignment.geodesic import Geodesic
from geovq.assignment.nearest import Nearest
from geovq.decoder.adapters import as_partial
from geovq.geometry.measured import measure
from geovq.validation import InputError
from tests.assignment.conftest import D, H, K, N, W


def test_geodesic_follows_the_graph_and_needs_it(case):
    decode, codebook, inputs = case
    geometry = measure(decode, inputs.latents, num_neighbours=6)
    measured = Geodesic().measure(decode, codebook, Training(np.asarray, geometry=geometry))
    assert measured.is_measured(codebook)
    assert not measured.is_measured(codebook._replace(codes=2 * codebook.codes))
    tokens = measured(*case)
    assert tokens.shape == (N, H, W, 1)
    at_codes = Inputs(np.broadcast_to(codebook.codes[0][:, None, None], (K, H, W, D)).copy())
    own = measured(decode, codebook, at_codes)
    assert np.mean(own[..., 0] == np.arange(K)[:, None, None]) > 0.9
    with pytest.raises(InputError, match=r"geometry: expected what geovq.geometry.measure returns .* found ndarray"):
        Geodesic().measure(decode, codebook, Training(np.asarray, geometry=inputs.latents))
    with pytest.raises(InputError, match="geometry: expected the measured graph"):
        Geodesic().measure(decode, codebook, Training(np.asarray))


def test_the_way_along_the_data_decides():
    """Latents on three quarters of a circle: over the gap one code is nearer, along the data the other."""
    angles = np.linspace(0, 1.5 * np.pi, 60)
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32).reshape(60, 1, 1, 2)
    decode = as_partial(lambda z: z)
    codebook = Codebook(arc[[0, 30], 0, 0][None], np.eye(2, dtype=np.float32)[None, None])
    geometry = measure(decode, arc, num_neighbours=2)
    end = Inputs(arc[-1:])
    measured = Geodesic().measure(decode, codebook, Training(np.asarray, geometry=geometry))
    assert Nearest()(decode, codebook, end) == 0
    assert measured(decode, codebook, end) == 1


def test_a_code_that_cannot_be_reached_is_token_k():
    """Two clusters that were left apart, and a code in one of them."""
    latents = np.array([0, 1, 2, 100, 101], np.float32).reshape(5, 1, 1, 1)
    decode = as_partial(lambda z: z)
    codebook = Codebook(np.zeros((1, 1, 1), np.float32), np.ones((1, 1, 1, 1), np.float32))
    for components, wanted in (("bridge", [0, 0]), ("drop", [0, 1])):
        geometry = measure(decode, latents, num_neighbours=1, components=components)
        geometry = geometry._replace(num_neighbours=1)
        measured = Geodesic().measure(decode, codebook, Training(np.asarray, geometry=geometry))
        np.testing.assert_array_equal(measured(decode, codebook, Inputs(latents[[1, 4]])).ravel(), wanted)


def test_latents_of_other_dimensions_are_refused(case):
    decode, _, inputs = case
    geometry = measure(decode, inputs.latents, num_neighbours=3)
    wide = Codebook(np.zeros((1, K, D + 1), np.float32), np.zeros((H, W, D + 1, D + 1), np.float32))
    with pytest.raises(InputError, match=f"for latents of {D + 1} dimensions, found Geometry"):
        Geodesic().measure(decode, wide, Training(np.asarray, geometry=geometry))
    with pytest.raises(InputError, match="probes: expected a whole number"):
        Geodesic(probes=0)
