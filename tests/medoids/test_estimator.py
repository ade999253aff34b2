import itertools
import pickle
import re
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.metrics import pairwise_distances
from sklearn.utils.estimator_checks import parametrize_with_checks

from geovq.graph.csr import knn_graph
from geovq.medoids.estimator import GeodesicKMedoids
from geovq.medoids.search import k_medoids
from geovq.validation import InputError
from tests import reference
from tests.graph.test_csr import graph_of
from tests.typechecker import annotations_off

LINE = np.array([[0.0], [1], [2], [100], [101], [102]])
HORSESHOE = np.array([[0.0, 0], [1, 0], [2, 0], [3, 0], [3, 1], [3, 2], [2, 2], [1, 2], [0, 2]])
LATTICE = np.stack(np.meshgrid(np.arange(6.0), np.arange(7.0)), -1).reshape(-1, 2)
PATH = graph_of(5, (0, 1, 1), (1, 2, 1), (2, 3, 1), (3, 4, 1))


def bent(points):
    """From row to row another."""
    scale = 1 + points[:, 0] ** 2
    return scale[:, None, None] * np.eye(points.shape[1], dtype=points.dtype)


def stretched(points):
    """The second axis counts ten times."""
    return bent(points) * np.diag([1, 100])


def blind(points):
    """The second axis does not count."""
    return np.broadcast_to(np.diag([1.0, 0.0]), (len(points), 2, 2))


def twins(points):
    """A metric of two dimensions at every point."""
    return np.broadcast_to(np.eye(2), (len(points), 2, 2))


def not_applicable(estimator):
    """check_clustering gives coordinates to every estimator, also to those that take lengths."""
    return {"check_clustering": "X are no lengths"} if estimator.metric == "precomputed" else {}


CHECKS = parametrize_with_checks(
    [
        GeodesicKMedoids(n_clusters=2),
        GeodesicKMedoids(n_clusters=3, power=2, n_neighbors=4, metric=bent),
        GeodesicKMedoids(n_clusters=2, metric="precomputed"),
    ],
    expected_failed_checks=not_applicable,
)


def named(value):
    """scikit-learn's name of an estimator or a check, without a function's address, which is another in every process."""
    return re.sub(r"<function(\w+)at0x\w+>", r"\1", CHECKS.kwargs["ids"](value))


@pytest.mark.parametrize(*CHECKS.args, ids=named)
def test_scikit_learn(estimator, check):
    with annotations_off():  # wrong options and inputs are among the checks
        check(estimator)


# fit


def test_two_far_groups_on_a_line():
    fitted = GeodesicKMedoids(2, n_neighbors=1, random_state=0).fit(LINE)
    assert set(fitted.medoid_indices_) == {1, 4}
    assert fitted.inertia_ == 4
    np.testing.assert_array_equal(fitted.distances_, [1, 0, 1, 1, 0, 1])
    np.testing.assert_array_equal(fitted.cluster_centers_[fitted.labels_, 0], [1, 1, 1, 101, 101, 101])
    assert fitted.converged_
    assert fitted.recall_ == 1
    left, right = np.argsort(fitted.cluster_centers_[:, 0])
    new = np.array([[1.25], [103.5], [-8]])
    np.testing.assert_array_equal(fitted.predict(new), [left, right, left])
    # each goes to its nearest training point first, and from 1 to 101 it is 100
    np.testing.assert_array_equal(fitted.transform(new)[:, left], [0.25, 102.5, 9])
    np.testing.assert_array_equal(fitted.transform(new)[:, right], [100.25, 2.5, 109])
    assert fitted.score(new) == -(0.25 + 2.5 + 9)
    assert fitted.score(new, sample_weight=np.array([4, 2, 0])) == -(1 + 5)


@pytest.mark.parametrize(("power", "cost"), [(1, 20), (2, 60)])
def test_a_horseshoe_is_walked_around_and_not_crossed(power, cost):
    fitted = GeodesicKMedoids(1, n_neighbors=1, power=power, random_state=0).fit(HORSESHOE)
    assert fitted.medoid_indices_ == [4]
    np.testing.assert_array_equal(fitted.distances_, [4, 3, 2, 1, 0, 1, 2, 3, 4])
    assert fitted.inertia_ == cost
    assert fitted.score(HORSESHOE) == -cost
    crossed = reference.medoid_cost(pairwise_distances(HORSESHOE), np.ones(9), [4])
    assert crossed > reference.medoid_cost(pairwise_distances(HORSESHOE), np.ones(9), [2])


