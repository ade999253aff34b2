"""Scores of sets against their definitions, scikit-learn's kernel, and sets of which the answer is known."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import polynomial_kernel

from geovq.scores import sets as set_scores
from geovq.validation import InputError
from tests import reference


@pytest.fixture
def sets(rng):
    """Features of 40 real and 30 generated images, of which some are far away."""
    real = rng.standard_normal((40, 5))
    generated = 0.8 * rng.standard_normal((30, 5)) + 0.8
    return real, generated


def test_frechet_distance_equals_its_definition(sets):
    np.testing.assert_allclose(set_scores.frechet_distance(*sets), reference.frechet(*sets), rtol=1e-8)


def test_frechet_distance_of_known_moments(rng):
    x = rng.standard_normal((50, 4))
    assert set_scores.frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert set_scores.frechet_distance(x, x + 2) == pytest.approx(16)  # four coordinates, each moved by 2
    centred = x - x.mean(axis=0)
    wanted = np.trace(np.cov(centred.T))  # (σ − 2σ)² = σ² in every direction
    assert set_scores.frechet_distance(centred, 2 * centred) == pytest.approx(wanted)


def test_frechet_interval_holds_the_distance_and_shrinks(rng):
    real = rng.standard_normal((2000, 3))
    few, many = (set_scores.frechet_interval(real, rng.standard_normal((n, 3)) + 1) for n in (50, 2000))
    for found in (few, many):
        assert found.low < found.mean < found.high
        assert found.low < 3 < found.high  # three coordinates, each moved by 1
    assert many.high - many.low < 0.5 * (few.high - few.low)
    again = set_scores.frechet_interval(real, real + 1)
    assert again == set_scores.frechet_interval(real, real + 1)


@pytest.mark.parametrize("neighbours", [1, 3])
@pytest.mark.parametrize("at_once", [1 << 25, 100])
def test_closeness_equals_its_definition(neighbours, at_once, sets, monkeypatch):
    monkeypatch.setattr(set_scores, "_NUMBERS", at_once)
    real, generated = sets
    found = set_scores.closeness(real, generated, neighbours)
    for values, wanted in zip(found, reference.closeness(real, generated, neighbours), strict=True):
        np.testing.assert_allclose(values, wanted)
    assert 0 < found.precision.mean() < 1
    assert 0 < found.recall.mean() < 1


@pytest.mark.parametrize("offset", [0, 1e3])
def test_copies_are_as_far_as_they_are(offset, rng):
    """A generated image that is a real one lies among the real ones, however distances round."""
    real = rng.standard_normal((80, 64)) + offset
    copies = np.concatenate([real[:50], real[:20], rng.standard_normal((30, 64)) + offset + 9])
    found = set_scores.closeness(real, copies)
    for values, wanted in zip(found, reference.closeness(real - offset, copies - offset, 5), strict=True):
        np.testing.assert_allclose(values, wanted)
    assert found.precision[:70].all()
    memorised = set_scores.closeness(real, real)
    assert memorised.precision.all() and memorised.recall.all() and memorised.coverage.all()  # noqa: PT018
    assert memorised.density.mean() == pytest.approx(1.2)  # itself, and on average five in whose balls it lies
    nearest = set_scores.nearest_training(real, copies[:50])
    np.testing.assert_array_equal(nearest.distances, 0)


@pytest.mark.parametrize(("n", "f"), [(30, 5), (20, 100)])
def test_frechet_distance_is_not_below_zero(n, f, rng):
    features = rng.standard_normal((n, f))
    for other in (features, features[::-1]):
        assert 0 <= set_scores.frechet_distance(features, other) < 1e-9
        found = set_scores.frechet_interval(features, other, n_resamples=5)
        assert 0 <= found.low <= found.mean <= found.high


def test_closeness_of_the_same_of_a_mode_and_of_another_place(rng):
    real = rng.standard_normal((300, 2))
    same = set_scores.closeness(real, real)
    assert (same.precision.mean(), same.recall.mean(), same.coverage.mean()) == (1, 1, 1)
    mode = set_scores.closeness(real, 0.1 * rng.standard_normal((300, 2)))
    assert mode.precision.mean() > 0.95
    assert mode.recall.mean() < 0.2
    elsewhere = set_scores.closeness(real, real + 100)
    assert [values.mean() for values in elsewhere] == [0, 0, 0, 0]


def test_kernel_distance_equals_scikit_learns_kernel(sets):
    real, generated = sets
    found = set_scores.kernel_distances(real, generated[:30], subsets=3, size=30)
    assert found.shape == (3,)
    x = real[:30]
    of_all = set_scores.kernel_distances(x, generated, subsets=1, size=30)
    a, b, c = (
        polynomial_kernel(p, q, degree=3, gamma=1 / 5, coef0=1)
        for p, q in ((x, x), (generated, generated), (x, generated))
    )
    off = ~np.eye(30, dtype=bool)
    np.testing.assert_allclose(of_all, a[off].mean() + b[off].mean() - 2 * c.mean(), rtol=1e-8)


def test_kernel_distance_has_no_bias(rng):
    pairs = rng.standard_normal((100, 2, 60, 4))
    found = [set_scores.kernel_distances(x, y, subsets=1).item() for x, y in pairs]
    assert abs(np.mean(found)) < 3 * np.std(found) / 10
    assert set_scores.kernel_distances(pairs[0, 0], pairs[0, 1] + 1, subsets=5).mean() > 0.5


def test_nearest_training_images(rng):
    train = rng.standard_normal((50, 3))
    copies = set_scores.nearest_training(train, train[4:9])
    np.testing.assert_allclose(copies.distances, 0, atol=1e-6)
    np.testing.assert_array_equal(copies.indices, np.arange(4, 9))
    rows = rng.standard_normal((4, 3))
    distances = np.array([np.linalg.norm(train - row, axis=1) for row in rows])
    found = set_scores.nearest_training(train, rows)
    np.testing.assert_allclose(found.distances, distances.min(axis=1))
    np.testing.assert_array_equal(found.indices, distances.argmin(axis=1))
    np.testing.assert_allclose(set_scores.nearest_training(train, rows[:1]).distances, distances[0].min())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: set_scores.frechet_distance(x, x[:, :2]), r"same f, found \(10, 3\) and \(10, 2\)"),
        (lambda x: set_scores.frechet_distance(x, x[:1]), "real and generated: expected features .* at least 2 images"),
        (lambda x: set_scores.closeness(x, x, 10), "num_neighbours: expected a whole number in 1..9, found 10"),
        (lambda x: set_scores.closeness(x, x, 0), "num_neighbours: expected a whole number"),
        (lambda x: set_scores.closeness(x, np.full_like(x, np.nan)), "generated: expected finite values"),
        (lambda x: set_scores.nearest_training(x, x[:, :2]), "train and rows: expected features"),
        (lambda x: set_scores.frechet_interval(x, x, n_resamples=0), "n_resamples: expected a whole number"),
        (lambda x: set_scores.frechet_interval(x, x, level=1.0), r"level: expected a number in \(0, 1\)"),
        (lambda x: set_scores.kernel_distances(x, x, size=1), "size: expected a whole number of at least 2"),
        (lambda x: set_scores.kernel_distances(x, x, subsets=0), "subsets: expected a whole number in 1..1000000"),
    ],
)
def test_bad_input_is_refused(call, message, rng):
    with pytest.raises(InputError, match=message):
        call(rng.standard_normal((10, 3)))
