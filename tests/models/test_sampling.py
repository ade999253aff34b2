from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from geovq.models import sampling
from geovq.models.config import GPTConfig
from geovq.models.gpt import GPT, token_nats
from geovq.models.sampling import keep_top_k, keep_top_p, sample
from geovq.validation import InputError
from tests import reference
from tests.models.test_gpt import make

KEY = jax.random.key(3)


@pytest.mark.optimised
@pytest.mark.parametrize("labels", [None, np.array([0, 2, 1, 2])])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0.0},
        {"temperature": 0.5},
        {"temperature": 3.0},
        {"top_k": 1},
        {"top_k": 3},
        {"top_p": 0.6},
        {"temperature": 3.0, "top_p": 0.6},
        {"temperature": 2.0, "top_k": 4, "top_p": 0.7},
        {"temperature": 0.0, "top_k": 4, "top_p": 0.7},
    ],
)
def test_equals_sampling_without_cache(settings, labels):
    model = make(0 if labels is None else 3, scale=20.0)
    found = sample(model, KEY, 4, labels, offset=2, **settings)
    assert found.shape == (4, 5)
    assert found.dtype == np.int32
    for i in range(4):
        label = None if labels is None else jnp.asarray(labels[i : i + 1])
        row_key = jax.random.fold_in(KEY, 2 + i)
        expected = reference.sampled_tokens(
            lambda tokens, label=label: np.asarray(model(tokens[None], label)[0]),
            lambda position, row_key=row_key: np.asarray(
                jax.random.gumbel(jax.random.fold_in(row_key, position), (7,))
            ),
            length=5,
            **({"temperature": 1.0, "top_k": 0, "top_p": 1.0} | settings),
        )
        np.testing.assert_array_equal(found[i], expected)


def test_half_precision_is_cached_in_half_precision():
    model = make(3, scale=20.0, bfloat16=True)
    labels = np.array([0, 2, 1])
    found = sample(model, KEY, 3, labels, temperature=0.0)
    for tokens, label in zip(found, labels, strict=True):
        logits = np.asarray(model(tokens[None], jnp.array([label]))[0], np.float64)
        best, drawn = logits.max(axis=1), logits[np.arange(5), tokens]
        np.testing.assert_allclose(drawn, best, atol=0.02 * np.abs(logits).max())  # rounded otherwise than with a cache
    cache = sampling.empty_cache(model, 3)
    assert {leaf.dtype for leaf in jax.tree.leaves(cache)} == {jnp.dtype("bfloat16")}


@pytest.mark.optimised
@pytest.mark.parametrize("bfloat16", [False, True])
def test_double_precision_changes_no_sample(bfloat16):
    """`jax_enable_x64` gives other defaults to dtypes that the code leaves open: it leaves none open."""
    settings: dict[str, Any] = {"labels": np.array([0, 2, 1]), "top_k": 5, "top_p": 0.9, "guidance": 2.0}
    sizes: dict[str, Any] = {"class_dropout": 0.1, "bfloat16": bfloat16, "rotary": bfloat16}
    wanted = sample(make(3, scale=20.0, **sizes), KEY, 3, **settings)
    with jax.enable_x64(True):
        model = make(3, scale=20.0, **sizes)
        np.testing.assert_array_equal(sample(model, KEY, 3, **settings), wanted)
        assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(model))} == {np.dtype(np.float32)}
        assert token_nats(model, wanted, settings["labels"]).dtype == np.float32


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float64])
def test_a_model_of_another_precision_is_sampled(dtype, x64):
    model = make(3, scale=20.0)
    nnx.update(model, jax.tree.map(lambda leaf: leaf.astype(dtype), nnx.state(model)))
    labels = np.array([0, 2, 1])
    found = sample(model, KEY, 3, labels, temperature=0.0)
    logits = np.asarray(model(found, labels), np.float64)
    drawn = np.take_along_axis(logits, found[..., None], axis=2)[..., 0]
    np.testing.assert_allclose(drawn, logits.max(axis=2), atol=0.1)


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("layout", ["sequence", "heads"])
def test_several_codes_equal_sampling_without_cache(layout, rotary):
    model = make(3, scale=20.0, grid=(2, 2), num_quantizers=2, code_layout=layout, rotary=rotary)
    labels = np.array([0, 2, 1])
    found = sample(model, KEY, 3, labels, prefix=np.full((3, 1, 2), 4))
    assert found.shape == (3, 4, 2)
    assert (found[:, 0] == 4).all()
    for i in range(3):
        codes, row_key = np.zeros(8, np.int32), jax.random.fold_in(KEY, i)
        for j in range(8):
            logits = np.asarray(model(codes.reshape(1, 4, 2), labels[i : i + 1])[0]).reshape(8, 7)[j]
            noise = jax.random.gumbel(jax.random.fold_in(row_key, j), (7,))
            codes[j] = 4 if j < 2 else np.argmax(logits + noise)
        np.testing.assert_array_equal(found[i].ravel(), codes)


