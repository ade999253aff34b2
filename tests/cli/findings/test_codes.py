"""Codes as pictures: contexts that can be worked out by hand."""

import numpy as np
import pytest

from geovq.batching.plan import DEFAULT_PLAN
from geovq.cli.findings.codes import count_codes, draw_codes, mean_contexts, middle_of
from geovq.numerics.additive import sum_codes


@pytest.fixture
def tokens():
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 10, shape).astype(np.int32) for shape in ((4, 5, 2), (3, 3, 2))
    ]  # codes 10 and 11 are not used


def test_counts(tokens):
    counts = count_codes(tokens, 12)
    assert counts.sum() == 2 * (20 + 9)
    assert counts[1, 3] == sum((each[..., 1] == 3).sum() for each in tokens)


def test_contexts_are_means_over_the_uses_of_a_code(tokenizer, tokens):
    codes, code = tokenizer.codebook.codes, int(tokens[0][1, 2, 0])
    windows = []
    for grid in tokens:
        latents = np.pad(sum_codes(codes, grid), ((2, 2), (2, 2), (0, 0)), mode="edge")
        windows += [latents[i : i + 5, j : j + 5] for i, j in np.argwhere(grid[..., 0] == code)]
    found = mean_contexts(tokenizer, tokens, 0)
    np.testing.assert_allclose(found[code], np.mean(windows, axis=0), atol=1e-5)


def test_a_code_without_uses_stands_in_the_mean_of_all(tokenizer, tokens):
    found = mean_contexts(tokenizer, tokens, 0)
    np.testing.assert_allclose(found[10, 0], found[11, 0])
    codes = tokenizer.codebook.codes[0]
    np.testing.assert_allclose(found[10, 2, 2] - found[11, 2, 2], codes[10] - codes[11], atol=1e-5)


def test_pictures_are_ordered_by_use(tokenizer, tokens):
    pictures = draw_codes(tokenizer, tokens, DEFAULT_PLAN)
    for each, counts in zip(pictures, count_codes(tokens, 12), strict=True):
        assert (np.diff(counts[each.codes]) <= 0).all()
        assert each.patches.shape == (12, 24, 24, 3)


def test_the_middle_ends_where_the_grid_does():
    images = np.arange(16.0).reshape(1, 4, 4, 1).astype(np.float32)
    np.testing.assert_array_equal(middle_of(images, (2, 2), 0)[0, ..., 0], [[10, 11], [14, 15]])
    np.testing.assert_array_equal(middle_of(images, (2, 2), 1), images)