def test_a_metric_that_stretches_an_axis_cuts_across_it():
    corners = np.array([[0, 0], [0, 0.2], [1, 0], [1, 0.2]])
    euclidean = GeodesicKMedoids(2, n_neighbors=2, random_state=0).fit(corners)
    measured = GeodesicKMedoids(2, n_neighbors=2, metric=stretched, random_state=0).fit(corners)
    np.testing.assert_array_equal(euclidean.labels_ == euclidean.labels_[0], [True, True, False, False])
    np.testing.assert_array_equal(measured.labels_ == measured.labels_[0], [True, False, True, False])
    np.testing.assert_allclose(euclidean.inertia_, 2 * 0.2)
    np.testing.assert_allclose(measured.inertia_, 2 * (1 + np.sqrt(2)) / 2)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_clusters_under_a_metric_are_those_of_brute_force(seed, power):
    points = np.random.default_rng(seed).normal(size=(14, 2))
    options: Any = {"n_neighbors": 5, "power": power, "max_candidates": None, "random_state": 0}
    measured = GeodesicKMedoids(3, metric=stretched, **options).fit(points)
    lengths = reference.neighbour_lengths(points, 5)
    for i, j in itertools.product(range(14), repeat=2):
        if np.isfinite(lengths[i, j]):
            squares = [reference.quadratic_form(points[i] - points[j], stretched(points)[end]) for end in (i, j)]
            lengths[i, j] = (squares[0] ** 0.5 + squares[1] ** 0.5) / 2
    distances = reference.shortest_paths(lengths)
    assert np.isfinite(distances).all()
    np.testing.assert_allclose(measured.inertia_, reference.least_medoid_cost(distances, np.ones(14), 3, power))
    np.testing.assert_allclose(measured.transform(points), distances[:, measured.medoid_indices_], atol=1e-11)


def test_bridges_are_measured_by_the_metric():
    fitted = GeodesicKMedoids(1, n_neighbors=1, metric=stretched, random_state=0).fit(
        np.array([[0.0, 0], [0, 1], [0, 5], [0, 6]])
    )
    assert fitted.inertia_ == 10 + 40 + 50


def test_copies_count_as_weights_do_in_any_order(rng):
    points = rng.normal(size=(30, 2))
    weights = rng.integers(0, 4, size=30)
    options: Any = {"n_neighbors": 4, "metric": bent, "max_candidates": 0, "max_seconds": 0, "random_state": 0}
    weighted = GeodesicKMedoids(4, **options).fit(points, sample_weight=weights)
    repeated = GeodesicKMedoids(4, **options).fit(rng.permutation(points.repeat(weights, axis=0)))
    assert (weights == 0).any()
    assert weighted.inertia_ == repeated.inertia_
    np.testing.assert_array_equal(weighted.cluster_centers_, repeated.cluster_centers_)
    np.testing.assert_array_equal(weighted.labels_, repeated.predict(points))
    np.testing.assert_array_equal(weighted.transform(points), repeated.transform(points))


def test_a_point_of_weight_0_is_left_out_but_labelled():
    points, weights = np.vstack([LINE, [[1000.0]]]), np.array([1, 1, 1, 1, 1, 1, 0])
    fitted = GeodesicKMedoids(2, n_neighbors=1, random_state=0).fit(points, sample_weight=weights)
    assert set(fitted.medoid_indices_) == {1, 4}
    assert fitted.inertia_ == 4
    assert fitted.labels_[6] == fitted.labels_[4]
    assert fitted.distances_[6] == 899
    np.testing.assert_array_equal(fitted.predict(points), fitted.labels_)
    with pytest.raises(InputError, match="n_clusters: expected at most 6"):
        GeodesicKMedoids(7).fit(points, sample_weight=weights)


def test_weights_move_the_medoid():
    assert GeodesicKMedoids(1).fit(LINE, sample_weight=np.array([1, 1, 1, 1, 1, 9])).medoid_indices_ == [5]
    assert GeodesicKMedoids(1, metric="precomputed").fit(
        PATH, sample_weight=np.array([9, 1, 1, 1, 1])
    ).medoid_indices_ == [0]


