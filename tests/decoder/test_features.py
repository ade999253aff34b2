"""Decoders with features: one metric for the pixels and what is seen in them."""

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.decoder.features import with_features
from geovq.metric.pullback import pullback_metric
from geovq.validation import InputError


def test_the_metric_is_the_sum_of_both(rng):
    weights, edges = rng.standard_normal((3, 12)).astype(np.float32), rng.standard_normal((12, 5)).astype(np.float32)

    def decode(z):
        return jnp.tanh(z @ weights).reshape(2, 2, 3)

    def features(image):
        return {"edges": jnp.sin(image.ravel() @ edges)}

    z = jnp.asarray(rng.standard_normal(3), jnp.float32)
    wanted = pullback_metric(decode, z) + 0.25 * pullback_metric(lambda z: features(decode(z))["edges"], z)
    np.testing.assert_allclose(pullback_metric(with_features(decode, features, 0.25), z), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), "1"])
def test_weights_that_cannot_be_are_refused(weight):
    with pytest.raises(InputError, match="weight: expected a finite number of at least 0, found"):
        with_features(jnp.sin, jnp.cos, weight)
