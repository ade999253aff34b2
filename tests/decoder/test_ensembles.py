"""Expected metrics of random decoders: by hand, by central differences, by Monte Carlo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from geovq.decoder.adapters import Decoder, flat, single
from geovq.decoder.ensembles import ensemble, with_deviation
from geovq.metric.batched import mean_metrics, pullback_metrics, token_metrics
from geovq.validation import InputError
from tests import reference


def mean(z):
    """A smooth picture (2, 4) of a latent of any shape."""
    return jnp.tanh(z.ravel() @ jnp.sin(jnp.arange(z.size * 8.0).reshape(z.size, 8))).reshape(2, 4)


def deviation(z):
    """Grows away from 0, differently in every pixel."""
    return jnp.exp(0.3 * z.ravel() @ jnp.cos(jnp.arange(z.size * 8.0).reshape(z.size, 8))).reshape(2, 4)


def member(factor, z):
    return jnp.sin(factor * mean(z)) + factor * deviation(z)


def test_by_hand():
    """Mean 3z and deviation 4z: 9 + 16. Members 3z and 4z: their mean, 12.5."""
    z = np.ones((1, 1), np.float32)
    np.testing.assert_allclose(pullback_metrics(with_deviation(lambda z: 3 * z, lambda z: 4 * z), z), [[[25]]])
    np.testing.assert_allclose(pullback_metrics(ensemble([lambda z: 3 * z, lambda z: 4 * z]), z), [[[12.5]]])


def test_a_constant_deviation_adds_nothing_and_one_member_is_itself(rng):
    z = rng.standard_normal((3, 2)).astype(np.float32)
    wanted = pullback_metrics(mean, z)
    np.testing.assert_allclose(pullback_metrics(with_deviation(mean, lambda z: jnp.ones((2, 4))), z), wanted, rtol=1e-5)
    for decode in (ensemble([mean]), ensemble([mean] * 3)):
        np.testing.assert_allclose(pullback_metrics(decode, z), wanted, rtol=1e-5)


@pytest.mark.usefixtures("x64")
def test_points_equal_central_differences(rng):
    z = rng.standard_normal((3, 2))
    both = [reference.metric(mean, point) + reference.metric(deviation, point) for point in z]
    np.testing.assert_allclose(pullback_metrics(with_deviation(mean, deviation), z), both, rtol=1e-6, atol=1e-9)
    factors = (0.5, 1.0, 2.0)
    members = [Partial(member, factor) for factor in factors]
    wanted = [np.mean([reference.metric(one, point) for one in members], axis=0) for point in z]
    np.testing.assert_allclose(pullback_metrics(ensemble(members), z), wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("x64")
def test_tokens_equal_central_differences(rng):
    grids = rng.standard_normal((2, 2, 1, 2))
    members = [Partial(member, 0.5), Partial(member, 2.0)]
    random = token_metrics(with_deviation(mean, deviation), grids)
    drawn = token_metrics(ensemble(members), grids)
    for n, row in np.ndindex(2, 2):
        own = [reference.token_metric(one, grids[n], row, 0) for one in (mean, deviation, *members)]
        np.testing.assert_allclose(random[n, row, 0], own[0] + own[1], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(drawn[n, row, 0], (own[2] + own[3]) / 2, rtol=1e-6, atol=1e-9)


def test_is_the_mean_over_random_decoders(rng):
    """Over draws of ε, held fixed while z moves, of the metric of μ(z) + σ(z)·ε."""
    z = jnp.asarray(rng.standard_normal(2), jnp.float32)
    draws = jnp.asarray(rng.standard_normal((20_000, 2, 4)), jnp.float32)

    def metric(noise):
        jacobian = jax.jacfwd(lambda z: (mean(z) + deviation(z) * noise).ravel())(z)
        return jacobian.T @ jacobian

    found = pullback_metrics(with_deviation(mean, deviation), np.asarray(z)[None])[0]
    sampled = jax.vmap(metric)(draws).mean(axis=0)
    np.testing.assert_allclose(found, sampled, atol=0.02 * np.abs(found).max())


@pytest.mark.parametrize(
    "decode",
    [with_deviation(mean, deviation), ensemble([mean, deviation])],
    ids=["deviation", "ensemble"],
)
def test_sketches_are_right_in_the_mean(decode, rng):
    grids = np.repeat(rng.standard_normal((1, 2, 1, 2)).astype(np.float32), 2000, axis=0)
    wanted = token_metrics(decode, grids[:1])[0]
    sketched = mean_metrics(decode, grids, probes=4).by_position  # every grid has its own probes
    np.testing.assert_allclose(sketched, wanted, atol=0.05 * np.abs(wanted).max())


def test_decoders_of_batches_and_parts_of_any_shape(rng):
    grids = rng.standard_normal((3, 2, 1, 2)).astype(np.float32)
    wanted = token_metrics(with_deviation(mean, deviation), grids)
    batched = [jax.vmap(mean), jax.vmap(deviation)]
    tree = with_deviation(lambda z: {"left": mean(z)[:, :2], "right": mean(z)[:, 2:]}, lambda z: deviation(z).ravel())
    for decode in (single(with_deviation(*batched)), with_deviation(*map(single, batched)), tree):
        np.testing.assert_allclose(token_metrics(decode, grids), wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(token_metrics(single(ensemble(batched)), grids), wanted / 2, rtol=1e-4, atol=1e-5)


def test_members_in_bfloat16_are_averaged_in_float32():
    """√3 has no short binary expansion: rounded to bfloat16, three equal members would not be one."""
    one = lambda z: z.astype(jnp.bfloat16)  # noqa: E731
    found = pullback_metrics(ensemble([one] * 3), np.ones((1, 1), np.float32))
    np.testing.assert_allclose(found, [[[1]]], rtol=1e-6)


def test_moves_as_far_as_the_members_in_root_mean_square(rng):
    start, end = rng.standard_normal((2, 3)).astype(np.float32)
    members: list[Decoder] = [mean, deviation, Partial(member, 0.5)]
    moves = [np.linalg.norm(flat(one, end) - flat(one, start)) for one in members]
    move = np.linalg.norm(flat(ensemble(members), end) - flat(ensemble(members), start))
    np.testing.assert_allclose(move, np.sqrt(np.mean(np.square(moves))), rtol=1e-5)


def test_other_parameters_of_members_do_not_compile_again(rng):
    z, traces = rng.standard_normal((2, 3)).astype(np.float32), list[None]()

    def counted(factor, z):
        traces.append(None)
        return member(factor, z)

    pullback_metrics(ensemble([Partial(counted, 0.5), Partial(counted, 2.0)]), z)
    first = len(traces)
    pullback_metrics(ensemble([Partial(counted, 1.5), Partial(counted, 3.0)]), z)
    assert len(traces) == first


def test_a_deviation_that_intensities_share_is_refused():
    z = np.ones((1, 2), np.float32)
    with pytest.raises(InputError, match="deviation: expected one for each of 8 intensities, found 1; broadcast it"):
        pullback_metrics(with_deviation(mean, lambda z: z[0]), z)


def test_no_members_and_bad_ones_are_refused(rng):
    with pytest.raises(InputError, match="ensemble: expected at least one decoder, found none"):
        ensemble([])
    with pytest.raises(InputError, match="decoder: expected a function, found float"):
        with_deviation(mean, 0.1)  # type: ignore[arg-type]
    z = rng.standard_normal((3, 2)).astype(np.float32)
    for decode in (ensemble([mean, lambda z: z * jnp.nan]), with_deviation(mean, lambda z: mean(jnp.sqrt(z - z)))):
        with pytest.raises(InputError, match="finite images and derivatives, found NaN or infinity at latent 0"):
            pullback_metrics(decode, z)
