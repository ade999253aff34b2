"""Decoders and encoders of any precision: tokens, codes, metrics and lengths are those of float32, and nothing fails."""

import contextlib
import re
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from geovq.assignment.amortised import Amortised
from geovq.assignment.greedy import Greedy
from geovq.assignment.joint import Joint
from geovq.decoder.adapters import as_partial, in_context, single
from geovq.decoder.autoencoder import check_autoencoder
from geovq.decoder.conventions.adaptation import adapt
from geovq.decoder.ensembles import ensemble
from geovq.decoder.precision import call_in_own_precision
from geovq.metric.batched import mean_metrics, pullback_metrics, sketches, token_metrics
from geovq.metric.curve_lengths import polyline_lengths
from geovq.metric.geodesics import find_geodesics
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError
from tests.decoder.conventions import toys

CHEAP = Joint(jacobians=1, corrections=0)
DTYPES = ["bfloat16", "float64"]


@contextlib.contextmanager
def precision(dtype: str) -> Iterator[toys.Pair]:
    """An autoencoder of one precision alone, where it exists."""
    with jax.enable_x64(True) if dtype == "float64" else contextlib.nullcontext():
        yield toys.strict(jnp.dtype(dtype))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return toys.draw_images(n=24, size=(4, 4))


@pytest.fixture(scope="module")
def codes(images) -> np.ndarray:
    latents = np.asarray(toys.encode(images)).reshape(-1, 4)
    return latents[:: len(latents) // 8][:8]


@pytest.mark.parametrize("dtype", DTYPES)
def test_tokenizers_of_any_precision(dtype, images, codes):
    exact = Tokenizer.from_codes(*toys.OURS, codes, images, assigner=CHEAP)
    error = ((exact.decode(exact.encode(images)) - images) ** 2).sum()
    with precision(dtype) as pair:
        base = Tokenizer.from_codes(*pair, codes, images, assigner=CHEAP)
        for assigner in (CHEAP, Amortised(), Greedy(candidates=2, initial=CHEAP)):
            tokenizer = base.replace(assigner=assigner, images=images)
            tokens = tokenizer.encode(images)
            decoded = tokenizer.decode(tokens)
            assert tokens.dtype == np.int32
            assert decoded.dtype == np.float32
            if assigner is CHEAP:
                assert ((decoded - images) ** 2).sum() <= 1.02 * error


def test_refined_codes_of_half_precision(images):
    with precision("float16") as pair:
        tokenizer = Tokenizer.fit(*pair, images, num_codes=8, codebook="refined", num_neighbours=4, assigner=CHEAP)
        assert tokenizer.codes.dtype == np.float32
        assert tokenizer.decode(tokenizer.encode(images)).dtype == np.float32


@pytest.mark.parametrize("dtype", DTYPES)
def test_metrics_and_lengths_of_any_precision(dtype, images):
    grids = np.asarray(toys.encode(images))[:6]
    wanted = 4 * toys.MIX.T @ toys.MIX  # every token is four pixels
    ends = np.arange(5), np.arange(1, 6)
    lengths = polyline_lengths(single(toys.decode), grids, *ends, segments=2)
    with precision(dtype) as (_, decode):
        one = single(decode)
        for metrics in (
            token_metrics(one, grids),
            mean_metrics(one, grids).by_position,
            token_metrics(one, grids, probes=64),
        ):
            assert metrics.dtype == np.float32
        np.testing.assert_allclose(token_metrics(one, grids)[0, 0, 0], wanted, atol=0.05)
        assert sketches(one, grids, probes=2).dtype == np.float32
        found = polyline_lengths(one, grids, *ends, segments=2)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, lengths, rtol=0.1, atol=0.02)
        points = grids.reshape(-1, 4)[:3]
        vector = Partial(lambda z: decode(z[None, None, None])[0])
        assert pullback_metrics(vector, points).dtype == np.float32
        assert find_geodesics(vector, points[None], iterations=1).lengths.dtype == np.float32


def test_a_float32_function_is_only_called():
    traced = [str(jax.make_jaxpr(f)(np.ones((1, 2, 2, 4), np.float32))) for f in (toys.decode, as_partial(toys.decode))]
    assert traced[0] == traced[1]
    once = as_partial(toys.decode)
    assert as_partial(once) is once


def test_derivatives_are_converted_both_ways():
    decode = as_partial(lambda z: jax.lax.mul(z, jnp.full(z.shape, 3, jnp.bfloat16)))
    image, pull = jax.vjp(decode, jnp.ones(2))
    assert image.dtype == pull(jnp.ones(2))[0].dtype == jnp.float32
    np.testing.assert_array_equal(jax.jvp(decode, (jnp.ones(2),), (jnp.ones(2),))[1], [3, 3])


def test_the_first_error_is_told():
    def decode(z):
        raise TypeError(f"no {z.dtype}")

    with pytest.raises(TypeError, match="no float32"):
        call_in_own_precision(Partial(decode), np.ones(2, np.float32))


ERRORS = {
    "out of memory": (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating float32[9]"), 1),
    "a bug": (KeyError("float32"), 1),
    "shapes": (TypeError("add got incompatible shapes for broadcasting: (2,), (3,)."), 1),
    "ours": (InputError("decoder: expected float32."), 1),
    "types": (TypeError("lax.mul requires arguments to have the same dtypes, got float32, float64."), 3),
}
"""Errors in float32 alone, and how often a function that always raises them is called."""


@pytest.mark.parametrize("name", ERRORS)
def test_only_errors_about_types_lead_to_another_precision(name):
    error, calls = ERRORS[name]
    seen = []

    def decode(z):
        seen.append(z.dtype)
        if z.dtype == jnp.float32:
            raise error
        return z

    if calls > 1:
        assert call_in_own_precision(Partial(decode), np.ones(2, np.float32)).dtype == np.float32
    else:
        with pytest.raises(type(error)):
            call_in_own_precision(Partial(decode), np.ones(2, np.float32))
    assert len(seen) == min(calls, 2)


@pytest.mark.parametrize("name", ["out of memory", "types"])
def test_a_function_that_always_fails_is_called_a_few_times_however_deep(name):
    error, calls = ERRORS[name]
    seen = []

    def decode(z):
        seen.append(z.dtype)
        raise type(error)(str(error))

    adapted = adapt(toys.encode, decode, layout="NCHW").decode
    token = in_context(ensemble([single(adapted), single(adapted)]), np.zeros((2, 2, 4), np.float32), 0, 1)
    with pytest.raises(type(error), match=re.escape(str(error))):
        as_partial(token)(np.ones(4, np.float32))
    assert len(seen) == calls
    seen.clear()
    with pytest.raises(InputError, match="decode: expected a function of a batch"):
        check_autoencoder(*adapt(toys.first()[0], decode, layout="NCHW"), toys.draw_images())
    assert len(seen) <= 16 * calls  # once for each repair
