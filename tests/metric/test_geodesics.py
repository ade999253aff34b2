"""Geodesics against closed forms, and what must hold for every decoder."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from geovq.batching.plan import Plan
from geovq.graph.paths import resample
from geovq.metric.curve_lengths import path_length
from geovq.metric.geodesics import find_geodesics, path_energy
from geovq.validation import InputError
from tests import reference


def sphere(z):
    """Inverse stereographic projection; the unit disk is a hemisphere."""
    square = jnp.sum(z**2)
    return jnp.append(2 * z, square - 1) / (1 + square)


def crooked(rng, ends, segments=16, size=0.15):
    """Straight paths between ends (b, 2, d), their inner points shaken."""
    paths = np.stack([resample(pair, segments) for pair in ends]).astype(np.float32)
    paths[:, 1:-1] += size * rng.standard_normal(paths[:, 1:-1].shape)
    return paths


def arcs(ends):
    x, y = (np.array([np.asarray(sphere(z), np.float64) for z in side]) for side in (ends[:, 0], ends[:, 1]))
    return np.arccos((x * y).sum(axis=1))


def in_disk(rng, b):
    return 0.8 * rng.uniform(-1, 1, (b, 2, 2)) / np.sqrt(2)


def test_linear_decoder_has_straight_geodesics_walked_evenly(rng):
    a = rng.standard_normal((5, 3)).astype(np.float32)
    ends = rng.standard_normal((3, 2, 3)).astype(np.float32)
    found = find_geodesics(lambda z: a @ z, crooked(rng, ends), tolerance=1e-7)
    wanted = np.linalg.norm((ends[:, 1] - ends[:, 0]) @ a.T, axis=1)
    np.testing.assert_allclose(found.lengths, wanted, rtol=1e-4)
    np.testing.assert_allclose(found.paths, np.stack([resample(pair, 16) for pair in ends]), atol=0.02)
    assert found.converged.all()


def test_great_circles_from_a_crooked_start(rng):
    ends = in_disk(rng, 8)
    paths = crooked(rng, ends)
    found = find_geodesics(sphere, paths)
    np.testing.assert_allclose(found.lengths, arcs(ends), rtol=0.01)
    assert found.converged.all()
    assert found.lengths.max() > 1


def test_graph_of_a_curve_that_bends_back_needs_more_than_a_straight_line(rng):
    """Across the rim of a hemisphere the straight line of the chart is no geodesic."""
    ends = np.array([[[0.9, -0.3], [0.9, 0.3]]], np.float32)
    straight = np.stack([resample(ends[0], 32)])
    found = find_geodesics(sphere, straight)
    np.testing.assert_allclose(found.lengths, arcs(ends), rtol=1e-3)
    assert (found.paths[0, 1:-1, 0] > straight[0, 1:-1, 0]).all()  # great circles bend towards the rim in this chart


def test_lengths_and_energies_are_those_of_the_paths(rng):
    found = find_geodesics(sphere, crooked(rng, in_disk(rng, 4), segments=5), iterations=2)
    for path, length, energy in zip(found.paths, found.lengths, found.energies, strict=True):
        sides = [reference.polyline_length(sphere, a, b, 1) for a, b in itertools.pairwise(path)]
        np.testing.assert_allclose(length, sum(sides), rtol=1e-5)
        np.testing.assert_allclose(energy, 5 * sum(side**2 for side in sides), rtol=1e-5)
    assert (found.energies >= found.lengths**2 * (1 - 1e-5)).all()


@pytest.mark.parametrize("iterations", [1, 3, 50])
def test_never_longer_than_the_start_and_ends_fixed(iterations, rng):
    def rough(z):
        return jnp.sin(5 * jnp.outer(z, jnp.arange(1.0, 4.0))).ravel()

    paths = crooked(rng, 2 * rng.standard_normal((6, 2, 3)))
    given = paths.copy()
    found = find_geodesics(rough, paths, iterations=iterations)
    before = [sum(reference.polyline_length(rough, a, b, 1) for a, b in itertools.pairwise(p)) for p in paths]
    assert (found.lengths <= np.array(before) * (1 + 1e-5)).all()
    np.testing.assert_array_equal(found.paths[:, [0, -1]], paths[:, [0, -1]])
    np.testing.assert_array_equal(paths, given)
    assert (found.n_iter <= iterations).all()


def test_a_path_that_would_become_longer_is_kept():
    """Where few steps cut a corner of the image's curve, walking them evenly lowers the energy and not the length."""

    def corner(z):
        return jnp.stack([z[0], jnp.sqrt(z[0] ** 2 + 1e-4)])

    paths = np.array([[[-1], [-0.999], [0.999], [1]]], np.float32)
    found = find_geodesics(corner, paths)
    np.testing.assert_array_equal(found.paths, paths)
    np.testing.assert_allclose(found.lengths, 2, rtol=0.01)


