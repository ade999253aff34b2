"""A small problem of assignment that many files share."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from geovq.assignment.base import Codebook, Inputs
from geovq.decoder.adapters import as_partial

H, W, D, K, N = 2, 2, 2, 6, 30


@pytest.fixture
def case(rng) -> tuple[Partial, Codebook, Inputs]:
    """A decoder with a metric of its own everywhere, a codebook, and latents."""
    weights = rng.standard_normal((H * W * D, 12)).astype(np.float32)
    decode = as_partial(lambda z: jnp.tanh(z.ravel() @ weights / 3).reshape(3, 4, 1))
    roots = rng.standard_normal((H, W, D, D))
    metrics = np.einsum("hwij,hwkj->hwik", roots, roots).astype(np.float32)
    codebook = Codebook(rng.standard_normal((1, K, D)).astype(np.float32), metrics)
    return decode, codebook, Inputs(rng.standard_normal((N, H, W, D)).astype(np.float32))
