"""Entropy-constrained tokens: brute force over all grids, what never rises, and what a weight does."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from geovq.assignment.amortised import Amortised
from geovq.assignment.base import Codebook, Inputs
from geovq.assignment.clusters import measure_clusters
from geovq.assignment.joint import Joint
from geovq.assignment.whitened import Whitened
from geovq.decoder.adapters import single
from geovq.models.config import GPTConfig
from geovq.models.gpt import GPT
from geovq.tokenizer.entropy_constrained import assign_entropy_constrained, code_nats
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError

K, GRID, D, N = 6, (2, 2), 2, 30
WEIGHTS = np.random.default_rng(1).standard_normal((8, 12)).astype(np.float32)
CODES = np.random.default_rng(2).standard_normal((K, D)).astype(np.float32)
BIGRAMS = -np.asarray(jax.nn.log_softmax(2 * np.random.default_rng(3).standard_normal((K + 1, K)).astype(np.float32)))


def encode(images):
    """The latents whose image is nearest, before tanh."""
    before = 3 * np.arctanh(np.clip(2 * np.reshape(images, (len(images), -1)) - 1, -0.99, 0.99))
    return (before @ np.linalg.pinv(WEIGHTS)).reshape(-1, *GRID, D).astype(np.float32)


def decode(latents):
    """Every token moves all pixels."""
    return (jnp.tanh(latents.reshape(len(latents), -1) @ WEIGHTS / 3).reshape(-1, 3, 4, 1) + 1) / 2


def bigram_nats(tokens):
    """What a code needs after the token before it, in raster order; K stands before the first."""
    rows = tokens.reshape(len(tokens), -1)
    before = np.concatenate([np.full((len(rows), 1), K), rows[:, :-1]], axis=1)
    return BIGRAMS[before].reshape(*tokens.shape, K)


@pytest.fixture
def images(rng):
    clean = np.asarray(decode(rng.standard_normal((N, *GRID, D)).astype(np.float32)))
    return np.clip(clean + 0.03 * rng.standard_normal(clean.shape), 0, 1).astype(np.float32)


@pytest.fixture
def tokenizers(images):
    metrics = np.broadcast_to(np.eye(D, dtype=np.float32), (*GRID, D, D))
    codebook = Codebook(CODES[None], metrics)
    clusters = measure_clusters(single(decode), encode(images), codebook, num_clusters=4)
    assigners = {"joint": Joint(jacobians=1, corrections=1), "amortised": Amortised(clusters=clusters)}
    return {
        name: Tokenizer(encode, decode, codebook, assigner=each, image_shape=(3, 4, 1))
        for name, each in assigners.items()
    }


def errors(images, tokens):
    return ((np.asarray(decode(CODES[tokens])) - images) ** 2).sum(axis=(1, 2, 3))


def needed(tokens, nats=bigram_nats):
    return np.take_along_axis(nats(tokens), tokens[..., None], axis=3).sum(axis=(1, 2, 3))


def test_one_token_by_hand():
    """Codes 0 and 1 for an image of 0.9: squared errors 0.81 and 0.01, so the second is taken until it costs 0.8 more."""
    codebook = Codebook(np.array([[[0.0], [1.0]]], np.float32), np.ones((1, 1, 1, 1), np.float32))
    images = np.full((1, 1, 1, 1), 0.9, np.float32)
    start = np.zeros((1, 1, 1, 1), np.int32)
    for second, token, cost in ((0.7, 1, 0.71), (0.9, 0, 0.81)):
        costs = np.array([0, second], np.float32).reshape(1, 1, 1, 1, 2)
        found = Joint().solve(lambda z: z, codebook, Inputs(images, images, start=start, code_costs=costs))
        assert found.tokens.item() == token
        np.testing.assert_allclose(found.costs, [cost], rtol=1e-5)


@pytest.mark.parametrize(("name", "over"), [("joint", 1.1), ("amortised", 1.3)])
def test_with_code_costs_it_nearly_finds_the_cheapest_of_all_tokens(name, over, tokenizers, images):
    code_costs = 0.1 * np.random.default_rng(4).exponential(size=(N, *GRID, K)).astype(np.float32)

    def costs(tokens):
        return errors(images, tokens) + np.take_along_axis(code_costs, tokens[..., None], axis=3).sum(axis=(1, 2, 3))

    every = np.array(list(np.ndindex(*(K,) * 4))).reshape(-1, *GRID)
    squared = ((np.asarray(decode(CODES[every]))[None] - images[:, None]) ** 2).sum(axis=(2, 3, 4))
    paid = sum(code_costs[:, i, j][:, every[:, i, j]] for i, j in np.ndindex(*GRID))
    best = costs(every[(squared + paid).argmin(axis=1)]).mean()
    found = tokenizers[name].encode(images, code_costs=code_costs)
    free = tokenizers[name].encode(images)
    assert costs(found).mean() < over * best
    assert costs(found).mean() < 0.9 * costs(free).mean()
    assert errors(images, free).mean() < errors(images, found).mean()


def test_costs_are_what_is_said(tokenizers, images):
    code_costs = 0.1 * np.random.default_rng(4).exponential(size=(N, *GRID, K)).astype(np.float32)
    start = tokenizers["joint"].replace(assigner=Whitened()).encode(images)[..., None]
    inputs = Inputs(encode(images), images, start=start, code_costs=code_costs[:, :, :, None])
    amortised = tokenizers["amortised"].assigner
    for assigner in (Joint(), Joint(directions=4), amortised):
        found = assigner.solve(single(decode), tokenizers["joint"].codebook, inputs)
        tokens = found.tokens[..., 0]
        paid = np.take_along_axis(code_costs, tokens[..., None], axis=3).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(found.costs, errors(images, tokens) + paid, rtol=1e-4)


@pytest.mark.parametrize("name", ["joint", "amortised"])
def test_a_weight_buys_fewer_nats_and_no_image_costs_more(name, tokenizers, images):
    tokenizer = tokenizers[name]
    start = tokenizer.replace(assigner=Whitened()).encode(images)
    nats, squared = [], []
    for weight in (0.0, 0.05, 0.3):
        found = assign_entropy_constrained(tokenizer, images, bigram_nats, nat_weight=weight, rounds=3)
        assert found.dtype == np.int32
        costs = [errors(images, tokens) + weight * needed(tokens) for tokens in (found, start)]
        assert (costs[0] <= costs[1] * 1.0001).all()
        nats.append(needed(found).mean())
        squared.append(errors(images, found).mean())
    assert nats == sorted(nats, reverse=True)
    assert squared == sorted(squared)
    assert nats[-1] < 0.7 * nats[0]


def test_without_a_weight_a_round_is_the_assignment_itself(tokenizers, images):
    found = assign_entropy_constrained(tokenizers["joint"], images, bigram_nats, nat_weight=0, rounds=1)
    np.testing.assert_array_equal(found, tokenizers["joint"].encode(images))


def test_it_goes_on_from_given_tokens_and_blocks_change_nothing(tokenizers, images, monkeypatch):
    start = np.random.default_rng(5).integers(0, K, (N, *GRID))
    done: list[int] = []
    of: dict[str, Any] = {"nat_weight": 0.05, "start": start}
    found = assign_entropy_constrained(tokenizers["joint"], images, bigram_nats, progress=done.append, **of)
    assert (found != assign_entropy_constrained(tokenizers["joint"], images, bigram_nats, nat_weight=0.05)).any()
    assert sum(done) == N
    monkeypatch.setattr("geovq.tokenizer.entropy_constrained._NUMBERS", 7 * start[0].size * K)
    np.testing.assert_array_equal(assign_entropy_constrained(tokenizers["joint"], images, bigram_nats, **of), found)


@pytest.mark.parametrize("classes", [0, 5])
def test_code_nats_are_those_of_the_model_without_a_class(classes, rng):
    config = GPTConfig(K, GRID, classes, layers=1, width=8, heads=2, class_dropout=0.1 if classes else 0.0)
    model = GPT(config, rngs=nnx.Rngs(0))
    tokens = rng.integers(0, K, (300, *GRID))
    found = code_nats(model)(tokens)
    assert found.shape == (300, *GRID, K)
    np.testing.assert_allclose(np.exp(-found).sum(-1), 1, rtol=1e-5)
    labels = jnp.full(300, classes) if classes else None
    logits = model(jnp.asarray(tokens.reshape(300, -1)), labels).reshape(found.shape)
    np.testing.assert_allclose(found, -jax.nn.log_softmax(logits), rtol=1e-4, atol=1e-5)
    other = tokens.copy()
    other[:, 1, 0] = (other[:, 1, 0] + 1) % K  # the third in raster order: changes what is expected after it alone
    changed = np.abs(code_nats(model)(other) - found).max(axis=(0, 3)).ravel() > 1e-6
    assert changed.tolist() == [False, False, False, True]


def test_what_does_not_fit_is_refused(tokenizers, images):
    joint = tokenizers["joint"]
    config = GPTConfig(K, GRID, 5, layers=1, width=8, heads=2, class_dropout=0.0)
    with pytest.raises(InputError, match="trained with class_dropout, or without classes"):
        code_nats(GPT(config, rngs=nnx.Rngs(0)))
    for options, message in (
        ({"nat_weight": -1.0}, "nat_weight: expected a finite number of at least 0, found -1"),
        ({"nat_weight": 1.0, "rounds": 0}, "rounds: expected"),
        ({"nat_weight": 1.0, "start": np.zeros((3, *GRID), int)}, "start: expected 30 grids, found 3; pass one"),
        ({"nat_weight": 1.0, "start": np.full((N, *GRID), K)}, "tokens"),
        (
            {"nat_weight": 1.0, "nats": lambda t: np.zeros((*t.shape, 7))},
            r"nats: expected .*\(30, 2, 2, 6\), found \(30, 2, 2, 7\)",
        ),
        (
            {"nat_weight": 1.0, "tokenizer": joint.replace(assigner=Whitened())},
            "tokenizer: expected the assigner Amortised or Joint, found Whitened",
        ),
    ):
        given = {"tokenizer": joint, "images": images, "nats": bigram_nats} | options
        with pytest.raises(InputError, match=message):
            assign_entropy_constrained(**given)
    with pytest.raises(InputError, match="code_costs: expected them only for Amortised and Joint, found Whitened"):
        joint.replace(assigner=Whitened()).encode(images, code_costs=bigram_nats(np.zeros((N, *GRID), int)))
    with pytest.raises(InputError, match=r"code_costs: expected one for every code of every token, \(30, 2, 2, 6\)"):
        joint.encode(images, code_costs=np.zeros((N, *GRID, 4)))
    with pytest.raises(InputError, match="code_costs"):
        joint.encode(images, code_costs=np.full((N, *GRID, K), np.nan))
    with pytest.raises(InputError, match="start: expected 30 grids"):
        joint.encode(images, start=np.zeros((2, *GRID), int))
    codebook = Codebook(np.stack([CODES, CODES]), joint.codebook.position_metrics)
    two = Tokenizer(encode, decode, codebook, assigner=Joint(), image_shape=(3, 4, 1))
    with pytest.raises(InputError, match="expected one code a token, found 2"):
        assign_entropy_constrained(two, images, bigram_nats, nat_weight=1.0)