def test_steps_of_the_optimiser_do_not_grow_with_those_of_the_path(rng):
    a = rng.standard_normal((5, 3)).astype(np.float32)
    ends = rng.standard_normal((4, 2, 3)).astype(np.float32)
    for segments in (4, 64):
        found = find_geodesics(lambda z: a @ z, crooked(rng, ends, segments))
        assert found.n_iter.max() <= 12


def test_a_path_that_is_short_already_is_kept(rng):
    a = rng.standard_normal((5, 3)).astype(np.float32)
    paths = np.stack([resample(rng.standard_normal((2, 3)), 4)]).astype(np.float32)
    found = find_geodesics(lambda z: a @ z, paths)
    np.testing.assert_allclose(found.paths, paths, atol=1e-5)
    assert found.n_iter[0] <= 3


def test_more_iterations_are_never_worse_and_are_counted(rng):
    paths = crooked(rng, in_disk(rng, 3))
    few, many = (find_geodesics(sphere, paths, iterations=n, tolerance=1e-6) for n in (2, 40))
    assert (many.energies <= few.energies * (1 + 1e-6)).all()
    assert not few.converged.any()
    np.testing.assert_array_equal(few.n_iter, 2)


@pytest.mark.parametrize("plan", [Plan(passes=1), Plan(memory=10_000), Plan()])
def test_pairs_do_not_influence_each_other(plan, rng):
    paths = crooked(rng, in_disk(rng, 5))
    done: list[int] = []
    found = find_geodesics(sphere, paths, plan=plan, progress=done.append)
    np.testing.assert_allclose(found.lengths, find_geodesics(sphere, paths).lengths, rtol=1e-4)
    assert sum(done) == 5


def test_one_compilation_for_numbers_of_pairs_up_to_a_power_of_two_and_any_parameters(rng):
    traces = []

    def decode(a, z):
        traces.append(z.shape)
        return jnp.tanh(a @ z)

    counts = []
    for b in (3, 4, 3):  # padded to four
        a = rng.standard_normal((5, 3)).astype(np.float32)
        find_geodesics(Partial(decode, a), crooked(rng, rng.standard_normal((b, 2, 3))), iterations=3)
        counts.append(len(traces))
    assert counts[0] == counts[1] == counts[2]


def test_copies_and_constant_decoders_are_no_distance_apart(rng):
    ends = rng.standard_normal((2, 1, 3)).astype(np.float32)
    still = np.repeat(ends, 5, axis=1)
    found = find_geodesics(lambda z: jnp.tanh(z), still)
    np.testing.assert_array_equal(found.lengths, 0)
    np.testing.assert_array_equal(found.paths, still)
    found = find_geodesics(lambda z: 0 * z[:1] + 1, crooked(rng, rng.standard_normal((2, 2, 3))))
    np.testing.assert_array_equal(found.lengths, 0)
    assert found.converged.all()


def test_images_may_be_trees_and_numbers_double(rng):
    with jax.enable_x64(True):
        paths = crooked(rng, in_disk(rng, 2)).astype(np.float64)
        found = find_geodesics(lambda z: {"a": sphere(z)[:1], "b": sphere(z)[1:]}, paths, tolerance=1e-9)
        assert found.paths.dtype == found.lengths.dtype == np.float64
        np.testing.assert_allclose(found.lengths, arcs(paths[:, [0, -1]]), rtol=2e-3)


def test_energy_is_the_squared_length_of_an_even_walk():
    images = jnp.array([[0.0], [2.0], [4.0]])
    assert path_length(images) == 4
    assert path_energy(images) == 16
    assert path_energy(jnp.array([[0.0], [1.0], [4.0]])) == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"paths": np.zeros((4, 2))}, r"\(b, s\+1, d\) with b >= 1 and s >= 2, found \(4, 2\)"),
        ({"paths": np.zeros((1, 2, 2))}, r"found \(1, 2, 2\)"),
        ({"paths": np.zeros((0, 3, 2))}, r"found \(0, 3, 2\)"),
        ({"paths": np.full((1, 3, 2), np.inf, np.float32)}, "paths: expected finite"),
        ({"iterations": 0}, "iterations: expected a whole number of at least 1"),
        ({"tolerance": 0.0}, "tolerance: expected a number > 0"),
        ({"plan": Plan(passes=0)}, "at least 1 pass at once, found 0"),
        ({"decode": lambda z: np.sqrt(np.asarray(z))}, "JAX can trace"),
        ({"decode": lambda z: jnp.sqrt(z - 1)}, "lengths of the decoded paths: expected finite"),
    ],
)
def test_bad_input_is_refused(change, message):
    given = {"decode": sphere, "paths": np.zeros((1, 3, 2), np.float32)}
    with pytest.raises(InputError, match=message):
        find_geodesics(**given | change)
