"""`from_torch` takes the autoencoders of diffusers as they are."""

from typing import Any

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="no PyTorch here; make peers")
pytest.importorskip("torchax", reason="no torchax here; make peers")
diffusers = pytest.importorskip("diffusers", reason="no diffusers here; make peers")

from geovq.assignment.nearest import Nearest  # noqa: E402
from geovq.decoder.pytorch.modules import from_torch  # noqa: E402
from geovq.tokenizer.tokenizer import Tokenizer  # noqa: E402
from geovq.validation import InputError  # noqa: E402

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),  # of other libraries
]

SMALL: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "block_out_channels": (8, 8),
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
FLUX: dict[str, Any] = {
    "latent_channels": 8,
    "scaling_factor": 0.36,
    "shift_factor": 0.11,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
MODELS: dict[str, Any] = {
    "stable diffusion": lambda: diffusers.AutoencoderKL(**SMALL, latent_channels=4),
    "flux": lambda: diffusers.AutoencoderKL(**SMALL, **FLUX),
    "taesd": lambda: diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        latent_channels=4,
        scaling_factor=0.7,
        shift_factor=0.2,
    ),
}


def make(name: str) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MODELS[name]()


def theirs(model: Any, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latents and images as a pipeline of diffusers scales and decodes them."""
    scale, shift = model.config.scaling_factor, getattr(model.config, "shift_factor", None) or 0.0
    with torch.no_grad():
        encoded = model.encode(torch.tensor(images).permute(0, 3, 1, 2) * 2 - 1)
        raw = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        latents = (raw - shift) * scale
        decoded = model.decode(latents / scale + shift).sample / 2 + 0.5
    return tuple(batch.permute(0, 2, 3, 1).numpy() for batch in (latents, decoded))


@pytest.mark.parametrize("name", MODELS)
def test_encode_and_decode_are_those_of_diffusers(name, rng):
    model = make(name)
    images = rng.random((2, 8, 12, 3), dtype=np.float32)
    latents, decoded = theirs(model.eval(), images)
    encode, decode = from_torch(model.train())
    np.testing.assert_allclose(encode(images), latents, atol=1e-5)
    np.testing.assert_allclose(decode(latents), decoded, atol=1e-5)
    assert model.training


@pytest.mark.parametrize("name", MODELS)
def test_a_function_carries_the_weights_that_it_needs(name):
    model = make(name)
    of_encoder, of_decoder = (
        {path[-1].key for path, _ in jax.tree_util.tree_leaves_with_path(function)} for function in from_torch(model)
    )
    assert not of_encoder & of_decoder
    assert len(of_encoder | of_decoder) == len(model.state_dict())


def test_what_is_said_wins_over_what_is_known(rng):
    images = rng.random((1, 8, 8, 3), dtype=np.float32)
    known, said = from_torch(make("flux")), from_torch(make("flux"), range=(0, 1), scale=1.0, shift=0.0)
    np.testing.assert_allclose(said.encode(2 * images - 1), np.asarray(known.encode(images)) / 0.36 + 0.11, atol=1e-5)
    drawn = from_torch(make("flux"), latents="latent_dist.mean")
    np.testing.assert_array_equal(drawn.encode(images), known.encode(images))


def test_other_models_of_diffusers_need_a_range():
    with torch.random.fork_rng():
        model = diffusers.VQModel(**SMALL, latent_channels=4, num_vq_embeddings=8)
    with pytest.raises(InputError, match=r"range: expected .* of VQModel, found none; state range=\(-1, 1\)"):
        from_torch(model)
    from_torch(model, range=(-1, 1))


def test_tokens_of_crops(rng):
    images = rng.random((12, 8, 8, 3), dtype=np.float32)
    tokenizer = Tokenizer.fit(*from_torch(make("taesd")), images, num_codes=8, codebook="kmeans", assigner=Nearest())
    tokens = tokenizer.encode(images)
    assert tokens.shape == (12, 4, 4)
    assert tokenizer.decode(tokens).shape == images.shape
