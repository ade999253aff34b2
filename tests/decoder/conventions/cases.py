"""Conventions and mistakes of autoencoders, each with what GeoVQ does about it: the table of docs/conventions.md."""

import pathlib
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from geovq.decoder.adapters import from_linen, from_nnx
from geovq.decoder.conventions.adaptation import adapt
from tests.decoder.conventions import toys
from tests.decoder.conventions.toys import OURS, first, nnx_pair, of, returning, turn

PAGE = pathlib.Path(__file__).parents[3] / "docs/conventions.md"
HEADING = "## Every case\n"


class Case(NamedTuple):
    """A convention or a mistake."""

    name: str
    make: Callable[[], toys.Pair]
    gets: str = "accepted"
    """Or a part of the message of the refusal or the warning."""
    fix: str = ""
    """Source, out of the message, with which the same is accepted."""
    images: Callable[[np.ndarray], Any] = lambda images: images
    """What is passed as images."""
    size: tuple[int, int] = toys.SIZE
    channels: int = 3
    warned: bool = False
    x64: bool = False


def signed(y):
    return 2 * y - 1


def unsigned(x):
    return (x + 1) / 2


def flat_latents(z):
    return z.reshape(len(z), -1)


VECTORS: toys.Pair = (
    lambda x: flat_latents(toys.encode(x)),
    lambda z: toys.decode(z.reshape(-1, 4, 6, 4)),
)
SEQUENCES: toys.Pair = (
    lambda x: toys.encode(x).reshape(len(x), 24, 4),
    lambda z: toys.decode(z.reshape(-1, 4, 6, 4)),
)
FLAT: toys.Pair = (
    lambda x: toys.encode(x.reshape(-1, 8, 12, 3)) if x.ndim == 2 else x @ "images as vectors",
    lambda z: toys.decode(z).reshape(len(z), -1),
)
GREY: toys.Pair = toys.shrink, toys.grow
WIDE: toys.Pair = (  # grey, with four channels of latents
    lambda x: (
        x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2, 1)
        .transpose(0, 1, 3, 2, 4, 5)
        .reshape(len(x), x.shape[1] // 2, x.shape[2] // 2, 4)
    ),
    lambda z: (
        z.reshape(len(z), *z.shape[1:3], 2, 2, 1)
        .transpose(0, 1, 3, 2, 4, 5)
        .reshape(len(z), 2 * z.shape[1], 2 * z.shape[2], 1)
    ),
)


def latents_first(pair: toys.Pair = OURS) -> toys.Pair:
    return (
        lambda x: pair[0](x).transpose(0, 3, 1, 2),
        lambda z: pair[1](z.transpose(0, 2, 3, 1)),
    )


def moments(z):
    return jnp.concatenate([z, 0 * z - 4], axis=-1)


def standardize(x):
    centre = x.mean(axis=(1, 2, 3), keepdims=True)
    return 0.5 + 0.12 * (x - centre) / x.std(axis=(1, 2, 3), keepdims=True)


def narrow(z):
    """Takes four channels alone."""
    assert z.shape[-1] == 4
    return toys.decode(z)


def half(dtype):
    """Parameters in 16 bits, promoted by jax.numpy."""
    mix = jnp.asarray(toys.MIX, dtype)
    return lambda x: toys.shrink(x) @ mix, lambda z: toys.grow(z @ mix.T).astype(dtype)


def called_back(z):
    return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(z.shape, z.dtype), z)


