"""What TinyAutoencoder and AutoencoderKL have in common: equal to slow truths, rows apart, derivatives, batches refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.decoder.adapters import as_partial, from_nnx
from geovq.models.config import AutoencoderKLConfig
from geovq.models.torch_tensors import tensors_of
from geovq.validation import InputError
from tests import reference
from tests.models.autoencoders import CONFIGS, original_names, random_model

ALL = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
RENAMED = {"encoder.quant_conv": "quant_conv", "decoder.post_quant_conv": "post_quant_conv"}


def slow(config):
    """Encoder and decoder of one image, without our layers."""
    tensors = tensors_of(random_model(config), RENAMED)
    if isinstance(config, AutoencoderKLConfig):
        truth = reference.SlowAutoencoderKL(tensors, config.norm_num_groups, config.scaling_factor, config.shift_factor)
        return truth.encode, truth.decode
    parts = original_names(tensors)
    scale, shift = config.scaling_factor, config.shift_factor
    return (
        lambda image: (reference.tiny_layers(parts["encoder"], image, False) - shift) * scale,
        lambda latents: reference.tiny_layers(parts["decoder"], latents / scale + shift, True),
    )


@ALL
def test_equal_to_the_slow_truth_for_any_size_and_every_row_by_itself(config, rng):
    model, (encode, decode) = random_model(config), slow(config)
    images = rng.random((3, 12, 8, 3), np.float32)
    latents = np.asarray(from_nnx(model, "encode")(images))
    stride = model.config.stride
    assert latents.shape == (3, 12 // stride, 8 // stride, model.config.latent_channels)
    decoded = np.asarray(from_nnx(model.decoder)(latents))
    assert decoded.shape == images.shape
    assert latents.std() > 0.1 * model.config.scaling_factor
    assert decoded.std() > 0.05
    for row in range(3):
        np.testing.assert_allclose(latents[row], encode(images[row]), atol=2e-6, rtol=1e-5)
        np.testing.assert_allclose(decoded[row], decode(latents[row]), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("config", [CONFIGS["tiny"], CONFIGS["kl"]], ids=["tiny", "kl"])
def test_the_decoders_derivative_is_a_finite_difference(config, rng, x64):
    model = random_model(config, "float64")
    latents, direction = rng.random((2, 1, 2, 3, model.config.latent_channels))
    decode, step = as_partial(model.decode), 1e-6
    value, tangent = jax.jvp(decode, (latents,), (direction,))
    assert value.dtype == np.float64
    difference = (decode(latents + step * direction) - decode(latents - step * direction)) / (2 * step)
    np.testing.assert_allclose(tangent, difference, atol=1e-7)
    assert np.abs(tangent).max() > 1e-3


@ALL
def test_batches_that_do_not_fit_are_refused(config):
    model = random_model(config)
    stride, channels = model.config.stride, model.config.latent_channels
    images, latents = np.zeros((1, 2 * stride, stride, 3), np.float32), np.zeros((1, 2, 2, channels), np.float32)
    cases = [
        (
            model.encode,
            images[:, 1:],
            rf"the stride {stride} divides, found {2 * stride - 1}x{stride}; .* {stride}x{stride}",
        ),
        (model.encode, images[:, :, 1:], rf"divides, found {2 * stride}x{stride - 1}; .* {2 * stride}x{stride}"),
        (model.encode, images[:, :0], rf"found 0x{stride}"),
        (model.encode, images[0], r"images: expected shape \(n, H, W, 3\), found"),
        (model.encode, images.transpose(0, 3, 1, 2), r"put the axis of channels last"),
        (model.encode, images.astype(np.uint8), "expected floats, found uint8; divide bytes by 255"),
        (model.decode, latents[..., 1:], rf"latents: expected shape \(n, h, w, {channels}\)"),
        (model.decode, latents.astype(int), "latents: expected floats, found int.*; pass what encode returns"),
    ]
    for function, batch, message in cases:
        with pytest.raises(InputError, match=message):
            function(batch)
    with pytest.raises(InputError, match=f"the stride {stride}"):  # compiled code too
        from_nnx(model.encoder)(images[:, 1:])


def test_half_precision_is_computed_in_if_it_is_asked_for(rng):
    config = CONFIGS["kl"]
    model, half = random_model(config), random_model(config, "bfloat16")
    images = rng.random((1, 4, 2, 3), np.float32)
    latents, found = from_nnx(model, "encode")(images), from_nnx(half, "encode")(images)
    assert found.dtype == jax.eval_shape(half.decode, latents).dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(np.float32), latents, atol=0.02)
    assert np.abs(found.astype(np.float32) - latents).max() > 1e-4


def test_models_of_one_structure_share_their_compiled_code(rng):
    images = rng.random((2, 8, 8, 3), np.float32)
    for config in CONFIGS.values():
        one, other = (from_nnx(random_model(config, seed=seed).encoder) for seed in (0, 1))
        assert one.func == other.func
        assert hash(one.func) == hash(other.func)
        assert not np.allclose(one(images), other(images))
