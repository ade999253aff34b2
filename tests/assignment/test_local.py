"""Local: each token under its own metric, given or computed, all at once or in parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment import local
from geovq.assignment.base import Codebook, Inputs
from geovq.assignment.local import Local
from geovq.batching.plan import DEFAULT_PLAN
from geovq.decoder.adapters import as_partial
from geovq.metric.batched import token_metrics
from geovq.validation import InputError
from tests import reference
from tests.assignment.conftest import D, N


def test_local_uses_each_tokens_own_metric_given_or_computed(case):
    decode, codebook, inputs = case
    metrics = token_metrics(decode, inputs.latents)
    pairs = zip(inputs.latents.reshape(-1, D), metrics.reshape(-1, D, D), strict=True)
    wanted = [reference.nearest_under(z, codebook.codes[0], g) for z, g in pairs]
    np.testing.assert_array_equal(Local()(*case).ravel(), wanted)
    np.testing.assert_array_equal(Local()(decode, codebook, inputs._replace(metrics=metrics)).ravel(), wanted)
    sketched = Local(probes=64)(*case).ravel()
    assert np.mean(sketched == wanted) > 0.8


def test_given_metrics_decide_alone_by_hand():
    """Two tokens at 0, which see one number of their latents each; the decoder is not run."""
    codebook = Codebook(np.array([[[1, 0], [0, 2]]], np.float32), np.zeros((1, 2, 2, 2), np.float32))
    metrics = np.array([[[np.diag([1, 0]), np.diag([0, 1])]]], np.float32)
    inputs = Inputs(np.zeros((1, 1, 2, 2), np.float32), metrics=metrics)
    found = Local()(as_partial(lambda z: 1 / 0), codebook, inputs)
    np.testing.assert_array_equal(found[..., 0], [[[1, 0]]])


def test_parts_of_the_images_have_the_same_tokens_and_are_counted(case, monkeypatch):
    decode, codebook, inputs = case
    whole = Local()(*case)
    monkeypatch.setattr(local, "_AT_ONCE", 7)
    for some in (inputs, inputs._replace(metrics=token_metrics(decode, inputs.latents))):
        done: list[int] = []
        np.testing.assert_array_equal(Local()(decode, codebook, some, progress=done.append), whole)
        assert sum(done) == N


def test_large_grids_take_products_of_many_tokens_at_once(rng):
    """A kernel as wide as a token's block: responses end before those of the next tokens of a lattice begin."""
    kernel = rng.standard_normal((3, 3, 2, 1)).astype(np.float32)

    def decode(z):
        enlarged = jnp.repeat(jnp.repeat(z, 2, axis=0), 2, axis=1)[None]
        layout = ("NHWC", "HWIO", "NHWC")
        return jnp.tanh(jax.lax.conv_general_dilated(enlarged, kernel, (1, 1), "SAME", dimension_numbers=layout)[0])

    latents = rng.standard_normal((2, 6, 7, 2)).astype(np.float32)
    codebook = Codebook(rng.standard_normal((1, 9, 2)).astype(np.float32), np.eye(2, dtype=np.float32)[None, None])
    given = Inputs(latents, metrics=token_metrics(as_partial(decode), latents))
    wanted = Local()(as_partial(decode), codebook, given)
    np.testing.assert_array_equal(Local()(as_partial(decode), codebook, Inputs(latents)), wanted)
    assert Local().passes((64, 96, 2), codebook).tangents == Local().passes((32, 32, 2), codebook).tangents == 50


def test_metrics_are_exact_where_responses_reach_far(rng):
    """A decoder that adds the sum of all latents everywhere, with blocks of pixels on a large grid."""
    decode = as_partial(lambda z: jnp.repeat(z, 2, axis=0) + z.sum())
    latents = rng.standard_normal((2, 8, 8, 2)).astype(np.float32)
    found = local._measure(decode, latents, None, DEFAULT_PLAN, None)
    np.testing.assert_allclose(found, token_metrics(decode, latents), rtol=1e-5)


@pytest.mark.parametrize("probes", [0, -1, 1.5, True])
def test_numbers_of_probes_that_cannot_be_are_refused(probes):
    with pytest.raises(InputError, match="probes: expected a whole number of at least 1"):
        Local(probes=probes)
