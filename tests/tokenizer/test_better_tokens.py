"""Better tokens for every kind of quantization: own tokens are reproduced, no image gets worse, bad input is refused."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

import geovq
from geovq.assignment.joint import Joint
from geovq.assignment.nearest import Nearest
from geovq.assignment.whitened import Whitened
from geovq.models.fsq import bound, channel_codes, channel_tokens, grid_codes, grid_tokens
from geovq.numerics.additive import additive_codes
from geovq.tokenizer.better_tokens import better_tokens
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError
from tests import reference

H, W, D = 2, 2, 2
LEVELS = (5, 3)
CHEAP = Joint(jacobians=1, corrections=0)
SKETCHED = Joint(probes=6, jacobians=1, corrections=0)

_RNG = np.random.default_rng(0)
IMAGES = _RNG.uniform(0.1, 0.9, (12, 4, 4, 1)).astype(np.float32)
INTO = (_RNG.standard_normal((4, D)) / 2).astype(np.float32)
MIXING = (_RNG.standard_normal((H * W * D, 16)) / 3).astype(np.float32)
CODES = _RNG.standard_normal((3, 6, D)).astype(np.float32)
QUANT_CONV = np.array([[0.5, 1.0], [-1.0, 0.5]], np.float32)


def encode(images):
    """A linear map of every patch of 2 x 2 pixels."""
    patches = images.reshape(-1, H, 2, W, 2).transpose(0, 1, 3, 2, 4).reshape(-1, H, W, 4)
    return jnp.asarray((patches - 0.5) @ (4 * INTO))


def decode(latents):
    """A curved map in which the tokens of an image overlap."""
    flat = latents.reshape(len(latents), -1)
    return (0.5 + 0.5 * jnp.tanh(flat @ MIXING)).reshape(-1, 4, 4, 1)


class Kind(NamedTuple):
    """A model as its user has it."""

    encode: Callable
    decode: Callable
    codes: np.ndarray
    own: Callable
    """Takes one latent (d,) to the model's own tokens of it, (S,)."""


def of_groups(z):
    return np.array([np.argmin((CODES[s, :, s] - z[s]) ** 2) for s in range(D)])


def of_levels(z):
    half = np.array(LEVELS) // 2
    return (np.round(z * half) + half).astype(int)


