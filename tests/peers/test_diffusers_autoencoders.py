"""TinyAutoencoder and AutoencoderKL against diffusers, in PyTorch, with random weights of every supported configuration.

Encoder and decoder agree, and files of either are read by the other to the bit.
"""

import json
from typing import Any

import numpy as np
import pytest

from geovq.decoder.adapters import from_nnx
from geovq.models.autoencoder_kl import AutoencoderKL
from geovq.models.pretrained import CONFIG, WEIGHTS
from geovq.models.tiny_autoencoder import TinyAutoencoder

torch = pytest.importorskip("torch", reason="no PyTorch here; make peers")
diffusers = pytest.importorskip("diffusers", reason="no diffusers here; make peers")
safetensors_torch = pytest.importorskip("safetensors.torch")

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore"),  # of the peers' own
]

TOLERANCE = 1e-4

_BLOCKS = {
    "block_out_channels": (8, 16, 16, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "norm_num_groups": 4,
}
_NO_QUANT = {"use_quant_conv": False, "use_post_quant_conv": False}

KL: dict[str, dict[str, Any]] = {
    "Stable Diffusion 1": _BLOCKS | {"scaling_factor": 0.18215},
    "SDXL": _BLOCKS | {"scaling_factor": 0.13025, "force_upcast": True},
    "SD3": _BLOCKS | _NO_QUANT | {"latent_channels": 16, "scaling_factor": 1.5305, "shift_factor": 0.0609},
    "FLUX": _BLOCKS | _NO_QUANT | {"latent_channels": 16, "scaling_factor": 0.3611, "shift_factor": 0.1159},
    "without attention": _BLOCKS | {"mid_block_add_attention": False, "layers_per_block": 1},
    "one quant convolution": _BLOCKS | {"use_post_quant_conv": False, "norm_num_groups": 8},
    "two resolutions": {
        "block_out_channels": (6, 12),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "norm_num_groups": 3,
        "in_channels": 1,
        "out_channels": 1,
    },
}

TINY: dict[str, dict[str, Any]] = {
    "taesd": {},
    "taef1": {"latent_channels": 16, "shift_factor": 0.0},
    "other sizes": {
        "encoder_block_out_channels": (8, 8, 8),
        "decoder_block_out_channels": (8, 8, 8),
        "num_encoder_blocks": (0, 2, 1),
        "num_decoder_blocks": (1, 3, 2),
        "latent_channels": 3,
    },
}

ALL: list[tuple[Any, Any, dict[str, Any]]] = [
    (diffusers.AutoencoderKL, AutoencoderKL, options) for options in KL.values()
]
ALL += [(diffusers.AutoencoderTiny, TinyAutoencoder, options) for options in TINY.values()]
EVERY = pytest.mark.parametrize(("theirs", "ours", "options"), ALL, ids=[*KL, *TINY])


def random_peer(theirs, options):
    """A model of diffusers whose every parameter is random, and of a size that keeps signals alive."""
    torch.manual_seed(0)
    model = theirs(**options).eval()
    for parameter in model.parameters():
        fan = parameter[0].numel() if parameter.ndim > 1 else 25
        torch.nn.init.normal_(parameter, mean=0.0 if parameter.ndim > 1 else 0.3, std=fan**-0.5)
    return model


def channels_last(tensor):
    return tensor.detach().permute(0, 2, 3, 1).numpy()


def peer_latents(peer, images):
    """What the diffusion model sees of images."""
    encoded = peer.encode(torch.tensor(2 * images - 1).permute(0, 3, 1, 2))
    latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mean
    return channels_last((latents - (peer.config.shift_factor or 0)) * peer.config.scaling_factor)


def peer_images(peer, latents):
    raw = torch.tensor(latents).permute(0, 3, 1, 2) / peer.config.scaling_factor + (peer.config.shift_factor or 0)
    return (channels_last(peer.decode(raw).sample) + 1) / 2


def agree(model, peer, channels):
    """Whether encoders and decoders do, on images that are not square."""
    images = np.random.default_rng(0).random((2, 16, 24, channels), np.float32)
    with torch.no_grad():
        latents = peer_latents(peer, images)
        decoded = peer_images(peer, latents)
    assert latents.std() > 0.1 * peer.config.scaling_factor
    assert decoded.std() > 0.02
    np.testing.assert_allclose(from_nnx(model, "encode")(images), latents, atol=TOLERANCE)
    np.testing.assert_allclose(from_nnx(model, "decode")(latents), decoded, atol=TOLERANCE)
    return True


def same_tensors(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@EVERY
def test_both_read_the_files_of_the_other_and_agree(theirs, ours, options, tmp_path):
    peer = random_peer(theirs, options)
    peer.save_pretrained(tmp_path / "theirs")
    model = ours.from_pretrained(tmp_path / "theirs")
    assert agree(model, peer, options.get("in_channels", 3))
    model.save_pretrained(tmp_path / "ours")
    again = theirs.from_pretrained(tmp_path / "ours")
    assert same_tensors(again, peer)
    for key in ("scaling_factor", "latent_channels", "in_channels"):
        assert again.config[key] == peer.config[key]
    assert (again.config.shift_factor or 0) == (peer.config.shift_factor or 0)
    assert ours.from_pretrained(tmp_path / "ours").config == model.config


@pytest.mark.parametrize("square", [False, True])
def test_both_know_the_older_names_of_attention(square, tmp_path):
    peer = random_peer(diffusers.AutoencoderKL, KL["Stable Diffusion 1"])
    peer.save_pretrained(tmp_path)
    older = {}
    for name, tensor in peer.state_dict().items():
        if ".attentions." in name:
            for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
                name = name.replace(f".{new}.", f".{old}.")
            tensor = tensor[:, :, None, None] if square and tensor.ndim == 2 else tensor
        older[name] = tensor.contiguous()
    safetensors_torch.save_file(older, tmp_path / WEIGHTS)
    assert agree(AutoencoderKL.from_pretrained(tmp_path), peer, 3)
    if not square:
        assert same_tensors(diffusers.AutoencoderKL.from_pretrained(tmp_path), peer)


@pytest.mark.parametrize(("theirs", "ours", "options"), [ALL[0], ALL[len(KL)]], ids=["kl", "tiny"])
def test_half_precision_of_a_variant(theirs, ours, options, tmp_path):
    peer = random_peer(theirs, options).to(torch.float16)
    peer.save_pretrained(tmp_path / "vae", variant="fp16")
    assert (tmp_path / "vae/diffusion_pytorch_model.fp16.safetensors").exists()
    model = ours.from_pretrained(tmp_path)
    assert agree(model, peer.to(torch.float32), 3)
    ours.from_pretrained(tmp_path, dtype="float16").save_pretrained(tmp_path / "half")
    again = theirs.from_pretrained(tmp_path / "half", torch_dtype=torch.float16)
    assert same_tensors(again, peer.to(torch.float16))


def test_a_config_of_diffusers_has_no_key_that_decides_and_is_not_read(tmp_path):
    """A key that a later diffusers adds is to be looked at."""
    peer = random_peer(diffusers.AutoencoderKL, KL["Stable Diffusion 1"])
    peer.save_pretrained(tmp_path / "theirs")
    AutoencoderKL.from_pretrained(tmp_path / "theirs").save_pretrained(tmp_path / "ours")
    theirs, ours = (json.loads((tmp_path / name / CONFIG).read_text()).keys() for name in ("theirs", "ours"))
    assert theirs - ours == {"_diffusers_version", "force_upcast", "latents_mean", "latents_std", "sample_size"}
    assert ours <= theirs
