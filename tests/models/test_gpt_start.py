"""Rows of codes that a Transformer starts from."""

import jax
import numpy as np
import pytest
from flax import nnx

from geovq.models.config import GPTConfig
from geovq.models.gpt import GPT
from geovq.models.gpt_block import SCALE
from geovq.models.gpt_start import code_rows, start_at_codes
from geovq.validation import InputError
from tests import reference


@pytest.fixture
def codes():
    return np.random.default_rng(0).normal(3.0, 1.0, (20, 5)).astype(np.float32)


@pytest.fixture
def metric():
    jacobian = np.random.default_rng(1).normal(size=(9, 5)) * [10.0, 3.0, 1.0, 0.1, 0.0]
    return (jacobian.T @ jacobian).astype(np.float32)


def test_rows_lie_as_far_apart_as_codes_decode_apart(codes, metric):
    rows = code_rows(codes, metric, 20_000, jax.random.key(0))
    wanted = np.array([[reference.quadratic_form(a - b, metric) ** 0.5 for a in codes] for b in codes])
    found = np.linalg.norm(rows[:, None] - rows[None], axis=-1)
    off = ~np.eye(len(codes), dtype=bool)
    ratios = found[off] / wanted[off]
    assert ratios.std() / ratios.mean() < 0.03
    straight = np.linalg.norm(codes[:, None] - codes[None], axis=-1)[off]
    assert (found[off] / straight).std() / (found[off] / straight).mean() > 0.3  # not the distance in latents


def test_rows_have_one_size_whatever_the_units(codes, metric):
    rows = code_rows(codes, metric, 64, jax.random.key(0))
    assert rows.dtype == np.float32
    assert np.sqrt(np.mean(rows**2)) == pytest.approx(SCALE, rel=1e-5)
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(code_rows(100 * codes + 7, 4 * metric, 64, jax.random.key(0)), rows, atol=1e-5)


def test_codes_that_decode_alike_have_no_rows(codes, metric):
    assert not code_rows(codes[:1], metric, 8, jax.random.key(0)).any()
    assert not code_rows(codes, 0 * metric, 8, jax.random.key(0)).any()
    assert not code_rows(np.repeat(codes[:1], 20, axis=0), metric, 8, jax.random.key(0)).any()
    nothing = np.linalg.eigh(metric)[1][:, 0]  # a direction in which the image stays
    assert not code_rows(codes[:1] + np.linspace(0, 1, 20)[:, None] * nothing, metric, 8, jax.random.key(0)).any()


def test_a_transformer_starts_with_them_at_both_ends_and_is_otherwise_as_before(codes, metric):
    config = GPTConfig(num_codes=20, grid=(2, 2), layers=1, width=16, heads=2)
    before, gpt = (GPT(config, rngs=nnx.Rngs(0)) for _ in range(2))
    start_at_codes(gpt, codes, metric, jax.random.key(0))
    changed = jax.tree.map(
        lambda a, b: bool(np.any(a != b)), nnx.to_pure_dict(nnx.state(before)), nnx.to_pure_dict(nnx.state(gpt))
    )
    assert changed.pop("codes")
    assert changed["head"].pop("kernel")
    assert not any(jax.tree.leaves(changed))
    ends = gpt.codes[...], gpt.head.kernel[...].T
    gaps = [np.linalg.norm(rows[:, None] - rows[None], axis=-1).ravel() for rows in ends]
    assert np.corrcoef(*gaps)[0, 1] > 0.8
    assert np.abs(np.corrcoef(ends[0].ravel(), ends[1].ravel())[0, 1]) < 0.5  # of two projections


def test_other_codes_than_its_tokens_are_refused(codes, metric):
    gpt = GPT(GPTConfig(num_codes=7, grid=(2, 2), layers=1, width=16, heads=2), rngs=nnx.Rngs(0))
    with pytest.raises(InputError, match="codes: expected 7, one for each token, found 20"):
        start_at_codes(gpt, codes, metric, jax.random.key(0))