KINDS = {
    "VQ-VAE": Kind(encode, decode, CODES[0], lambda z: reference.residual_tokens(z, CODES[:1])),
    "VQGAN": Kind(
        lambda x: encode(x) @ QUANT_CONV,
        lambda z: decode(z @ np.linalg.inv(QUANT_CONV)),
        CODES[1],
        lambda z: reference.residual_tokens(z, CODES[1:2]),
    ),
    "residual VQ": Kind(encode, decode, CODES, lambda z: reference.residual_tokens(z, CODES)),
    "grouped VQ": Kind(encode, decode, additive_codes([CODES[0, :, :1], CODES[1, :, 1:]]), of_groups),
    "FSQ": Kind(lambda x: bound(encode(x), LEVELS), decode, channel_codes(LEVELS), of_levels),
    "FSQ, all codes": Kind(
        lambda x: bound(encode(x), LEVELS),
        decode,
        grid_codes(LEVELS),
        lambda z: grid_tokens(of_levels(z)[None], LEVELS),
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_own_tokens_are_reproduced_and_no_image_gets_worse(name):
    kind = KINDS[name]
    latents = np.asarray(kind.encode(IMAGES))
    own = np.stack([kind.own(z) for z in latents.reshape(-1, D)]).reshape(*latents.shape[:3], -1)
    found = better_tokens(
        kind.encode, kind.decode, kind.codes, IMAGES, assigner=SKETCHED if kind.codes.ndim == 2 else CHEAP
    )
    np.testing.assert_array_equal(found.own_tokens.reshape(own.shape), own)
    assert found.tokens.shape == found.own_tokens.shape == (len(IMAGES), *found.tokenizer.token_shape)
    assert found.tokens.dtype == np.int32
    assert (found.psnr >= found.own_psnr).all()
    assert found.gain > 0.3
    errors = ((found.tokenizer.decode(found.tokens) - IMAGES) ** 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found.psnr, -10 * np.log10(errors), atol=1e-3)


def test_tokens_of_fsq_can_be_written_in_both_ways():
    kind = KINDS["FSQ"]
    found = better_tokens(kind.encode, kind.decode, kind.codes, IMAGES, assigner=CHEAP)
    one = grid_tokens(found.tokens, LEVELS)
    whole = Tokenizer.from_codes(kind.encode, kind.decode, grid_codes(LEVELS), IMAGES, assigner=Nearest())
    np.testing.assert_allclose(whole.decode(one), found.tokenizer.decode(found.tokens), atol=1e-6)
    np.testing.assert_array_equal(channel_tokens(one, LEVELS), np.minimum(found.tokens, np.array(LEVELS) - 1))


def test_the_search_starts_from_the_tokens_that_are_given():
    kind = KINDS["VQ-VAE"]
    plain = better_tokens(kind.encode, kind.decode, kind.codes, IMAGES, assigner=CHEAP)
    given = better_tokens(kind.encode, kind.decode, kind.codes, IMAGES, assigner=CHEAP, own_tokens=plain.own_tokens)
    np.testing.assert_array_equal(given.tokens, plain.tokens)
    again = better_tokens(kind.encode, kind.decode, kind.codes, IMAGES, assigner=CHEAP, own_tokens=plain.tokens)
    np.testing.assert_array_equal(again.own_tokens, plain.tokens)
    assert (again.psnr >= plain.psnr).all()


def test_pixels_beyond_their_range_make_no_image_worse():
    """Tokens are chosen by the squared error of the decoder's output, and PSNR clips that to [0, 1]."""

    def loud(z):
        return 2.5 * decode(z) - 0.75

    binary = (IMAGES > 0.5).astype(np.float32)
    found = better_tokens(encode, loud, CODES[0], binary, assigner=CHEAP)
    assert (found.psnr >= found.own_psnr).all()


def test_sketched_mean_metrics_come_near_the_exact_ones():
    exact, sketched = (
        Tokenizer.from_codes(encode, decode, CODES[0], IMAGES, assigner=Whitened(), probes=probes)
        for probes in (None, 500)
    )
    scale = np.abs(exact.mean_metric).max()
    np.testing.assert_allclose(sketched.mean_metric, exact.mean_metric, atol=0.05 * scale)
    counted: list[int] = []
    Tokenizer.from_codes(encode, decode, CODES[0], IMAGES, assigner=Whitened(), max_images=5, progress=counted.append)
    assert counted == [5, 5]  # encoded, and measured


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": np.zeros((6, 3))}, r"codes: expected 2 dimensions, those of the latents, found shape \(6, 3\)"),
        ({"codes": np.full((6, 2), np.inf)}, "codes: expected finite"),
        ({"own_tokens": np.full((12, H, W), 6)}, r"tokens: expected integers in 0..5, found 48 outside"),
        ({"own_tokens": np.zeros((11, H, W), int)}, "own_tokens: expected 12 grids, one for each image, found 11"),
        ({"own_tokens": np.zeros((12, H * W), int)}, r"tokens: expected shape \(n, 2, 2\)"),
        ({"assigner": Whitened()}, "assigner: expected one that looks at the images"),
        ({"probes": 0}, "probes: expected a whole number in 1..65536, found 0"),
        ({"images": IMAGES * 255}, "images: "),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    options = {"codes": CODES[0], "images": IMAGES, "assigner": CHEAP} | change
    with pytest.raises(InputError, match=message):
        better_tokens(encode, decode, options.pop("codes"), options.pop("images"), **options)


def test_it_is_public():
    assert geovq.better_tokens is better_tokens
    assert geovq.additive_codes is additive_codes