GROUPS: dict[str, list[Case]] = {
    "Layouts and shapes": [
        Case("images and latents have channels last", lambda: OURS),
        Case(
            "both functions have channels first",
            first,
            "encode: expected",
            'geovq.adapt(encode, decode, layout="NCHW")',
        ),
        Case(
            "both functions have channels first, and images are square",
            first,
            "encode: expected",
            'geovq.adapt(encode, decode, layout="NCHW")',
            size=(8, 8),
        ),
        Case('`geovq.adapt(..., layout="NCHW")` of such functions', lambda: adapt(*first(), layout="NCHW")),
        Case(
            "functions and images have channels first",
            first,
            'pass images.transpose(0, 2, 3, 1), and geovq.adapt(encode, decode, layout="NCHW")',
            images=lambda x: x.transpose(0, 3, 1, 2),
            size=(16, 24),
        ),
        Case(
            "grey images and functions have channels first",
            lambda: first(WIDE),
            'pass images.transpose(0, 2, 3, 1), and geovq.adapt(encode, decode, layout="NCHW")',
            images=lambda x: x.transpose(0, 3, 1, 2),
            channels=1,
        ),
        Case(
            "only the images have channels first",
            lambda: OURS,
            "pass images.transpose(0, 2, 3, 1).",
            images=lambda x: x.transpose(0, 3, 1, 2),
            size=(16, 24),
        ),
        Case(
            "only the latents have channels first",
            latents_first,
            "whose last two axes are rows and columns",
            "geovq.adapt(encode, lambda z: decode(z.transpose(0, 3, 1, 2)), latents=lambda z: z.transpose(0, 2, 3, 1))",
        ),
        Case(
            "the same, with 4x4 tokens of 4 channels, where shapes do not tell",
            latents_first,
            "whose last two axes are rows and columns",
            "geovq.adapt(encode, lambda z: decode(z.transpose(0, 3, 1, 2)), latents=lambda z: z.transpose(0, 2, 3, 1))",
            size=(8, 8),
        ),
        Case(
            "the decoder gives channels first",
            lambda: returning(images=lambda y: y.transpose(0, 3, 1, 2)),
            "decode: expected images (6, 8, 12, 3), found (6, 3, 8, 12)",
            "geovq.adapt(encode, decode, images=lambda y: y.transpose(0, 2, 3, 1))",
        ),
        Case(
            "the decoder takes and gives channels first",
            lambda: (toys.encode, first()[1]),
            "the decoder has channels first",
            "geovq.adapt(encode, lambda z: decode(z.transpose(0, 3, 1, 2)), images=lambda y: y.transpose(0, 2, 3, 1))",
        ),
        Case(
            "the decoder gives width before height",
            lambda: of(give=turn),
            "decode: expected images (6, 8, 12, 3), found (6, 12, 8, 3)",
            "geovq.adapt(encode, decode, images=lambda y: y.transpose(0, 2, 1, 3))",
        ),
        Case(
            "the decoder gives width before height, and images are square",
            lambda: of(give=turn),
            "the decoder gives images with width before height",
            "geovq.adapt(encode, decode, images=lambda y: y.transpose(0, 2, 1, 3))",
            size=(8, 8),
        ),
        Case(
            "the encoder takes width before height, square images",
            lambda: of(turn, lambda y: y * np.linspace(1, 0.9, 8, dtype=np.float32)[None, :, None, None]),
            "the encoder takes images with width before height",
            "geovq.adapt(lambda x: encode(x.transpose(0, 2, 1, 3)), decode)",
            size=(8, 8),
        ),
        Case(
            "the decoder gives images upside down",
            lambda: of(give=lambda y: y[:, ::-1]),
            "upside down",
            "geovq.adapt(encode, decode, images=lambda y: y[:, ::-1])",
        ),
        Case(
            "latents are vectors",
            lambda: VECTORS,
            "latents (n, h, w, d) of 6 images, found (6, 96)",
            "geovq.adapt(encode, lambda z: decode(z[:, 0, 0]), latents=lambda z: z[:, None, None])",
        ),
        Case(
            "latents are sequences",
            lambda: SEQUENCES,
            "latents (n, h, w, d) of 6 images, found (6, 24, 4)",
            "geovq.adapt(encode, lambda z: decode(z.reshape(-1, 24, 4)), latents=lambda z: z.reshape(-1, 4, 6, 4))",
        ),
        Case(
            "images are vectors",
            lambda: FLAT,
            "images are vectors",
            "geovq.adapt(lambda x: encode(x.reshape(len(x), -1)), decode, images=lambda y: y.reshape(-1, 8, 12, 3))",
        ),
        Case(
            "images have no axis of channels",
            lambda: (lambda x: GREY[0](x[:, :, :, None]), lambda z: GREY[1](z)[..., 0]),
            "images have no axis of channels",
            "geovq.adapt(lambda x: encode(x[..., 0]), decode, images=lambda y: y[..., None])",
            channels=1,
        ),
        Case(
            "both functions take a single image",
            lambda: (lambda x: toys.encode(x[None])[0], lambda z: toys.decode(z[None])[0]),
            "both functions take a single image",
            "geovq.adapt(jax.vmap(encode), jax.vmap(decode))",
        ),
        Case(
            "the given images have no axis of channels",
            lambda: OURS,
            "images: expected shape (n, H, W, C), found (6, 8, 12)",
            images=lambda x: x[..., 0],
        ),
        Case(
            "the decoder gives images of another size",
            lambda: returning(images=lambda y: y[:, :4]),
            "decode: expected images (6, 8, 12, 3), found (6, 4, 12, 3)",
        ),
    ],
    "Intensities": [
        Case(
            "the decoder gives images in [-1, 1]",
            lambda: of(give=signed),
            "the decoder gives images in [-1, 1]",
            "geovq.adapt(encode, decode, images=lambda y: (y + 1) / 2)",
        ),
        Case(
            "both functions have images in [-1, 1]",
            lambda: toys.centred(-1, 1),
            "both functions have images in [-1, 1]",
            "geovq.adapt(encode, decode, range=(-1, 1))",
        ),
        Case(
            "both functions have images in [-1, 1] and are linear, so that any range serves as well",
            lambda: OURS,
        ),
        Case(
            "both functions have images in [0, 255]",
            lambda: toys.centred(0, 255),
            "both functions have images in [0, 255]",
            "geovq.adapt(encode, decode, range=(0, 255))",
        ),
        Case(
            "channels first and images in [-1, 1], of which `layout` is stated",
            lambda: adapt(*first(toys.centred(-1, 1)), layout="NCHW"),
            "both functions have images in [-1, 1]",
            "geovq.adapt(encode, decode, range=(-1, 1))",
        ),
        Case(
            '`geovq.adapt(..., layout="NCHW", range=(-1, 1))` of such functions',
            lambda: adapt(*first(toys.centred(-1, 1)), layout="NCHW", range=(-1, 1)),
        ),
        Case(
            "the encoder takes images in [-1, 1], the decoder gives them in [0, 1]",
            lambda: of(take=unsigned),
            "the encoder takes images in [-1, 1]",
            "geovq.adapt(lambda x: encode(2 * x - 1), decode)",
        ),
        Case(
            "the encoder takes images in [0, 255], the decoder gives them in [0, 1]",
            lambda: of(take=lambda x: x / 255),
            "the encoder takes images in [0, 255]",
            "geovq.adapt(lambda x: encode(255 * x), decode)",
        ),
        Case(
            "the encoder takes images in [0, 255], the decoder gives them in [-1, 1]",
            lambda: of(take=lambda x: x / 255, give=signed),
            "the encoder takes images in [0, 255] and the decoder gives images in [-1, 1]",
            "geovq.adapt(lambda x: encode(255 * x), decode, images=lambda y: (y + 1) / 2)",
        ),
        Case(
            "the decoder gives images in [0, 255]",
            lambda: of(give=lambda y: 255 * y),
            "the decoder gives images in [0, 255]",
            "geovq.adapt(encode, decode, images=lambda y: y / 255)",
        ),
        Case(
            "the decoder gives logits",
            lambda: of(give=lambda y: jnp.log(y.clip(0.01, 0.99)) - jnp.log(1 - y.clip(0.01, 0.99))),
            "the decoder gives images as logits",
            "geovq.adapt(encode, decode, images=jax.nn.sigmoid)",
        ),
        Case(
            "the decoder gives inverted images",
            lambda: of(give=lambda y: 1 - y),
            "the decoder gives images inverted",
            "geovq.adapt(encode, decode, images=lambda y: 1 - y)",
        ),
        Case(
            "the decoder gives BGR",
            lambda: of(give=lambda y: y[..., ::-1]),
            "the decoder gives images as BGR",
            "geovq.adapt(encode, decode, images=lambda y: y[..., ::-1])",
        ),
        Case(
            "the encoder takes BGR",
            lambda: of(lambda x: x[..., ::-1], lambda y: y * np.array([[[[0.8, 1, 1]]]], np.float32)),
            "the encoder takes images as BGR",
            "geovq.adapt(lambda x: encode(x[..., ::-1]), decode)",
        ),
        Case(
            "`range=(-1, 1)` is stated of functions with images in [0, 1]",
            lambda: adapt(*of(take=lambda x: x.clip(0, 1)), range=(-1, 1)),
            "the encoder takes images in [0, 1] where they are mapped to [-1, 1] and the decoder gives images in [0, 1]",
            "geovq.adapt(lambda x: encode((x + 1) / 2), decode, images=lambda y: 2 * y - 1)",
        ),
        Case("both functions have BGR", lambda: of(lambda x: x[..., ::-1], lambda y: y[..., ::-1])),
        Case(
            "latents are stated to be scaled and shifted: `scale=0.18215, shift=0.1`",
            lambda: adapt(*OURS, scale=0.18215, shift=0.1),
        ),
        Case(
            "the decoder divides latents by 0.18215, the encoder does not multiply",
            lambda: (toys.encode, lambda z: toys.decode(z / 0.18215)),
            "the decoder takes latents times 0.18215",
            "geovq.adapt(encode, lambda z: decode(0.18215 * z))",
        ),
        Case(
            "the encoder standardizes each image",
            lambda: of(take=standardize),
            images=standardize,
        ),
        Case(
            "the encoder multiplies latents by 0.13025, the decoder does not divide",
            lambda: (lambda x: 0.13025 * toys.encode(x), toys.decode),
            "the decoder takes latents divided by 0.13025",
            "geovq.adapt(encode, lambda z: decode(z / 0.13025))",
        ),
        Case(
            "the encoder scales latents as Stable Diffusion 3, the decoder does not",
            lambda: (lambda x: 1.5305 * (toys.encode(x) - 0.0609), toys.decode),
            "the decoder takes latents divided by 1.5305, plus 0.0609",
            "geovq.adapt(encode, lambda z: decode(z / 1.5305 + 0.0609))",
        ),
        Case(
            "the decoder takes latents scaled as Stable Diffusion 3, the encoder does not scale them",
            lambda: (toys.encode, lambda z: toys.decode(z / 1.5305 + 0.0609)),
            "the decoder takes latents minus 0.0609, times 1.5305",
            "geovq.adapt(encode, lambda z: decode(1.5305 * (z - 0.0609)))",
        ),
        Case(
            "the encoder scales latents as FLUX, the decoder does not",
            lambda: (lambda x: 0.3611 * (toys.encode(x) - 0.1159), toys.decode),
            "the decoder takes latents divided by 0.3611, plus 0.1159",
            "geovq.adapt(encode, lambda z: decode(z / 0.3611 + 0.1159))",
        ),
        Case(
            "the decoder takes latents scaled as FLUX, the encoder does not scale them",
            lambda: (toys.encode, lambda z: toys.decode(z / 0.3611 + 0.1159)),
            "the decoder takes latents minus 0.1159, times 0.3611",
            "geovq.adapt(encode, lambda z: decode(0.3611 * (z - 0.1159)))",
        ),
        Case(
            "the decoder gives images with half of the contrast",
            lambda: of(give=lambda y: 0.5 * y + 0.3),
            "for 2 * decode(encode(images)) - 0.6; check",
            warned=True,
        ),
        Case(
            "the decoder gives intensities that nothing known explains",
            lambda: of(give=lambda y: 40 * y[:, ::-1, ::-1, ::-1]),
            "decode: expected intensities in [0, 1], found values in",
            warned=True,
        ),
        Case("the given images are bytes", lambda: OURS, images=lambda x: (255 * x).astype(np.uint8)),
        Case(
            "the given images are floats in [0, 255]",
            lambda: OURS,
            "images: expected floats in [0, 1], found values in",
            images=lambda x: 255 * x,
        ),
        Case(
            "the given images are in [-1, 1]",
            lambda: OURS,
            "map [-1, 1] by (x + 1) / 2",
            images=signed,
        ),
        Case(
            "the given images are 64-bit integers",
            lambda: OURS,
            "images: expected uint8 in 0..255 or floats in [0, 1], found int64",
            images=lambda x: (255 * x).astype(np.int64),
        ),
    ],
    "Results": [
        Case(
            "`encode` returns (mean, log-variance)",
            lambda: returning(lambda z: (z, 0 * z)),
            "encode: expected an array of latents, found tuple with [0] array (6, 4, 6, 4) float32, [1] array",
            "geovq.adapt(encode, decode, latents=0)",
        ),
        Case(
            "`encode` returns (mean, log-variance), and both have channels first",
            lambda: returning(lambda z: (z, 0 * z), pair=first()),
            "encode: expected an array of latents, found tuple with [0] array",
            'geovq.adapt(encode, decode, layout="NCHW", latents=0)',
        ),
        Case(
            "`encode` returns the latents with indices and a loss",
            lambda: returning(lambda z: (z, np.zeros(z.shape[:3], np.int32), 0.1)),
            "[1] array (6, 4, 6) int32, [2] float",
            "geovq.adapt(encode, decode, latents=0)",
        ),
        Case(
            "`encode` returns a dict",
            lambda: returning(lambda z: {"mean": z, "logvar": 0 * z}),
            "encode: expected an array of latents, found dict with [",
            'geovq.adapt(encode, decode, latents="mean")',
        ),
        Case(
            "`encode` returns an object with attributes",
            lambda: returning(lambda z: types.SimpleNamespace(mu=z, logvar=0 * z)),
            "found SimpleNamespace with .logvar array",
            'geovq.adapt(encode, decode, latents="mu")',
        ),
        Case(
            "`encode` returns a distribution",
            lambda: returning(toys.Distribution),
            "found Distribution with",
            'geovq.adapt(encode, decode, latents="mode")',
        ),
        Case(
            "`encode` returns an object that holds a distribution, as in diffusers",
            lambda: returning(toys.held),
            "found SimpleNamespace with .latent_dist Distribution",
            "geovq.adapt(encode, decode, latents=lambda found: found.latent_dist.mode())",
        ),
        Case(
            "`encode` returns means and log-variances in one array",
            lambda: returning(moments, pair=(toys.encode, narrow)),
            "the encoder gives means and log-variances in one array",
            "geovq.adapt(encode, decode, latents=lambda m: m[..., : m.shape[-1] // 2])",
        ),
        Case(
            "means and log-variances in one array, and both have channels first",
            lambda: first(returning(moments, pair=(toys.encode, narrow))),
            "the encoder gives means and log-variances in one array, and both have channels first",
            'geovq.adapt(encode, decode, layout="NCHW", latents=lambda m: m[:, : m.shape[1] // 2])',
        ),
        Case(
            "`encode` returns a tensor of PyTorch",
            lambda: returning(toys.Tensor),
            "encode: expected an array of latents, found torch tensor (6, 4, 6, 4) float32",
            "geovq.adapt(encode, decode, latents=lambda tensor: tensor.detach().cpu().numpy())",
        ),
        Case(
            "`encode` returns integer tokens",
            lambda: returning(lambda z: np.zeros(z.shape[:3], np.int32)),
            "encode: expected latents as floats, found int32; return them before they are quantized",
        ),
        Case(
            "`encode` returns nothing",
            lambda: returning(lambda z: None),
            "encode: expected an array of latents, found NoneType without arrays",
        ),
        Case(
            "`decode` returns an object with attributes",
            lambda: returning(images=lambda y: types.SimpleNamespace(sample=y)),
            "decode: expected an array of images, found SimpleNamespace with .sample array",
            'geovq.adapt(encode, decode, images="sample")',
        ),
        Case(
            "`decode` returns (images, log-variances)",
            lambda: returning(images=lambda y: (y, 0 * y)),
            "decode: expected an array of images, found tuple",
            "geovq.adapt(encode, decode, images=0)",
        ),
        Case(
            "`decode` returns bytes",
            lambda: returning(images=lambda y: (255 * y).astype(jnp.uint8)),
            "decode: expected images as floats, found uint8; return them before rounding",
        ),
        Case(
            '`latents="mean"` where there is none',
            lambda: adapt(*returning(lambda z: {"mu": z}), latents="mean"),
            'latents: expected a part of what encode returns, dict with ["mu"] array (6, 4, 6, 4) float32, found "mean"',
        ),
    ],
    "Precision": [
        Case("parameters in bfloat16", lambda: half(jnp.bfloat16)),
        Case("parameters in float16", lambda: half(jnp.float16)),
        Case("functions that take and give bfloat16 alone", lambda: toys.strict(jnp.bfloat16)),
        Case("functions that take and give float16 alone", lambda: toys.strict(jnp.float16)),
        Case("functions in float64, with `jax_enable_x64`", lambda: toys.strict(jnp.float64), x64=True),
        Case("functions in float32, with `jax_enable_x64`", lambda: toys.strict(jnp.float32), x64=True),
        Case("an encoder of NumPy in float64", lambda: (lambda x: toys.encode(np.float64(x)), toys.decode)),
        Case(
            "functions in bfloat16 with channels first and images in [-1, 1], stated",
            lambda: adapt(*first(of(unsigned, signed, toys.strict(jnp.bfloat16))), layout="NCHW", range=(-1, 1)),
        ),
    ],
    "Modules and modes": [
        Case("bound methods of an nnx module", nnx_pair),
        Case("nnx batch normalization in evaluation mode", lambda: nnx_pair(toys.batch_norm)),
        Case(
            "nnx batch normalization in training mode",
            lambda: nnx_pair(toys.batch_norm, train=True),
            "encode: expected a module that only reads its state, found one that changes it",
        ),
        Case("nnx dropout in evaluation mode, which owns random keys", lambda: nnx_pair(toys.dropout)),
        Case(
            "nnx dropout in training mode",
            lambda: nnx_pair(toys.dropout, train=True),
            "call module.eval() first",
        ),
        Case(
            "an nnx encoder that draws from its posterior",
            lambda: (toys.Sampling().encode, toys.decode),
            "encode: expected a module that only reads its state, found one that changes it",
        ),
        Case(
            "`from_nnx` of a method that is not there",
            lambda: (from_nnx(toys.Nnx(), "encode"), from_nnx(toys.Nnx(), "decoder")),
            "method: expected one of Nnx, found 'decoder'",
        ),
        Case("`from_linen`", lambda: (from_linen(toys.Linen(), {}, "encode"), from_linen(toys.Linen(), {}, "decode"))),
        Case(
            "methods of a Linen module without variables",
            lambda: (toys.Linen().encode, toys.Unbound().decode),
            "decode: expected a function of a batch",
        ),
        Case(
            "an encoder that draws from its posterior",
            toys.sample_posterior,
            "encode: expected the same result for the same input, found a difference of",
        ),
        Case(
            "an encoder with batch statistics",
            lambda: of(take=lambda x: x - 0.1 * (x.mean(axis=0) - 0.5)[None]),
            "encode: expected the same result for a row alone as in a batch",
        ),
        Case(
            "a decoder with batch statistics",
            lambda: of(give=lambda y: y - 0.1 * (y.mean(axis=0) - 0.5)[None]),
            "decoder: expected the same result for a row alone as in a batch",
        ),
        Case("functions compiled by jax.jit", lambda: (jax.jit(toys.encode), jax.jit(toys.decode))),
        Case("an encoder of NumPy", lambda: (lambda x: toys.encode(np.asarray(x)), toys.decode)),
        Case(
            "a decoder of NumPy",
            lambda: (toys.encode, lambda z: np.asarray(toys.decode(np.asarray(z)))),
            "decoder: expected a function of one latent (4, 6, 4) that JAX can trace",
        ),
        Case(
            "a decoder with a callback",
            lambda: of(give=called_back),
            "decoder: expected a function that JAX can differentiate",
        ),
        Case(
            "a PyTorch module or a method of one",
            lambda: (toys.TorchModule().encode, toys.TorchModule()),
            "encode: expected a function of JAX, found TorchModule of PyTorch; use encode, decode = geovq.from_torch(module)",
        ),
    ],
    "Mistakes": [
        Case(
            "decode and encode in the wrong order",
            lambda: (narrow, toys.encode),
            "they are in the wrong order: pass the function that takes images first",
        ),
        Case(
            "the same where nothing fails, with 3 channels of latents",
            lambda: (toys.grow, toys.shrink),
            "they are in the wrong order: pass the function that takes images first",
        ),
        Case(
            "the wrong order, and both have channels first",
            lambda: first((narrow, toys.encode)),
            "they are in the wrong order and have channels first",
            'geovq.adapt(decode, encode, layout="NCHW")',
        ),
        Case(
            "an array instead of a function",
            lambda: (toys.MIX, toys.decode),
            "encode: expected a function, found ndarray",
        ),
        Case(
            "nothing instead of a decoder", lambda: (toys.encode, None), "decode: expected a function, found NoneType"
        ),
        Case(
            "an encoder that fails",
            lambda: (lambda x: x["images"], toys.decode),
            "encode: expected a function of a batch (6, 8, 12, 3), found that it fails with",
        ),
        Case("latents that are not finite", lambda: returning(lambda z: z * np.nan), "latents: expected finite values"),
        Case(
            "decoded images that are not finite",
            lambda: of(give=lambda y: y / 0),
            "decoded images: expected finite values",
        ),
        Case(
            "the decoder of another VAE",
            lambda: (toys.encode, lambda z: 0.5 + 0.5 * toys.grow(z[..., ::-1] @ toys.MIX.T)[:, :, ::-1]),
            "reconstructions: expected decode(encode(images)) to be like the images",
            warned=True,
        ),
        Case(
            "a decoder of plain colours, as if it were not trained",
            lambda: of(give=lambda y: 0 * y + 0.2),
            "reconstructions: expected decode(encode(images)) to be like the images",
            warned=True,
        ),
    ],
}

CASES = [case for group in GROUPS.values() for case in group]


def table() -> str:
    """The cases as Markdown."""
    lines = ["", "Python writes these tables from the tests: `python -m tests.decoder.conventions.cases`.", ""]
    for title, cases in GROUPS.items():
        lines += [f"### {title}", "", "| you bring | GeoVQ | this mends it |", "|---|---|---|"]
        lines += [f"| {case.name} | {_outcome(case)} | {f'`{case.fix}`' if case.fix else ''} |" for case in cases]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _outcome(case: Case) -> str:
    return "accepts it" if case.gets == "accepted" else f"{'warns' if case.warned else 'refuses it'}: {case.gets}"


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text().partition(HEADING)[0] + HEADING + table())
