"""What other codes would do: compared with the decoder on whole grids, token by token and by differences."""

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.batching.plan import DEFAULT_PLAN
from geovq.cli.findings.neighbours import EUCLIDEAN, PULLBACK, explore, spread_tokens
from geovq.decoder.adapters import single
from geovq.numerics.additive import sum_codes

AT = (2, 7)


@pytest.fixture(scope="module")
def case(tokenizer):
    """Tokens of a grid larger than the window, an image, and what is found out about one token."""
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, tokenizer.num_codes, (10, 12, 2)).astype(np.int32)
    image = rng.random((80, 96, 3)).astype(np.float32)
    restored = tokenizer.decode(tokens[None])[0]
    (found,) = explore(tokenizer, image, restored, tokens, [AT], DEFAULT_PLAN)
    return tokens, image, restored, found


def test_tokens_are_spread_evenly_and_each_once():
    assert spread_tokens((4, 6), 2, 3) == [(1, 1), (1, 3), (1, 5), (3, 1), (3, 3), (3, 5)]
    assert spread_tokens((1, 2), 3, 3) == [(0, 0), (0, 1)]


def test_changes_are_nearly_those_of_the_whole_image(tokenizer, case):
    tokens, image, restored, found = case
    top, left, height, width = found.box
    for (quantizer, _), neighbours in found.nearest.items():
        for each in neighbours:
            other = tokens.copy()
            other[(*AT, quantizer)] = each.code
            decoded = tokenizer.decode(other[None])[0]
            assert each.change == pytest.approx(np.linalg.norm(decoded - restored), rel=0.02)
            assert each.psnr == pytest.approx(-10 * np.log10(np.mean((decoded - image) ** 2)), abs=0.01)
            assert np.abs(each.patch - decoded[top : top + height, left : left + width]).mean() < 3e-3


def test_distances_are_those_of_all_codes_in_order(tokenizer, case):
    tokens, _, _, found = case
    codes, grid = tokenizer.codebook.codes, jnp.asarray(sum_codes(tokenizer.codebook.codes, tokens))
    decode, columns, eps = single(tokenizer.decoder), [], 1e-2
    for axis in np.eye(4, dtype=np.float32):
        columns.append((decode(grid.at[AT].add(eps * axis)) - decode(grid.at[AT].add(-eps * axis))) / (2 * eps))
    jacobian = np.stack([np.asarray(each).ravel() for each in columns], axis=1)
    for (quantizer, measure), neighbours in found.nearest.items():
        steps = codes[quantizer] - codes[quantizer][tokens[(*AT, quantizer)]]
        moved = steps if measure == EUCLIDEAN else steps @ jacobian.T
        distances = np.linalg.norm(moved, axis=1)
        assert [each.code for each in neighbours] == list(np.argsort(distances)[1 : len(neighbours) + 1])
        values = [each.euclidean if measure == EUCLIDEAN else each.pullback for each in neighbours]
        np.testing.assert_allclose(values, np.sort(distances)[1 : len(neighbours) + 1], rtol=2e-2)


def test_both_measures_of_both_quantizers_are_there(case):
    assert set(case[3].nearest) == {(s, measure) for s in (0, 1) for measure in (EUCLIDEAN, PULLBACK)}