@pytest.mark.parametrize("layout", ["sequence", "heads"])
def test_guidance_of_several_codes_is_that_of_their_token(layout):
    model = make(3, scale=20.0, class_dropout=0.1, grid=(1, 3), num_quantizers=2, code_layout=layout)
    labels = np.array([0, 2])
    found = sample(model, KEY, 2, labels, temperature=0.0, guidance=np.array([1.0, 3.0, 0.0]))
    of_class, of_none = (np.asarray(model(found, y)) for y in (labels, np.full(2, 3)))
    guided = of_none + np.array([1.0, 3.0, 0.0])[:, None, None] * (of_class - of_none)
    np.testing.assert_array_equal(found, guided.argmax(axis=-1))


@pytest.mark.parametrize("guidance", [3.0, 0.0, sampling.rising_guidance(3.0, 5)])
def test_guidance_equals_two_models_without_cache(guidance):
    model, labels = make(3, scale=20.0, class_dropout=0.1), np.array([0, 2, 1])
    found = sample(model, KEY, 3, labels, guidance=guidance, chunk=2)
    for i, label in enumerate(labels):

        def logits(tokens, label=label):
            of_class, of_none = (np.asarray(model(tokens[None], jnp.array([y]))[0]) for y in (label, 3))
            return of_none + np.broadcast_to(guidance, 5)[:, None] * (of_class - of_none)

        row_key = jax.random.fold_in(KEY, i)
        expected = reference.sampled_tokens(
            logits,
            lambda at, row_key=row_key: np.asarray(jax.random.gumbel(jax.random.fold_in(row_key, at), (7,))),
            length=5,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
        )
        np.testing.assert_array_equal(found[i], expected)
    assert (found != sample(model, KEY, 3, labels)).any()


def test_no_class_is_a_label_of_a_model_that_knows_it():
    model = make(3, scale=20.0, class_dropout=0.1)
    without = sample(model, KEY, 3, np.full(3, 3))
    np.testing.assert_array_equal(without, sample(model, KEY, 3, np.array([0, 2, 1]), guidance=0.0))
    assert (without != sample(model, KEY, 3, np.array([0, 2, 1]))).any()
    with pytest.raises(InputError, match=r"0\.\.3, found 1 outside"):
        sample(model, KEY, 3, np.array([0, 4, 1]))


def test_rising_guidance():
    np.testing.assert_allclose(sampling.rising_guidance(3.0, 5), [1, 1.5, 2, 2.5, 3])