def test_medoids_are_named_by_their_first_row(rng):
    points = rng.integers(0, 5, size=(60, 2)).astype(float)
    fitted = GeodesicKMedoids(5, random_state=0).fit(points)
    np.testing.assert_array_equal(points[fitted.medoid_indices_], fitted.cluster_centers_)
    assert len(np.unique(fitted.cluster_centers_, axis=0)) == 5
    for center, index in zip(fitted.cluster_centers_, fitted.medoid_indices_, strict=True):
        assert not (points[:index] == center).all(axis=1).any()


def test_more_neighbours_than_there_are_means_all(rng):
    points = rng.normal(size=(9, 2))
    np.testing.assert_array_equal(
        GeodesicKMedoids(2, random_state=0).fit(points).transform(points),
        GeodesicKMedoids(2, n_neighbors=8, random_state=0).fit(points).transform(points),
    )


def test_every_distinct_point_can_be_a_medoid():
    fitted = GeodesicKMedoids(6, random_state=0).fit(np.vstack([LINE, LINE]))
    assert fitted.inertia_ == 0
    np.testing.assert_array_equal(np.sort(fitted.medoid_indices_), np.arange(6))
    one = GeodesicKMedoids(1).fit(np.full((3, 2), 7.0))
    np.testing.assert_array_equal(one.labels_, [0, 0, 0])
    np.testing.assert_array_equal(one.transform(np.array([[7.0, 7.0], [10.0, 11.0]])), [[0], [5]])


def test_the_same_random_state_gives_the_same(rng):
    points = rng.normal(size=(200, 3))
    first, second = (GeodesicKMedoids(8, random_state=3, max_candidates=0).fit(points) for _ in range(2))
    np.testing.assert_array_equal(first.medoid_indices_, second.medoid_indices_)
    drawn = [GeodesicKMedoids(8, random_state=np.random.RandomState(3), max_candidates=0).fit(points) for _ in range(2)]
    np.testing.assert_array_equal(drawn[0].medoid_indices_, first.medoid_indices_)
    other = GeodesicKMedoids(8, random_state=4, max_candidates=0).fit(points)
    assert set(other.medoid_indices_) != set(first.medoid_indices_)


def test_a_search_without_time_keeps_its_seeds(rng):
    points = rng.normal(size=(200, 3))
    searched = GeodesicKMedoids(8, random_state=0, max_candidates=None).fit(points)
    seeded = GeodesicKMedoids(8, random_state=0, max_candidates=None, max_seconds=0).fit(points)
    assert searched.n_iter_ > seeded.n_iter_ == 0
    assert searched.inertia_ < seeded.inertia_
    assert searched.converged_
    assert not seeded.converged_


# new points


def test_edges_to_new_points_are_measured_by_the_metric():
    fitted = GeodesicKMedoids(1, n_neighbors=1, metric=stretched, random_state=0).fit(np.array([[0.0, 0], [0, 1]]))
    new = fitted.cluster_centers_ + np.array([[0.75, 0], [0, 0.25], [0, -0.25]])
    to_medoid = [0.75 * (1 + 1.25) / 2, 2.5, 2.5]
    np.testing.assert_allclose(fitted.transform(new)[:, 0], to_medoid)
    np.testing.assert_allclose(fitted.score(new), -sum(to_medoid))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", [None, bent, blind])
@pytest.mark.parametrize("seed", range(4))
def test_a_training_point_has_its_label_also_where_medoids_tie(metric, dtype, seed):
    points = np.random.default_rng(seed).permutation(np.vstack([LATTICE, LATTICE[:9]])).astype(dtype)
    fitted = GeodesicKMedoids(5, n_neighbors=6, metric=metric, random_state=seed).fit(points)
    np.testing.assert_array_equal(fitted.predict(points), fitted.labels_)
    np.testing.assert_array_equal(fitted.transform(points).min(axis=1), fitted.distances_.astype(dtype))


@pytest.mark.parametrize("metric", [None, bent])
def test_rows_do_not_influence_each_other(rng, metric):
    fitted = GeodesicKMedoids(6, metric=metric, random_state=0).fit(rng.normal(size=(300, 5)))
    new = rng.normal(size=(700, 5))
    labels, lengths = fitted.predict(new), fitted.transform(new)
    for rows in (np.arange(700)[::-1], np.arange(600, 640), *np.arange(500, 530)[:, None]):
        np.testing.assert_array_equal(fitted.predict(new[rows]), labels[rows])
        np.testing.assert_array_equal(fitted.transform(new[rows]), lengths[rows])


