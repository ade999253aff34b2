"""Scores of sets by a judge whose features are known."""

import numpy as np
import pytest

from geovq.scores import reconstruction as scores
from geovq.scores import sets as set_scores
from train.evaluation.judge import Judge, Judged, _kernel_interval, confusion, diversity, set_rows


@pytest.fixture
def judge(rng):
    """Features are given; there are three classes."""
    train, test = (Judged(rng.standard_normal((n, 6)).astype(np.float32), rng.integers(0, 3, n)) for n in (80, 50))
    nearest = set_scores.nearest_training(train.features, test.features)
    return Judge(lambda images: test, 0.9, train, test, nearest, 3, "sha")


def by_score(rows):
    return {row["score"]: row for row in rows}


def test_the_test_images_themselves_are_perfect_samples(judge):
    rows = by_score(set_rows({"case": "samples"}, judge, judge.test, judge.test.classes))
    perfect = {"frechet": 0, "precision": 1, "recall": 1, "coverage": 1, "class_accuracy": 1, "nearest_distance": 1}
    for score, value in perfect.items():
        assert rows[score]["value"] == pytest.approx(value, abs=1e-6), score
    assert rows["kid"]["value"] < 0  # an unbiased distance of independent sets is 0, and these are nearer than that
    assert {row["case"] for row in rows.values()} == {"samples"}
    assert {row["classifier_accuracy"] for row in rows.values()} == {0.9}


def test_intervals_hold_the_score_and_shrink_with_more_images(judge, rng):
    widths = []
    for n in (50, 800):
        found = Judged(rng.standard_normal((n, 6)) + 0.5, rng.integers(0, 3, n))
        rows = by_score(set_rows({}, judge, found, found.classes))
        for score in ("frechet", "kid", "density", "nearest_distance"):
            assert rows[score]["low"] < rows[score]["value"] < rows[score]["high"], score
        widths.append({score: rows[score]["high"] - rows[score]["low"] for score in ("frechet", "density")})
    assert all(widths[1][score] < widths[0][score] for score in widths[0])


def test_kernel_intervals_hold_the_distance_of_equal_distributions(rng):
    pairs = [rng.standard_normal((2, 200, 6)) for _ in range(50)]
    found = np.array([_kernel_interval(real, generated) for real, generated in pairs])
    values, low, high = found.T
    assert np.mean((low <= 0) & (high >= 0)) >= 0.9
    assert np.mean(high - low) / 2 < 5 * values.std()  # and not for being endlessly wide


def test_copies_of_training_images_are_found(judge):
    rows = by_score(set_rows({}, judge, judge.train))
    assert rows["nearest_distance"]["value"] == pytest.approx(0, abs=1e-3)
    assert rows["copied"]["value"] == 1
    assert "class_accuracy" not in rows


def test_some_copies_among_many_samples_are_found(judge):
    features = np.concatenate([judge.train.features[:5], judge.test.features + 3, judge.test.features[:45]])
    rows = by_score(set_rows({}, judge, Judged(features, np.zeros(100, int))))
    assert rows["nearest_distance"]["value"] > 1.2  # the mean shows nothing of them
    assert rows["copied"]["value"] == pytest.approx(0.05 + 0.01, abs=0.011)
    assert rows["copied"]["low"] < 0.06 < rows["copied"]["high"]


def test_samples_far_away_are_worse_in_every_score(judge):
    found = Judged(judge.test.features + 3, (judge.test.classes + 1) % 3)
    far = by_score(set_rows({}, judge, found, judge.test.classes))
    near = by_score(set_rows({}, judge, judge.test, judge.test.classes))
    for score in ("frechet", "kid", "nearest_distance"):
        assert far[score]["value"] > near[score]["value"], score
    for score in ("precision", "recall", "density", "coverage", "class_accuracy"):
        assert far[score]["value"] < near[score]["value"], score


def test_confusion_counts_what_is_seen_of_what_was_asked(judge):
    asked, seen = np.array([0, 0, 0, 0, 2]), np.array([0, 1, 1, 2, 2])
    rows = confusion({}, judge, Judged(np.zeros((5, 6)), seen), asked)
    found = {(row["asked"], row["seen"]): (row["value"], row["n"]) for row in rows}
    assert len(found) == 9
    assert [found[0, other][0] for other in range(3)] == [0.25, 0.5, 0.25]
    assert found[2, 2] == (1.0, 1)
    assert found[1, 0] == (0.0, 0)


def test_diversity_is_the_distance_of_pairs_of_one_class(rng):
    images = rng.random((9, 28, 28, 1)).astype(np.float32)
    labels = np.array([0, 1, 0, 1, 0, 1, 1, 0, 2])
    found = diversity({}, images, labels, pairs=7)
    wanted = scores.lpips(images[[0, 2, 1, 3]], images[[4, 7, 5, 6]])
    assert found["value"] == pytest.approx(wanted.mean(), rel=1e-5)
    assert found["n"] == 4
    assert diversity({}, images, labels, pairs=1)["n"] == 2
    same = diversity({}, np.repeat(images[:1], 9, axis=0), labels)
    assert same["value"] == pytest.approx(0, abs=1e-6)


def test_scores_of_sets_are_means_over_them(judge, rng):
    """Two sets of 60 score as sets of 60, and not as one of 120."""
    found = Judged(rng.standard_normal((120, 6)) + 0.3, rng.integers(0, 3, 120))
    asked = rng.integers(0, 3, 120)
    pooled = by_score(set_rows({}, judge, found, asked, sets=2))
    halves = [
        by_score(set_rows({}, judge, Judged(*(part[half] for part in found)), asked[half]))
        for half in (slice(60), slice(60, None))
    ]
    assert {*pooled} == {*halves[0]}
    for score, row in pooled.items():
        assert row["value"] == pytest.approx(np.mean([half[score]["value"] for half in halves])), score
    single = by_score(set_rows({}, judge, found, asked))
    assert single["frechet"]["value"] < 0.9 * pooled["frechet"]["value"]
    assert single["coverage"]["value"] > pooled["coverage"]["value"]
    assert {score: row["n"] for score, row in pooled.items()} == {
        **dict.fromkeys(("frechet", "kid"), 60),
        **dict.fromkeys(("recall", "coverage"), 50),
        **dict.fromkeys(("precision", "density", "nearest_distance", "copied", "class_accuracy"), 120),
    }


def test_intervals_over_sets_are_those_of_their_mean(judge, rng):
    """Half the variance for a score over generated images, all of it for one that is over the same real images, too."""
    sets = [Judged(rng.standard_normal((200, 6)) + 0.3, np.zeros(200, int)) for _ in range(2)]
    pooled = by_score(set_rows({}, judge, Judged(*map(np.concatenate, zip(*sets, strict=True))), sets=2))
    alone = [by_score(set_rows({}, judge, found)) for found in sets]
    for score, factor in (("frechet", 2**-0.5), ("density", 2**-0.5), ("kid", 1.0)):
        width, widths = (
            np.mean([rows[score]["high"] - rows[score]["low"] for rows in found]) for found in ([pooled], alone)
        )
        assert width == pytest.approx(factor * widths, rel=0.2), score