@pytest.mark.parametrize("p", [0, 2, 5])
def test_a_prefix_is_kept_and_the_rest_follows_it(p):
    model = make(scale=20.0)
    prefix = np.array([[0, 1, 2, 3, 4], [6, 6, 0, 5, 2]])[:, :p]
    found = sample(model, KEY, 2, prefix=prefix)
    np.testing.assert_array_equal(found[:, :p], prefix)
    greedy = sample(model, KEY, 2, prefix=prefix, temperature=0)
    np.testing.assert_array_equal(greedy[:, p:], model(greedy).argmax(-1)[:, p:])
    if p == 0:
        np.testing.assert_array_equal(found, sample(model, KEY, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guidance": 2.0}, "guidance: expected 1 for a model that was trained without class_dropout, found 2.0"),
        ({"temperature": np.ones(2)}, "temperature: expected a finite number of at least 0"),
        ({"guidance": -1.0}, "guidance: expected a finite number of at least 0"),
        ({"guidance": np.ones(4)}, "or one for each of 5 tokens"),
        ({"prefix": np.zeros((2, 3, 1), int)}, r"prefix: expected shape \(2, p\)"),
        ({"prefix": np.zeros((2, 6), int)}, r"prefix: expected shape \(2, p\) with p of at most 5, found \(2, 6\)"),
        ({"prefix": np.full((2, 1), 7)}, r"prefix: expected integers in 0\.\.6"),
    ],
)
def test_impossible_guidance_and_prefixes_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        sample(make(), KEY, 2, **options)


@pytest.mark.optimised
def test_rows_do_not_depend_on_the_request():
    model = make(scale=20.0)
    whole = sample(model, KEY, 7)
    np.testing.assert_array_equal(sample(model, KEY, 7, chunk=3), whole)
    np.testing.assert_array_equal(sample(model, KEY, 4, offset=3), whole[3:])
    np.testing.assert_array_equal(sample(model, KEY, 1, offset=6), whole[6:])
    assert (sample(model, jax.random.key(4), 7) != whole).any()


def test_frequencies_are_the_probabilities_of_the_model():
    model, n = make(num_codes=3, length=2, scale=20.0), 4000
    counts = np.zeros((3, 3))
    np.add.at(counts, tuple(sample(model, KEY, n, chunk=n).T), 1)
    every = jnp.stack(jnp.meshgrid(jnp.arange(3), jnp.arange(3), indexing="ij"), -1).reshape(-1, 2)
    expected = n * np.exp(-token_nats(model, every).sum(1)).reshape(3, 3)
    assert expected.max() > 2 * expected.min()
    assert ((counts - expected) ** 2 / expected).sum() < 26.1  # 99.9% of chi-square with 8 degrees of freedom


def test_temperature_zero_is_the_most_probable_token():
    model = make(scale=20.0)
    tokens = sample(model, KEY, 1, temperature=0)
    np.testing.assert_array_equal(tokens[0], model(tokens)[0].argmax(-1))
    np.testing.assert_array_equal(sample(model, jax.random.key(4), 1, top_k=1), tokens)
    np.testing.assert_array_equal(sample(make(scale=0.0), KEY, 2, temperature=0), np.zeros((2, 5)))


def test_compiled_once():
    model = make(num_codes=5)
    before = sampling._sample_rows._cache_size()  # type: ignore[attr-defined]
    for seed, temperature in ((0, 1.0), (1, 0.5)):
        sample(model, jax.random.key(seed), 5, temperature=temperature, chunk=2, offset=seed)
    assert sampling._sample_rows._cache_size() == before + 1  # type: ignore[attr-defined]
    for n in (3, 4, 3):
        sample(model, KEY, n)
    assert sampling._sample_rows._cache_size() == before + 2  # type: ignore[attr-defined]


def test_sampling_takes_the_size_that_is_asked_for(monkeypatch):
    sizes, real = [], sampling._sample_rows

    def counted(*args, **settings):
        sizes.append(len(args[3]))
        return real(*args, **settings)

    monkeypatch.setattr(sampling, "_sample_rows", counted)
    model = make(length=4)
    for n in (1, 3, 5):
        assert sample(model, KEY, n).shape == (n, 4)
    assert sizes == [1, 4, 8]
    monkeypatch.setattr(sampling, "_CACHED", 4 * 2 * 2 * 8 * 4 * 3)  # keys and values of three sequences
    sample(model, KEY, 7)
    assert sizes[3:] == [3, 3, 3]