@pytest.mark.parametrize("metric", [None, bent])
def test_the_label_is_the_nearest_of_all_medoids(monkeypatch, rng, metric):
    fitted = GeodesicKMedoids(7, power=2, metric=metric, random_state=0).fit(rng.normal(size=(200, 3)))
    new = rng.normal(size=(100, 3))
    lengths = fitted.transform(new)
    np.testing.assert_array_equal(lengths.argmin(axis=1), fitted.predict(new))
    np.testing.assert_allclose(fitted.score(new), -(lengths.min(axis=1) ** 2).sum(), rtol=1e-12)
    monkeypatch.setattr("geovq.medoids.estimator._DISTANCES", 3 * 200)  # three medoids at once, and one last
    np.testing.assert_array_equal(fitted.transform(new), lengths)


def test_clones_and_pickles_answer_alike(rng):
    points = rng.normal(size=(80, 2))
    fitted = GeodesicKMedoids(4, metric=bent, random_state=0).fit(points)
    for other in (clone(fitted).fit(points), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(other.transform(points), fitted.transform(points))
    assert list(fitted.get_feature_names_out()) == [f"geodesickmedoids{k}" for k in range(4)]


# precomputed lengths


@pytest.mark.parametrize("weights", [None, np.arange(120) % 3])
def test_a_graph_is_clustered_as_k_medoids_does(rng, weights):
    graph = knn_graph(rng.normal(size=(120, 2)), 8)
    fitted = GeodesicKMedoids(5, metric="precomputed", power=2, random_state=0).fit(graph, sample_weight=weights)
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max)
    truth = k_medoids(graph, 5, weights=weights, power=2, seed=seed)
    np.testing.assert_array_equal(fitted.medoid_indices_, truth.medoids)
    np.testing.assert_array_equal(fitted.labels_, truth.labels)
    np.testing.assert_array_equal(fitted.distances_, truth.distances)
    assert fitted.inertia_ == truth.cost
    assert not hasattr(fitted, "cluster_centers_")


def test_new_points_reach_a_path_over_the_edges_they_are_given():
    fitted = GeodesicKMedoids(2, metric="precomputed", random_state=0).fit(
        PATH, sample_weight=np.array([1, 5, 1, 5, 1])
    )
    assert set(fitted.medoid_indices_) == {1, 3}
    new = csr_array(([0.5, 2, 3, 1.25, 0, 9, 4], ([0, 0, 1, 1, 2, 2, 3], [0, 4, 4, 2, 3, 1, 4])), shape=(4, 5))
    lengths = fitted.transform(new)[:, np.argsort(fitted.medoid_indices_)]
    # the second is tied, and the third is training point 3, whatever else it is given
    np.testing.assert_array_equal(lengths, [[1.5, 3], [2.25, 2.25], [2, 0], [7, 5]])
    np.testing.assert_array_equal(fitted.medoid_indices_[fitted.predict(new)][[0, 2, 3]], [1, 3, 3])


def test_dense_lengths_are_a_complete_graph(rng):
    points = np.vstack([rng.normal(size=(20, 2)) + center for center in ([0, 0], [9, 0], [0, 9])])
    new = 9 * rng.uniform(size=(40, 2))
    options: Any = {"max_candidates": None, "random_state": 0}
    given = GeodesicKMedoids(3, metric="precomputed", **options).fit(pairwise_distances(points))
    found = GeodesicKMedoids(3, n_neighbors=59, **options).fit(points)
    assert set(given.medoid_indices_) == set(found.medoid_indices_)
    to_points = pairwise_distances(new, points)
    for lengths in (to_points, csr_array(to_points)):
        np.testing.assert_array_equal(
            given.medoid_indices_[given.predict(lengths)], found.medoid_indices_[found.predict(new)]
        )
    np.testing.assert_array_equal(given.predict(pairwise_distances(points)), given.labels_)


def stored(lengths):
    """Sparse, with zeros stored too."""
    return csr_array((lengths.ravel(), np.divmod(np.arange(lengths.size), len(lengths))), shape=lengths.shape)


@pytest.mark.parametrize("form", [np.asarray, stored])
def test_precomputed_lengths_may_differ_by_rounding_and_hold_copies(form):
    lengths = pairwise_distances(LINE[[0, 1, 1, 2]])
    lengths[0, 3] += 1e-9
    kept = lengths.copy()
    fitted = GeodesicKMedoids(1, metric="precomputed", random_state=0).fit(form(lengths))
    assert fitted.medoid_indices_[0] in (1, 2)
    np.testing.assert_allclose(fitted.inertia_, 2)
    np.testing.assert_array_equal(lengths, kept)


# refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_clusters": 7}, "n_clusters: expected at most 6, the distinct points .* n_samples=12, found 7"),
        ({"n_clusters": 0}, "n_clusters: expected a whole number of at least 1, found 0"),
        ({"n_clusters": 2.5}, "n_clusters: expected a whole number of at least 1, found 2.5"),
        ({"n_neighbors": 0}, "n_neighbors: expected a whole number of at least 1, found 0"),
        ({"metric": "cosine"}, "metric: expected None, a function of points or .* found 'cosine'"),
        ({"power": 3}, "power: expected a whole number in 1..2, found 3"),
        ({"method": "guess"}, "method: expected one of auto, exact, descent, found 'guess'"),
        ({"metric": twins}, r"metric: expected shape \(6, 1, 1\) for points \(6, 1\), found \(6, 2, 2\)"),
        (
            {"metric": lambda z: bent(z) / (z[:, :, None] != 2)},
            r"metric: expected finite values, found 1 .* \(2, 0, 0\)",
        ),
        (
            {"metric": lambda z: -bent(z)},
            "metric: expected symmetric positive semi-definite matrices, found another at 0",
        ),
    ],
)
def test_options_and_metrics_that_are_refused(options, message):
    with np.errstate(divide="ignore"), pytest.raises(InputError, match=message):
        GeodesicKMedoids(**{"n_clusters": 2, "random_state": 0} | options).fit(np.vstack([LINE, LINE]))


def test_a_skew_metric_is_refused_and_rounding_is_not():
    def leaning(lean):
        return lambda points: np.broadcast_to(np.array([[1, lean], [0, 1.0]]), (len(points), 2, 2))

    with pytest.raises(InputError, match=r"found another at 0 with skewness 0\.5"):
        GeodesicKMedoids(2, metric=leaning(0.5)).fit(HORSESHOE)
    GeodesicKMedoids(2, metric=leaning(1e-5)).fit(HORSESHOE)


def test_a_metric_is_refused_at_new_points_too():
    fitted = GeodesicKMedoids(2, metric=lambda z: bent(z) * np.where(z > 200, np.nan, 1)[:, :, None]).fit(LINE)
    with pytest.raises(InputError, match=r"metric: expected finite values, found 1 .* \(1, 0, 0\)"):
        fitted.predict(np.array([[0.5], [300.0]]))


def test_rows_that_do_not_fit_are_refused():
    fitted = GeodesicKMedoids(2).fit(HORSESHOE)
    with pytest.raises(ValueError, match="X has 3 features, but GeodesicKMedoids is expecting 2 features"):
        fitted.predict(np.zeros((4, 3)))
    for call in (fitted.fit, fitted.predict, fitted.transform, fitted.score):
        with pytest.raises(ValueError, match="Input X contains NaN"):
            call(np.where(HORSESHOE == 3, np.nan, HORSESHOE))
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        fitted.fit(HORSESHOE, sample_weight=np.arange(9) - 1)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (np.ones((3, 2)), r"X: expected precomputed lengths of shape \(n, n\), found \(3, 2\)"),
        (csr_array(np.ones((3, 2))), r"X: expected precomputed lengths of shape \(n, n\), found \(3, 2\)"),
        (np.array([[0, 1.0], [2, 0]]), "graph: expected the same length in both directions"),
        (csr_array([[0, 1.0], [0, 0]]), "graph: expected the same length in both directions"),
        (csr_array((4, 4)), "graph: expected one connected component, found 4"),
        (np.zeros((1, 1)), "n_clusters: expected at most 1, the distinct points .* n_samples=1, found 2"),
        (-PATH, "Negative values in data passed to X in GeodesicKMedoids"),
    ],
)
def test_precomputed_lengths_that_are_refused(lengths, message):
    with pytest.raises(ValueError, match=message):
        GeodesicKMedoids(2, metric="precomputed").fit(lengths)


def test_a_new_point_without_an_edge_is_refused():
    fitted = GeodesicKMedoids(2, metric="precomputed").fit(PATH)
    with pytest.raises(InputError, match="X: expected a stored length in every row, found none in row 1"):
        fitted.predict(csr_array(([1.0, 2.0], ([0, 2], [0, 3])), shape=(3, 5)))
