"""Decoded lengths of edges against closed forms and walks taken step by step."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from geovq.batching.plan import Plan
from geovq.metric.batched import pullback_metrics, token_metrics
from geovq.metric.curve_lengths import polyline_length, polyline_lengths, refine_lengths
from geovq.metric.edge_lengths import measure_edges
from geovq.validation import InputError
from tests import reference


def wave(z):
    """A smooth decoder of one latent (3,) or grid (.., 3): a (2, 4) picture, and its sum, as a tree."""
    mixed = jnp.tanh(z.ravel() @ jnp.sin(jnp.arange(z.size * 8.0).reshape(z.size, 8)))
    return {"picture": (mixed**2 + mixed).reshape(2, 4), "sum": mixed.sum()}


def flat_wave(z):
    image = wave(z)
    return np.append(np.ravel(image["picture"]), image["sum"])


def scaled(scale, z):
    return scale * wave(z)["picture"]


def circle(z):
    return jnp.stack([jnp.cos(z[0]), jnp.sin(z[0])])


def test_steps_around_a_circle_are_its_chords():
    for segments in (1, 2, 5):
        found = polyline_length(circle, jnp.zeros(1), jnp.full(1, jnp.pi), segments)
        np.testing.assert_allclose(found, 2 * segments * np.sin(np.pi / 2 / segments), rtol=1e-6)


def test_linear_decoder_needs_one_segment(rng):
    a = rng.standard_normal((5, 3)).astype(np.float32)
    z = rng.standard_normal((4, 3)).astype(np.float32)
    senders, receivers = np.array([0, 1, 2]), np.array([1, 3, 0])
    wanted = np.linalg.norm((z[receivers] - z[senders]) @ a.T, axis=1)
    for segments in (1, 6):
        found = polyline_lengths(lambda z: a @ z, z, senders, receivers, segments=segments)
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    refined = refine_lengths(lambda z: a @ z, z, senders, receivers, tolerance=1e-3)
    np.testing.assert_allclose(refined.lengths, wanted, rtol=1e-5)
    np.testing.assert_array_equal(refined.segments, 2)
    assert refined.converged.all()


@pytest.mark.parametrize("plan", [Plan(passes=1), Plan(passes=20), Plan(memory=3000), Plan()])
@pytest.mark.parametrize("segments", [1, 3])
def test_edges_of_a_field_equal_the_slow_walk(plan, segments, rng):
    z = rng.standard_normal((6, 3)).astype(np.float32)
    senders, receivers = np.array([0, 1, 2, 3, 5]), np.array([1, 2, 0, 3, 4])
    wanted = [
        reference.polyline_length(flat_wave, z[i], z[j], segments) for i, j in zip(senders, receivers, strict=True)
    ]
    found = polyline_lengths(wave, z, senders, receivers, segments=segments, plan=plan)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("plan", [Plan(passes=1), Plan(passes=20), Plan()])
def test_edges_between_tokens_are_walked_in_either_context(plan, rng):
    grids = rng.standard_normal((2, 2, 3, 3)).astype(np.float32)
    tokens = list(itertools.product(range(2), range(2), range(3)))
    senders, receivers = np.array([0, 3, 11, 4]), np.array([7, 4, 2, 5])
    wanted = [
        reference.token_polyline_length(flat_wave, grids, tokens[i], tokens[j], 3)
        for i, j in zip(senders, receivers, strict=True)
    ]
    found = polyline_lengths(wave, grids, senders, receivers, segments=3, plan=plan)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    backwards = polyline_lengths(wave, grids, receivers, senders, segments=3)
    np.testing.assert_allclose(backwards, found, rtol=1e-5)


def test_short_edges_have_the_length_of_their_metrics(rng):
    with jax.enable_x64(True):
        z = np.repeat(rng.standard_normal((5, 1, 3)), 2, axis=1) + 1e-4 * rng.standard_normal((5, 2, 3))
        z, senders = z.reshape(10, 3), 2 * np.arange(5)
        from_metrics = measure_edges(z, pullback_metrics(wave, z), senders, senders + 1)
        decoded = polyline_lengths(wave, z, senders, senders + 1, segments=4)
        np.testing.assert_allclose(from_metrics, decoded, rtol=1e-7)
        grids = z.reshape(5, 2, 1, 3)
        from_metrics = measure_edges(z, token_metrics(wave, grids).reshape(10, 3, 3), senders, senders + 1)
        decoded = polyline_lengths(wave, grids, senders, senders + 1, segments=4)
        # A metric is known at one end of the walk in its context only, so the error falls as the step and not as its square.
        np.testing.assert_allclose(from_metrics, decoded, rtol=1e-4)


def test_refinement_stops_where_a_doubling_changes_little_and_no_earlier(rng):
    z = 2 * rng.standard_normal((12, 3)).astype(np.float32)
    senders, receivers = np.arange(6), 6 + np.arange(6)
    by_level = {s: polyline_lengths(wave, z, senders, receivers, segments=s) for s in (1, 2, 4, 8)}
    refined = refine_lengths(wave, z, senders, receivers, tolerance=0.005, max_segments=8)
    for e in range(6):
        changes = [by_level[s][e] - by_level[s // 2][e] <= 0.005 * by_level[s][e] for s in (2, 4, 8)]
        wanted = [s for s, small in zip((2, 4, 8), changes, strict=True) if small][:1]
        assert refined.segments[e] == (wanted[0] if wanted else 8)
        assert refined.converged[e] == bool(wanted)
        np.testing.assert_allclose(refined.lengths[e], by_level[int(refined.segments[e])][e], rtol=1e-6)
    assert len(np.unique(refined.segments)) > 1
    assert not refined.converged.all()


def test_tolerance_is_relative(rng):
    z = 2 * rng.standard_normal((12, 3)).astype(np.float32)
    ends = np.arange(6), 6 + np.arange(6)
    found, brighter = (
        refine_lengths(Partial(scaled, scale), z, *ends, tolerance=0.01)
        for scale in (jnp.ones(()), jnp.full((), 1024.0))
    )
    np.testing.assert_array_equal(found.segments, brighter.segments)
    np.testing.assert_allclose(brighter.lengths, 1024 * found.lengths, rtol=1e-5)


def test_more_segments_never_shorten(rng):
    grids = 2 * rng.standard_normal((3, 2, 1, 3)).astype(np.float32)
    ends = np.array([0, 2, 4]), np.array([3, 5, 1])
    lengths = [polyline_lengths(wave, grids, *ends, segments=s) for s in (1, 2, 4, 8, 16)]
    for coarse, fine in itertools.pairwise(lengths):
        assert (fine >= coarse * (1 - 1e-6)).all()


def test_few_compilations_a_level_for_any_number_of_edges(rng):
    traces = []

    def decode(z):
        traces.append(z.shape)
        return jnp.sin(3 * z)

    z = rng.standard_normal((20, 3)).astype(np.float32)
    for m in (1, 9):
        polyline_lengths(decode, z, np.arange(m), 1 + np.arange(m), segments=2)
    before = len(traces)
    for m in (1, 10, 16):
        polyline_lengths(decode, z, np.arange(m), 1 + np.arange(m), segments=2)
    assert len(traces) == before


def test_progress_counts_walks(rng):
    grids = rng.standard_normal((2, 1, 2, 3)).astype(np.float32)
    done: list[int] = []
    polyline_lengths(
        wave, grids, np.arange(3), np.array([3, 2, 0]), segments=1, plan=Plan(passes=8), progress=done.append
    )
    assert done == [4, 2]


def test_no_edges_have_no_lengths():
    none = np.zeros(0, int)
    assert polyline_lengths(wave, np.zeros((2, 3), np.float32), none, none, segments=2).shape == (0,)
    assert refine_lengths(wave, np.zeros((2, 3), np.float32), none, none).converged.shape == (0,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latents": np.zeros(3, np.float32)}, r"\(n, d\) or grids \(n, h, w, d\), found shape \(3,\)"),
        ({"latents": np.full((2, 3), np.nan, np.float32)}, "latents: expected finite"),
        ({"receivers": np.array([2])}, r"0..1, found 2..2"),
        ({"decode": lambda z: jnp.round(z).astype(int)}, "intensities as floats"),
        ({"decode": lambda z: jnp.sqrt(z - 1)}, "finite images, found NaN or infinity along 1 of 1 walks"),
        ({"plan": Plan(passes=0)}, "at least 1 pass at once, found 0"),
    ],
)
def test_bad_input_is_refused(change, message):
    given = {
        "decode": wave,
        "latents": np.zeros((2, 3), np.float32),
        "senders": np.array([0]),
        "receivers": np.array([1]),
        "segments": 2,
    }
    with pytest.raises(InputError, match=message):
        polyline_lengths(**given | change)


def test_bad_options_are_refused():
    given = (wave, np.zeros((2, 3), np.float32), np.array([0]), np.array([1]))
    with pytest.raises(InputError, match=r"segments: expected a whole number in 1\.\.65536, found 0"):
        polyline_lengths(*given, segments=0)
    with pytest.raises(InputError, match="tolerance: expected a relative change > 0"):
        refine_lengths(*given, tolerance=0)
    for max_segments, wanted in (
        (0, r"whole number in 2\.\.65536"),
        (1, "whole number"),
        (6, "power of two, found 6; take 8"),
    ):
        with pytest.raises(InputError, match=f"max_segments: expected a {wanted}"):
            refine_lengths(*given, max_segments=max_segments)
