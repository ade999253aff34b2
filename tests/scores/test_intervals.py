"""Bootstrap intervals against a slow truth and the central limit theorem."""

import itertools

import numpy as np
import pytest

from geovq.scores.intervals import bootstrap_interval
from geovq.validation import InputError
from tests import reference


def test_bootstrap_of_one_value_is_that_value():
    assert bootstrap_interval(np.array([3.0])) == (3, 3, 3)


@pytest.mark.parametrize("draws", [1, 100, 1_000_000])
def test_bootstrap_equals_one_draw_after_the_other_for_any_block(draws, rng, monkeypatch):
    monkeypatch.setattr("geovq.scores.intervals._DRAWS", draws)
    values = rng.normal(size=37)
    means = reference.bootstrap_means(values, 50, seed=4)
    found = bootstrap_interval(values, n_resamples=50, seed=4, level=0.8)
    np.testing.assert_allclose(found, [values.mean(), *np.quantile(means, [0.1, 0.9])])


def test_bootstrap_interval_has_the_width_that_the_central_limit_theorem_gives(rng):
    values = rng.normal(size=2000)
    mean, low, high = bootstrap_interval(values)
    assert low < mean < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(values.size), rel=0.1)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.zeros((2, 2)), {}, r"values: expected a non-empty array of shape \(n,\), found \(2, 2\)"),
        (np.zeros(0), {}, "values: expected a non-empty array"),
        (np.array([np.inf]), {}, "values: expected finite values"),
        (np.ones(3), {"level": 1.0}, r"level: expected a number in \(0, 1\), found 1.0"),
        (np.ones(3), {"n_resamples": 0}, "n_resamples: expected a whole number in 1..1000000, found 0"),
    ],
)
def test_unfit_bootstrap_input_is_refused(values, options, message):
    with pytest.raises(InputError, match=message):
        bootstrap_interval(values, **options)


@pytest.mark.parametrize("values", [np.full(7, 0.1), np.array([0.3, 0.1]), np.array([0.7])])
def test_a_mean_lies_in_its_interval(values):
    """However the sums round, and with a single resample."""
    for n_resamples, seed in itertools.product((1, 2, 30), range(5)):
        found = bootstrap_interval(values, n_resamples, seed)
        assert found.low <= found.mean <= found.high


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed: expected a whole number in 0..4294967295, found -1"),
        ({"seed": 1.5}, "seed: expected a whole number"),
        ({"level": "x"}, "level: expected a number"),
        ({"values": ["a"]}, "values: expected real numbers"),
        ({"values": None}, "values: expected"),
    ],
)
def test_what_is_no_number_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        bootstrap_interval(**{"values": np.ones(3), **options})
