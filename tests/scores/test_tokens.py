"""Token scores against cases known by hand and slow NumPy truths."""

import numpy as np
import pytest

from geovq.scores import tokens as token_scores
from geovq.validation import InputError
from tests import reference


@pytest.mark.parametrize(
    ("tokens", "used", "choices"),
    [([[0, 1], [2, 3]], 1, 4), ([[0, 1], [1, 0]], 0.5, 2), ([[3, 3], [3, 3]], 0.25, 1)],
)
def test_usage_and_perplexity_of_equally_frequent_codes(tokens, used, choices):
    assert token_scores.usage(np.array(tokens), 4) == used
    assert token_scores.perplexity(np.array(tokens), 4) == pytest.approx(choices)


def test_perplexity_is_the_exponential_of_the_entropy_and_lies_between_1_and_the_codes_used(rng):
    tokens = rng.binomial(19, 0.3, (40, 2, 2))
    frequencies = [p for p in reference.code_frequencies(list(tokens.ravel()), 20) if p]
    perplexity = token_scores.perplexity(tokens, 20)
    assert perplexity == pytest.approx(np.exp(-sum(p * np.log(p) for p in frequencies)))
    assert 1 < perplexity < 20 * token_scores.usage(tokens, 20)


def test_unigram_nats_by_hand():
    train, tokens = np.array([[0, 0], [0, 1]]), np.array([[1, 0]])
    pooled = -(np.log(1.5 / 5) + np.log(3.5 / 5)) / 2  # counts 3 and 1, half added to each of two codes
    positioned = -(np.log(0.5 / 3) + np.log(1.5 / 3)) / 2  # counts 2, 0 and 1, 1
    assert token_scores.unigram_nats(train, tokens, 2) == pytest.approx(pooled)
    assert token_scores.unigram_nats(train, tokens, 2, per_position=True) == pytest.approx(positioned)


def test_unigram_nats_equals_counting_and_ignores_how_the_grid_is_laid_out(rng):
    train, tokens = rng.integers(0, 7, (30, 6)), rng.integers(0, 9, (11, 6))
    found = token_scores.unigram_nats(train, tokens, 9, per_position=True)
    assert found == pytest.approx(reference.unigram_nats(train, tokens, 9))
    assert found == pytest.approx(
        token_scores.unigram_nats(train.reshape(-1, 2, 3), tokens.reshape(-1, 2, 3), 9, per_position=True)
    )
    flat = token_scores.unigram_nats(train, tokens, 9)
    assert flat == pytest.approx(reference.unigram_nats(train.reshape(-1, 1), tokens.reshape(-1, 1), 9))


def test_unigram_nats_is_least_on_the_tokens_it_was_fitted_to_and_log_k_on_uniform_ones(rng):
    uniform = np.tile(np.arange(8), (5, 1))
    assert token_scores.unigram_nats(uniform, uniform, 8) == pytest.approx(np.log(8))
    assert token_scores.unigram_nats(uniform, uniform, 8, per_position=True) < np.log(8)
    skewed = rng.binomial(7, 0.2, (500, 4))
    assert np.log(token_scores.perplexity(skewed, 8)) < token_scores.unigram_nats(skewed, skewed, 8) < np.log(8)


def test_errors_by_hand():
    latents, quantized = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[3.0, 4.0], [1.0, 1.0]])
    metrics = np.array([np.diag([1.0, 2.0]), np.eye(2)])
    np.testing.assert_array_equal(token_scores.latent_errors(latents, quantized), [25, 0])
    np.testing.assert_array_equal(token_scores.metric_errors(latents, quantized, metrics), [9 + 32, 0])


def test_metric_errors_equal_the_sum_of_their_terms_with_a_ragged_last_chunk(rng, monkeypatch):
    monkeypatch.setattr(token_scores, "TOKENS_AT_ONCE", 4)
    latents, quantized, roots = rng.normal(size=(11, 3)), rng.normal(size=(11, 3)), rng.normal(size=(11, 5, 3))
    metrics = np.einsum("npi,npj->nij", roots, roots)
    wanted = [reference.quadratic_form(move, g) for move, g in zip(quantized - latents, metrics, strict=True)]
    np.testing.assert_allclose(token_scores.metric_errors(latents, quantized, metrics), wanted, rtol=1e-5)


def test_metric_errors_of_the_identity_are_latent_errors(rng):
    latents, quantized = rng.normal(size=(2, 6, 4)).astype(np.float32)
    metrics = np.broadcast_to(np.eye(4, dtype=np.float32), (6, 4, 4))
    np.testing.assert_allclose(
        token_scores.metric_errors(latents, quantized, metrics),
        token_scores.latent_errors(latents, quantized),
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    "score", [token_scores.usage, token_scores.perplexity, lambda t, k: token_scores.unigram_nats(t, t, k)]
)
@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (np.zeros((0, 2), int), "expected at least one token"),
        (np.zeros((2, 2)), "found float64"),
        (np.array([[0, 4]]), "found 1 outside"),
        (np.array([[-1, 0]]), "found 1 outside"),
    ],
)
def test_unfit_tokens_are_refused(score, tokens, message):
    with pytest.raises(InputError, match=message):
        score(tokens, 4)


def test_tokens_of_another_grid_are_refused_per_position_alone():
    train, tokens = np.zeros((2, 2, 2), int), np.zeros((2, 3), int)
    seen, smoothing = train.size, token_scores.SMOOTHING  # all of them the first of two codes
    wanted = -np.log((seen + smoothing) / (seen + 2 * smoothing))
    np.testing.assert_allclose(token_scores.unigram_nats(train, tokens, 2), wanted)
    with pytest.raises(InputError, match=r"expected the grid of train_tokens, \(2, 2\), found \(3,\)"):
        token_scores.unigram_nats(train, tokens, 2, per_position=True)


def test_unfit_latents_and_metrics_are_refused():
    latents, metrics = np.zeros((2, 3)), np.zeros((2, 3, 3))
    with pytest.raises(InputError, match=r"quantized: expected the shape of the latents, \(2, 3\), found \(1, 3\)"):
        token_scores.latent_errors(latents, latents[:1])
    with pytest.raises(InputError, match=r"metrics: expected .* \(2, 3, 3\), found \(3, 3\)"):
        token_scores.metric_errors(latents, latents, metrics[0])
    with pytest.raises(InputError, match="metrics: expected finite values"):
        token_scores.metric_errors(latents, latents, metrics + np.nan)


def test_chunked_kernels_compile_once():
    compilations = token_scores._quadratic_form._cache_size  # type: ignore[attr-defined]
    before = compilations()
    for n in (token_scores.TOKENS_AT_ONCE, token_scores.TOKENS_AT_ONCE + 1, 2 * token_scores.TOKENS_AT_ONCE):
        token_scores.metric_errors(np.ones((n, 2)), np.zeros((n, 2)), np.ones((n, 2, 2)))
    assert compilations() == before + 1