@pytest.mark.parametrize(
    ("count", "kept"),
    [(1, [0, 1, 0, 0]), (2, [0, 1, 1, 0]), (3, [1, 1, 1, 0]), (4, [1, 1, 1, 1])],
)
def test_top_k_keeps_the_first_of_equals(count, kept):
    np.testing.assert_array_equal(keep_top_k(jnp.array([1.0, 2.0, 2.0, 0.0]), count), kept)


@pytest.mark.parametrize(
    ("p", "kept"),
    [
        (1e-50, [0, 1, 0, 0, 0]),
        (1e-9, [0, 1, 0, 0, 0]),
        (0.5, [0, 1, 0, 0, 0]),
        (0.51, [1, 1, 0, 0, 0]),
        (0.76, [1, 1, 0, 1, 0]),
        (0.9, [1, 1, 0, 1, 1]),
    ],
)
def test_top_p_keeps_the_fewest_that_reach_it(p, kept):
    np.testing.assert_array_equal(keep_top_p(jnp.array([0.25, 0.5, 0.0, 0.125, 0.125]), p), kept)


def test_filters_equal_reference():
    for seed in range(20):
        logits = jnp.round(2 * jax.random.normal(jax.random.key(seed), (9,)))
        for k in range(1, 10):
            expected = np.isfinite(reference.filtered(np.float64(logits), 1.0, k, 1.0))
            np.testing.assert_array_equal(keep_top_k(logits, k), expected)
        for p in (0.1, 0.33, 0.62, 0.97):
            expected = np.isfinite(reference.filtered(np.float64(logits), 1.0, 0, p))
            np.testing.assert_array_equal(keep_top_p(jax.nn.softmax(logits), p), expected)


@pytest.mark.parametrize(
    ("classes", "settings", "message"),
    [
        (0, {"n": 0}, "n: expected a whole number of at least 1, found 0"),
        (0, {"n": 2.5}, "n: expected a whole number of at least 1, found 2.5"),
        (0, {"offset": -1}, "offset: expected a whole number of at least 0, found -1"),
        (0, {"offset": 2**32 - 1}, "offset: expected offset [+] n of at most 4,294,967,296, found 4,294,967,297"),
        (0, {"chunk": 0}, "chunk: expected a whole number of at least 1, found 0"),
        (0, {"temperature": -0.1}, "at least 0, found -0.1"),
        (0, {"temperature": float("nan")}, "found nan"),
        (0, {"top_k": -1}, "top_k: expected a whole number of at least 0, found -1"),
        (0, {"top_k": 2.5}, "top_k: expected a whole number of at least 0, found 2.5"),
        (0, {"top_k": 8}, r"0\.\.7, found 8"),
        (0, {"top_p": 0.0}, r"\(0, 1\], found 0"),
        (0, {"top_p": 1.1}, r"\(0, 1\], found 1.1"),
        (0, {"labels": np.zeros(2, int)}, "no classes"),
        (3, {}, r"classes 0\.\.2, found none"),
        (3, {"labels": np.zeros(3, int)}, r"\(2,\)"),
        (3, {"labels": np.array([0, 3])}, r"0\.\.2, found 1 outside"),
    ],
)
def test_refuses(classes, settings, message):
    with pytest.raises(InputError, match=message):
        sample(make(classes), KEY, **({"n": 2} | settings))


def test_images_of_a_single_token():
    """A 1x1 grid: only the start token is seen, and the first token's distribution is all there is."""
    model = GPT(GPTConfig(num_codes=7, grid=(1, 1), layers=1, width=8, heads=2), rngs=nnx.Rngs(0))
    tokens = sample(model, KEY, 5)
    assert tokens.shape == (5, 1)
    logits = model(jnp.asarray(tokens))
    assert logits.shape == (5, 1, 7)
    np.testing.assert_allclose(logits, jnp.broadcast_to(logits[:1], logits.shape), rtol=1e-6)
