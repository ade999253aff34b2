"""What all assigners have in common: tokens of the right shape, what they need, and what is refused."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.amortised import Amortised
from geovq.assignment.base import Assigner, Codebook, Inputs, Training, check_assigner, check_measured
from geovq.assignment.geodesic import Geodesic
from geovq.assignment.greedy import Greedy
from geovq.assignment.joint import Joint
from geovq.assignment.local import Local
from geovq.assignment.nearest import Nearest
from geovq.assignment.whitened import Whitened
from geovq.decoder.adapters import as_partial
from geovq.geometry.measured import measure
from geovq.metric.batched import token_metrics
from geovq.validation import InputError
from tests import reference

H, W, D, K, N = 2, 2, 2, 6, 30


@pytest.fixture
def case(rng):
    """A decoder with a metric of its own everywhere, a codebook, and latents."""
    weights = rng.standard_normal((H * W * D, 12)).astype(np.float32)
    decode = as_partial(lambda z: jnp.tanh(z.ravel() @ weights / 3).reshape(3, 4, 1))
    roots = rng.standard_normal((H, W, D, D))
    metrics = np.einsum("hwij,hwkj->hwik", roots, roots).astype(np.float32)
    codebook = Codebook(rng.standard_normal((1, K, D)).astype(np.float32), metrics)
    return decode, codebook, Inputs(rng.standard_normal((N, H, W, D)).astype(np.float32))


def test_nearest_and_whitened_equal_the_slow_truth(case):
    _, codebook, inputs = case
    codes = codebook.codes[0]
    flat = inputs.latents.reshape(-1, D)
    wanted = [reference.nearest_under(z, codes, np.eye(D)) for z in flat]
    np.testing.assert_array_equal(Nearest()(*case).ravel(), wanted)
    wanted = [reference.nearest_under(z, codes, codebook.mean_metric) for z in flat]
    np.testing.assert_array_equal(Whitened()(*case).ravel(), wanted)
    found = Whitened(per_position=True)(*case)
    for i, j in np.ndindex(H, W):
        metric = codebook.position_metrics[i, j]
        wanted = [reference.nearest_under(z, codes, metric) for z in inputs.latents[:, i, j]]
        np.testing.assert_array_equal(found[:, i, j, 0], wanted)


def test_local_uses_each_tokens_own_metric_given_or_computed(case):
    decode, codebook, inputs = case
    metrics = token_metrics(decode, inputs.latents)
    pairs = zip(inputs.latents.reshape(-1, D), metrics.reshape(-1, D, D), strict=True)
    wanted = [reference.nearest_under(z, codebook.codes[0], g) for z, g in pairs]
    np.testing.assert_array_equal(Local()(*case).ravel(), wanted)
    np.testing.assert_array_equal(Local()(decode, codebook, inputs._replace(metrics=metrics)).ravel(), wanted)
    sketched = Local(probes=64)(*case).ravel()
    assert np.mean(sketched == wanted) > 0.8


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


@pytest.mark.parametrize("assigner", [Nearest(), Whitened(), Whitened(per_position=True), Local()])
def test_two_quantizers_come_nearer_and_progress_counts(assigner, case, rng):
    decode, codebook, inputs = case
    both = codebook._replace(codes=np.stack([codebook.codes[0], 0.3 * rng.standard_normal((K, D)).astype(np.float32)]))
    done: list[int] = []
    tokens = assigner(decode, both, inputs, progress=done.append)
    assert tokens.shape == (N, H, W, 2)
    assert tokens.dtype == np.int32
    assert sum(done) == N
    moves = inputs.latents - both.codes[0][tokens[..., 0]] - both.codes[1][tokens[..., 1]]
    single = inputs.latents - codebook.codes[0][assigner(*case)[..., 0]]
    assert (moves**2).sum() < (single**2).sum()


def test_what_is_no_assigner_or_not_measured_is_refused():
    with pytest.raises(InputError, match=r"expected an assigner such as geovq.Joint\(\) .*, found 'joint'"):
        check_assigner("joint", 1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Geodesic expects at most 1 codes a token, found 2"):
        check_assigner(Geodesic(), 2)
    codebook = Codebook(np.zeros((1, K, D), np.float32), np.zeros((H, W, D, D), np.float32))
    for assigner in (Geodesic(), Amortised()):
        with pytest.raises(InputError, match="expects statistics of these codes, found none"):
            check_measured(assigner, codebook)
    for initial in (Amortised(), "joint"):
        with pytest.raises(InputError, match="initial: expected an assigner without statistics"):
            Greedy(initial=initial)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="probes: expected a whole number of at least 1, found 0"):
        Local(probes=0)


@pytest.mark.parametrize("kind", [Nearest, Whitened, Local, Geodesic, Amortised, Joint, Greedy])
def test_assigners_are_frozen_and_say_what_they_need(kind):
    assigner: Any = kind()
    assert isinstance(assigner, Assigner)
    fields = dataclasses.fields(kind)
    if fields:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(assigner, fields[0].name, None)
    assert assigner.needs_images == (kind in (Amortised, Joint, Greedy))
    assert assigner.needs_metrics == (kind in (Local, Geodesic))
    assert assigner.takes_code_costs == (kind in (Amortised, Joint))
