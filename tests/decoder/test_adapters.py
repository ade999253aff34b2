"""Decoders of any library: the metrics of the function they stand for, shared compilation, and what is refused."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from jax.tree_util import Partial

from geovq.assignment.base import Codebook
from geovq.assignment.whitened import Whitened
from geovq.decoder.adapters import as_partial, flat, from_linen, from_nnx, in_context, single
from geovq.decoder.autoencoder import check_autoencoder
from geovq.decoder.ensembles import ensemble, with_deviation
from geovq.metric.batched import mean_metrics, pullback_metrics, sketches, token_metrics
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError
from tests import reference

D, P = 3, 5

traces: list[str] = []


class NnxDecoder(nnx.Module):
    def __init__(self, seed: int):
        self.linear = nnx.Linear(D, P, rngs=nnx.Rngs(seed))

    def __call__(self, z):
        traces.append("nnx")
        return jnp.tanh(self.linear(z))

    def doubled(self, z):
        return 2 * self(z)


class LinenDecoder(linen.Module):
    sizes: Any = (P,)  # a list cannot be hashed, nor can the module then

    def setup(self):
        self.linear = linen.Dense(self.sizes[-1])

    def __call__(self, z):
        traces.append("linen")
        return jnp.tanh(self.linear(z))

    def doubled(self, z):
        return 2 * self(z)


def by_hand(parameters, z):
    return jnp.tanh(z @ parameters["kernel"] + parameters["bias"])


def nnx_parameters(module: Any) -> dict[str, np.ndarray]:
    return {"kernel": np.asarray(module.linear.kernel[...]), "bias": np.asarray(module.linear.bias[...])}


@dataclasses.dataclass
class Unhashable:
    """A callable object that compares by value, and so has no hash."""

    kernel: np.ndarray

    def __call__(self, z):
        return jnp.tanh(z @ self.kernel)

    def decode(self, z):
        return self(z)


def wave(z):
    """A smooth decoder of a latent of any shape to a (2, 4) picture."""
    mixed = jnp.tanh(z.ravel() @ jnp.sin(jnp.arange(z.size * 8.0).reshape(z.size, 8)))
    return (mixed**2 + mixed).reshape(2, 4)


@pytest.fixture
def points(rng) -> np.ndarray:
    return rng.standard_normal((4, D)).astype(np.float32)


@pytest.fixture
def grids(rng) -> np.ndarray:
    return rng.standard_normal((4, 2, 1, D)).astype(np.float32)


# What a decoder may be.


def test_an_nnx_module_is_the_function_of_its_parameters(points):
    module = NnxDecoder(0)
    wanted = pullback_metrics(Partial(by_hand, nnx_parameters(module)), points)
    for decode in (from_nnx(module), module, module.__call__, lambda z: module(z)):
        np.testing.assert_allclose(pullback_metrics(decode, points), wanted, rtol=1e-5, atol=1e-6)
    for decode in (from_nnx(module, "doubled"), module.doubled):
        np.testing.assert_allclose(pullback_metrics(decode, points), 4 * wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sizes", [(P,), [P]])
def test_a_linen_module_is_the_function_of_its_variables(sizes, points):
    module = LinenDecoder(sizes)
    variables = module.init(jax.random.key(0), points[0])
    wanted = pullback_metrics(Partial(by_hand, variables["params"]["linear"]), points)
    apply = functools.partial(module.apply, variables)
    for decode in (from_linen(module, variables), apply, Partial(module.apply, variables), module.bind(variables)):
        np.testing.assert_allclose(pullback_metrics(decode, points), wanted, rtol=1e-5, atol=1e-6)
    doubled = pullback_metrics(from_linen(module, variables, "doubled"), points)
    np.testing.assert_allclose(doubled, 4 * wanted, rtol=1e-5, atol=1e-6)


def test_other_parameters_do_not_compile_again(points):
    linen_module = LinenDecoder()
    makers: dict[str, Callable[[int], Partial]] = {
        "nnx": lambda seed: from_nnx(NnxDecoder(seed)),
        "linen": lambda seed: from_linen(LinenDecoder(), linen_module.init(jax.random.key(seed), points[0])),
    }
    for name, make in makers.items():
        found = []
        for seed in range(3):
            decode = make(seed)
            traces.clear()
            found.append(pullback_metrics(decode, points))
            decode(points)
            assert ("first" if traces else "again") == ("again" if seed else "first"), name
        assert not np.allclose(found[0], found[1])


def test_a_bound_method_is_compiled_once(points):
    encode = as_partial(NnxDecoder(0).doubled, "encode")
    traces.clear()
    for _ in range(3):
        encode(points)
    assert len(traces) == 1


def test_a_module_in_training_is_taken_as_it_is_now(points):
    module = NnxDecoder(0)
    kept, before = from_nnx(module), pullback_metrics(module.doubled, points)
    kept_before = pullback_metrics(kept, points)
    module.linear.kernel[...] = 0.5 * module.linear.kernel[...]
    np.testing.assert_array_equal(pullback_metrics(kept, points), kept_before)
    wanted = 4 * pullback_metrics(Partial(by_hand, nnx_parameters(module)), points)
    assert not np.allclose(before, wanted)
    for decode in (module.doubled, single(lambda z: module.doubled(z)), from_nnx(module, "doubled")):
        np.testing.assert_allclose(pullback_metrics(decode, points), wanted, rtol=1e-5, atol=1e-6)


def test_state_that_is_no_parameter_travels_along(grids):
    module = nnx.BatchNorm(D, use_running_average=True, rngs=nnx.Rngs(0))
    scales = []
    for variance in (1, 4):
        module.var[...] = jnp.full(D, float(variance))
        scales.append(token_metrics(single(from_nnx(module)), grids)[0, 0, 0])
    np.testing.assert_allclose(scales, [np.eye(D), np.eye(D) / 4], rtol=1e-4, atol=1e-6)


def test_functions_that_cannot_be_hashed_or_compared(points, rng):
    for scale in (1, 2):  # the second must neither be compared with the first nor taken for it
        kernel = scale * np.eye(D, dtype=np.float32)
        wanted = pullback_metrics(Partial(by_hand, {"kernel": kernel, "bias": np.zeros(D, np.float32)}), points)
        thing = Unhashable(kernel)
        for decode in (thing, thing.decode, Partial(thing), functools.partial(Unhashable.decode, thing)):
            np.testing.assert_allclose(pullback_metrics(decode, points), wanted, rtol=1e-5)
    halved = Partial(lambda kernel, z, *, factor: factor * (z @ kernel), np.eye(D, dtype=np.float32), factor=0.5)
    np.testing.assert_allclose(pullback_metrics(halved, points)[0], np.eye(D) / 4)


def test_a_decoder_of_batches_contains_one_of_single_latents(points, grids):
    batched_wave = jax.vmap(wave)
    np.testing.assert_allclose(single(batched_wave)(grids[0]), wave(grids[0]), rtol=1e-5)
    np.testing.assert_allclose(token_metrics(single(batched_wave), grids), token_metrics(wave, grids), rtol=1e-5)
    np.testing.assert_allclose(
        pullback_metrics(single(batched_wave), points), pullback_metrics(wave, points), rtol=1e-5
    )
    tree = single(lambda z: {"image": batched_wave(z), "sum": z.sum(axis=1)})
    np.testing.assert_allclose(pullback_metrics(tree, points), pullback_metrics(wave, points) + 1, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "shaped",
    [
        lambda x: x.ravel(),
        lambda x: x.reshape(2, 2, 2, 1),
        lambda x: (x[0], x[1]),
        lambda x: {"first": x[0, 0], "rest": (x.ravel()[1:], None)},
        lambda x: {"b": x[1], "a": [x[0, :1], x[0, 1:]]},
    ],
)
def test_the_output_may_have_any_shape(shaped, points):
    decode = lambda z: shaped(wave(z))  # noqa: E731
    np.testing.assert_allclose(flat(decode, points[0]), np.ravel(wave(points[0])))
    np.testing.assert_allclose(pullback_metrics(decode, points), pullback_metrics(wave, points), rtol=1e-5)


def test_the_output_may_be_a_scalar(points):
    found = pullback_metrics(lambda z: z @ jnp.array([1.0, 2.0, 3.0]), points)
    np.testing.assert_allclose(found[0], np.outer([1, 2, 3], [1, 2, 3]))


def test_tokens_of_a_grid_and_a_vector_of_them_agree(grids):
    """The metric of the grid as one vector has those of its tokens as diagonal blocks."""
    whole = pullback_metrics(wave, grids.reshape(len(grids), -1)).reshape(-1, 2, D, 2, D)
    for token in range(2):
        np.testing.assert_allclose(token_metrics(wave, grids)[:, token, 0], whole[:, token, :, token], rtol=1e-5)


# Precision.


@pytest.mark.usefixtures("x64")
def test_float64_modules_equal_central_differences(rng):
    module = NnxDecoder(0)
    nnx.update(module, jax.tree.map(lambda p: p.astype(jnp.float64), nnx.state(module)))
    linen_module, z = LinenDecoder(), rng.standard_normal((3, D))
    variables = jax.tree.map(jnp.float64, linen_module.init(jax.random.key(0), z[0]))
    for decode in (from_nnx(module), from_linen(linen_module, variables)):
        found = pullback_metrics(decode, z)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, [reference.metric(decode, row) for row in z], rtol=1e-7, atol=1e-9)


def test_a_decoder_of_one_precision_serves_latents_of_another(points):
    def decode(z):  # jax.lax promotes nothing
        return jax.lax.mul(z, jnp.full(D, 2, jnp.float32))

    np.testing.assert_allclose(pullback_metrics(decode, points)[0], 4 * np.eye(D))
    with jax.enable_x64(True):
        found = pullback_metrics(decode, points.astype(np.float64))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found[0], 4 * np.eye(D))


def test_bfloat16_metrics_are_float32_and_near_those_of_float32(points, grids):
    module = NnxDecoder(0)
    wanted = pullback_metrics(from_nnx(module), points)
    nnx.update(module, jax.tree.map(lambda p: p.astype(jnp.bfloat16), nnx.state(module)))
    half = from_nnx(module)

    def decode(z):
        return half(z.astype(jnp.bfloat16))

    assert decode(points[0]).dtype == jnp.bfloat16
    found = pullback_metrics(decode, points)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=0.02 * np.abs(wanted).max())
    assert token_metrics(decode, grids).dtype == token_metrics(decode, grids, probes=2).dtype == np.float32
    assert mean_metrics(decode, grids).overall.dtype == np.float32


def test_bfloat16_products_are_summed_in_float32():
    """257 needs nine bits, one more than bfloat16 has: summed or kept in it, the metric would be 256 at most."""
    equal = lambda z: jnp.ones(257, jnp.bfloat16) * z.ravel().astype(jnp.bfloat16)  # noqa: E731
    latents = np.ones((2, 1, 1, 1), np.float32)
    np.testing.assert_array_equal(token_metrics(equal, latents).ravel(), [257, 257])
    np.testing.assert_array_equal(pullback_metrics(equal, latents[:, 0, 0]).ravel(), [257, 257])


# What is refused.


def called_back(z):
    return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(z.shape, z.dtype), z)


@jax.custom_vjp
def only_reverse(z):
    return 2 * z


only_reverse.defvjp(lambda z: (2 * z, None), lambda _, image: (2 * image,))


def only_forward(z):
    return jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, 2 * c[1]), (0, z))[1]


@pytest.mark.parametrize(
    ("decode", "message"),
    [
        (lambda z: np.asarray(z) + 1, r"one latent \(3,\) that JAX can trace, found TracerArrayConversionError"),
        (lambda z: jnp.ones((P, D + 1)) @ z, r"one latent \(3,\) that JAX can trace, found .*; check that shape"),
        (lambda z: "image", "that JAX can trace, found TypeError"),
        (called_back, "that JAX can differentiate, found ValueError: Pure callbacks do not support JVP"),
        (only_reverse, "that JAX can differentiate, found TypeError: can't apply forward-mode"),
        (only_forward, "that JAX can differentiate, found ValueError: Reverse-mode"),
        (lambda z: (255 * z).astype(jnp.uint8), "intensities as floats, found uint8; return them before rounding"),
        (lambda z: (z, z > 0), "intensities as floats, found bool"),
        (lambda z: z[:0], r"at least one intensity, found an empty output for a latent \(3,\)"),
        (lambda z: None, "at least one intensity"),
        (
            lambda z: z * jnp.nan,
            "finite images and derivatives, found NaN or infinity at latent 0",
        ),
        (lambda z: z + jnp.array([0, jnp.nan, 0]), "finite images and derivatives, found NaN or infinity at latent 0"),
        (lambda z: jnp.where(z > 0, z, jnp.nan), "finite images and derivatives, found NaN or infinity at"),
        (lambda z: jnp.round(8 * z) / 8, "derivatives, found that all vanish although the image changes"),
        (jax.lax.stop_gradient, "derivatives, found that all vanish although the image changes"),
        (Partial(lambda mode, z: z, "mean"), "Partial of arrays and numbers, found str"),
        (np.ones(3), "decoder: expected a function, found ndarray"),
    ],
)
def test_what_has_no_metric_is_refused(decode, message, points):
    for _ in range(2):  # a refusal is not remembered as accepted
        with pytest.raises(InputError, match=message):
            pullback_metrics(decode, points)


def test_every_kernel_refuses(grids):
    for measure in (
        token_metrics,
        mean_metrics,
        functools.partial(token_metrics, probes=2),
        functools.partial(mean_metrics, probes=2),
        functools.partial(sketches, probes=2),
    ):
        with pytest.raises(InputError, match="that JAX can differentiate"):
            measure(called_back, grids)


def test_vanishing_derivatives_are_seen_from_the_farthest_latent(points):
    closed = np.concatenate([points, points[:1]])
    with pytest.raises(InputError, match="all vanish"):
        pullback_metrics(jnp.round, closed)
    assert not mean_metrics(lambda z: jnp.ones(2), points.reshape(4, 1, 1, D)).overall.any()


@pytest.mark.parametrize("constant", [lambda z: jnp.ones(P), lambda z: 1.0, lambda z: {"a": np.ones(2), "b": 0 * z}])
def test_a_constant_decoder_has_zero_metrics(constant, points):
    np.testing.assert_array_equal(pullback_metrics(constant, points), np.zeros((4, D, D)))


def test_modules_that_do_not_decode_are_refused():
    module = NnxDecoder(0)
    with pytest.raises(InputError, match="method: expected one of NnxDecoder, found 'decode'; name the one"):
        from_nnx(module, "decode")
    with pytest.raises(InputError, match="method: expected one of LinenDecoder, found 'decode'; name the one"):
        from_linen(LinenDecoder(), {}, "decode")
    with pytest.raises(InputError, match=r"expected an nnx.Module, found LinenDecoder"):
        from_nnx(LinenDecoder())  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"expected a flax.linen.Module, found NnxDecoder"):
        from_linen(module, {})  # type: ignore[arg-type]


# Context.


def test_a_token_in_context_has_the_metric_of_the_grid(grids):
    found = token_metrics(wave, grids[:1])
    for row, column in np.ndindex(grids.shape[1:3]):
        one = in_context(wave, grids[0], row, column)
        alone = pullback_metrics(one, grids[:1, row, column])
        np.testing.assert_allclose(alone[0], found[0, row, column], rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match=r"row: expected 0..1 for a grid 2x1, found 2"):
        in_context(wave, np.zeros((2, 1, D)), 2, 0)


# Batch statistics.


def nnx_batch_norm(*, training: bool) -> Partial:
    return from_nnx(nnx.BatchNorm(D, use_running_average=not training, rngs=nnx.Rngs(0)))


def linen_batch_norm(*, training: bool) -> Callable:
    module = linen.BatchNorm(use_running_average=not training)
    variables = module.init(jax.random.key(0), jnp.zeros((1, 2, 1, D)))
    if not training:
        return from_linen(module, variables)
    return lambda z: module.apply(variables, z, mutable=["batch_stats"])[0]


def centred(z):
    return z**2 - (z**2).mean(axis=0, keepdims=True)


APART = "decoder: expected the same result for a row alone as in a batch, found a difference of"


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("decode", [linen_batch_norm(training=True), centred], ids=["linen", "mean"])
def test_batch_statistics_are_refused(decode, n, grids):
    for decoder in (single(decode), ensemble([single(decode)]), with_deviation(lambda z: z, single(decode))):
        with pytest.raises(InputError, match=APART):
            token_metrics(decoder, grids[:n])


@pytest.mark.parametrize(
    "module",
    [
        nnx.BatchNorm(D, use_running_average=False, rngs=nnx.Rngs(0)),
        nnx.Dropout(0.5, rngs=nnx.Rngs(0)),
    ],
    ids=["batch norm", "dropout"],
)
def test_modules_that_train_are_refused(module, grids):
    for decode in (single(from_nnx(module)), from_nnx(module), module):
        with pytest.raises(InputError, match=r"a module that only reads its state, .*call module.eval\(\) first"):
            token_metrics(decode, grids)
    module.eval()
    assert np.isfinite(token_metrics(single(from_nnx(module)), grids)).all()


def test_a_row_of_a_half_is_compared_with_another():
    with pytest.raises(InputError, match=APART):
        token_metrics(single(centred), np.full((1, 2, 1, D), 0.5, np.float32))


def test_linen_says_itself_that_it_trains(grids):
    module = linen.BatchNorm(use_running_average=False)
    decode = from_linen(module, module.init(jax.random.key(0), grids))
    with pytest.raises(InputError, match=r"ModifyScopeVariableError.*switch modules to evaluation mode"):
        token_metrics(single(decode), grids)


@pytest.mark.parametrize("batch_norm", [nnx_batch_norm, linen_batch_norm])
def test_batch_normalization_in_evaluation_mode_is_accepted(batch_norm, grids):
    found = token_metrics(single(batch_norm(training=False)), grids)
    np.testing.assert_allclose(found[0, 0, 0], np.eye(D), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("decode", "message"),
    [
        (
            lambda z: (z.ravel() @ jnp.ones((6, 8))).reshape(2, 4),
            r"found shape \(2, 4\); a decoder of one latent needs",
        ),
        (lambda z: z.sum(), r"found shape \(\); a decoder of one latent needs"),
        (lambda z: z.reshape(1, 6), r"batches of any size, found that it fails with ValueError"),
        (lambda z: z.reshape(1, -1), r"one result for each row, found shapes \(1, 6\) of one row and \(1, 24\) of 4"),
    ],
)
def test_single_needs_a_decoder_of_batches(decode, message, grids):
    with pytest.raises(InputError, match=message):
        token_metrics(single(decode), grids)


def test_a_part_of_other_latents_is_not_called_with_the_whole_ones(grids):
    """The check of parts for batch statistics must not refuse what is composed by hand."""
    halves = Partial(lambda part, z: part(z.ravel()[:2]), single(lambda z: z.reshape(-1, 2) * 2))
    np.testing.assert_allclose(token_metrics(halves, grids)[0, 0, 0], np.diag([4.0, 4.0, 0.0]))


# At the door of the tokenizer: images (n, 2, 4, 1) are latents (n, 1, 4, 2).


def encode(images):
    return images.reshape(-1, 2, 4, 1).transpose(0, 3, 2, 1)


def decode(latents):
    return latents.transpose(0, 3, 2, 1).reshape(-1, 2, 4, 1)


def depending(function):
    """The same with a share of the batch's mean."""
    return lambda batch: 0.5 * function(batch) + 0.5 * function(batch).mean(axis=0, keepdims=True)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (depending(encode), decode, APART.replace("decoder", "encode")),
        (encode, depending(decode), APART),
        (encode, lambda z: np.asarray(decode(np.asarray(z))), "that JAX can trace"),
    ],
)
def test_the_tokenizer_refuses_at_the_door(first, second, message, rng):
    images = rng.uniform(size=(12, 2, 4, 1)).astype(np.float32)
    check_autoencoder(encode, decode, images[:1])
    with pytest.raises(InputError, match=message):
        check_autoencoder(first, second, images[:1])
    with pytest.raises(InputError, match=message):
        Tokenizer.fit(first, second, images, num_codes=3, num_neighbours=2)
    codebook = Codebook(rng.standard_normal((1, 3, 2)).astype(np.float32), np.broadcast_to(np.eye(2), (1, 4, 2, 2)))
    Tokenizer(encode, decode, codebook, assigner=Whitened(), image_shape=(2, 4, 1))
    with pytest.raises(InputError, match=message):
        Tokenizer(first, second, codebook, assigner=Whitened(), image_shape=(2, 4, 1))
