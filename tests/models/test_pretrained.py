"""Files of pretrained autoencoders: layouts, names, precision; and what is said where something is wrong with them."""

import json
import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from geovq.models.autoencoder_kl import AutoencoderKL
from geovq.models.pretrained import CONFIG, WEIGHTS
from geovq.models.tiny_autoencoder import TinyAutoencoder
from geovq.models.torch_tensors import tensors_of
from geovq.validation import InputError
from tests.models.autoencoders import CONFIGS, PUBLISHED, class_of, random_model, write_original, write_tensors

ALL = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
KL = CONFIGS["kl"]
OLD_ATTENTION = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}


@pytest.fixture
def tiny(tmp_path):
    """A folder of diffusers' layout with a small TinyAutoencoder."""
    random_model(CONFIGS["tiny"]).save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def kl(tmp_path):
    """A folder of diffusers' layout with a small AutoencoderKL."""
    random_model(KL).save_pretrained(tmp_path)
    return tmp_path


def equal(one, other):
    """Whether two models have the same tensors, bit for bit."""
    tensors, others = tensors_of(one), tensors_of(other)
    return tensors.keys() == others.keys() and all(np.array_equal(tensors[name], others[name]) for name in tensors)


def change_config(folder, **values):
    """Sets keys of a config.json; ... removes one."""
    config = json.loads((folder / CONFIG).read_text()) | values
    (folder / CONFIG).write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


def change_tensors(folder, change):
    tensors = safetensors.numpy.load((folder / WEIGHTS).read_bytes())
    write_tensors(folder / WEIGHTS, change(tensors))


@ALL
def test_a_saved_model_is_read_again(config, tmp_path):
    model = random_model(config)
    model.save_pretrained(tmp_path / "new/folder")
    assert sorted(path.name for path in (tmp_path / "new/folder").iterdir()) == [CONFIG, WEIGHTS]
    again = class_of(config).from_pretrained(tmp_path / "new/folder")
    assert again.config == config
    assert equal(again, model)


def test_the_authors_names_and_diffusers_are_one_model(tmp_path):
    model = random_model(PUBLISHED)
    write_original(tmp_path, "taesd", tensors_of(model))
    model.save_pretrained(tmp_path / "other")
    models = [TinyAutoencoder.from_pretrained(tmp_path, name) for name in ("taesd", "other")]
    assert all(found.config == PUBLISHED and equal(found, model) for found in models)


def test_a_folder_with_several_models_wants_a_name(tmp_path):
    for name, seed in (("taesd", 0), ("taef1", 1)):
        write_original(tmp_path, name, tensors_of(random_model(PUBLISHED, seed=seed)))
    with pytest.raises(InputError, match="expected one model or its name, found taef1, taesd; give one as name="):
        TinyAutoencoder.from_pretrained(tmp_path)
    assert equal(TinyAutoencoder.from_pretrained(tmp_path, "taef1"), random_model(PUBLISHED, seed=1))
    random_model(CONFIGS["tiny"]).save_pretrained(tmp_path)  # and now one that is not of the author's layout
    assert TinyAutoencoder.from_pretrained(tmp_path).config == CONFIGS["tiny"]
    assert equal(TinyAutoencoder.from_pretrained(tmp_path, "taesd"), random_model(PUBLISHED))
    with pytest.raises(
        InputError, match=r"sdxl_decoder.safetensors, found models: taef1, taesd; give another folder or name="
    ):
        TinyAutoencoder.from_pretrained(tmp_path, "sdxl")
    (tmp_path / "taesd_decoder.safetensors").unlink()
    with pytest.raises(InputError, match=r"taesd_decoder.safetensors: expected this file beside the other half"):
        TinyAutoencoder.from_pretrained(tmp_path, "taesd")


def test_a_pipeline_has_its_autoencoder_in_a_subfolder(tmp_path):
    random_model(KL).save_pretrained(tmp_path / "vae")
    random_model(KL, seed=1).save_pretrained(tmp_path / "better")
    assert equal(AutoencoderKL.from_pretrained(tmp_path), random_model(KL))
    assert equal(AutoencoderKL.from_pretrained(str(tmp_path), "better"), random_model(KL, seed=1))
    with pytest.raises(
        InputError, match="in its subfolder vea, found models: better, vae; give another folder or name="
    ):
        AutoencoderKL.from_pretrained(tmp_path, "vea")


@pytest.mark.parametrize("square", [False, True])
def test_older_names_and_shapes_of_attention_are_known(square, kl):
    def older(tensors):
        named = {}
        for name, tensor in tensors.items():
            for new, old in OLD_ATTENTION.items():
                name = name.replace(new, old)
            matrix = ".attentions." in name and tensor.ndim == 2
            named[name] = tensor[:, :, None, None] if square and matrix else tensor
        assert sum(".proj_attn." in name for name in named) == 4
        return named

    change_tensors(kl, older)
    assert equal(AutoencoderKL.from_pretrained(kl), random_model(KL))


@pytest.mark.parametrize(("config", "dtype"), [(CONFIGS["tiny"], "bfloat16"), (KL, "float16")])
def test_weights_in_half_precision_are_float32_unless_asked(config, dtype, tmp_path):
    half = random_model(config, dtype)
    half.save_pretrained(tmp_path)
    (tmp_path / WEIGHTS).rename(tmp_path / "diffusion_pytorch_model.fp16.safetensors")
    whole, kept = (class_of(config).from_pretrained(tmp_path, dtype=wanted) for wanted in ("float32", dtype))
    assert {tensor.dtype.name for tensor in tensors_of(whole).values()} == {"float32"}
    assert equal(whole, half)
    assert equal(kept, half)
    assert {tensor.dtype.name for tensor in tensors_of(kept).values()} == {dtype}


def test_diffusers_defaults_stand_for_keys_that_older_files_lack(kl):
    missing = ("scaling_factor", "shift_factor", "use_quant_conv", "use_post_quant_conv", "mid_block_add_attention")
    change_config(kl, **dict.fromkeys(missing, ...), latents_mean=None, force_upcast=True, sample_size=512, act_fn=...)
    assert AutoencoderKL.from_pretrained(kl).config == KL
    change_config(kl, **dict.fromkeys(missing))
    assert AutoencoderKL.from_pretrained(kl).config == KL


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("block_out_channels", ..., "block_out_channels: expected a value, found 'no such key'; restore the file"),
        ("latent_channels", None, "latent_channels: expected a value, found None"),
        ("block_out_channels", [4, "8"], "expected a whole number of at least 0, found '8'"),
        ("block_out_channels", [4, 9], "norm_num_groups 2 divides"),
        ("block_out_channels", [0, 8], "a size: expected a whole number in 1..16384, found 0"),
        ("layers_per_block", True, "expected a whole number of at least 0, found True"),
        ("scaling_factor", "1", "expected a number of at most 1e.30, found '1'"),
        ("scaling_factor", 0, "scaling_factor that is not 0"),
        ("use_quant_conv", 1, "expected true or false, found 1"),
        ("out_channels", 1, "expected as many as in_channels, 3, found 1"),
        ("act_fn", "relu", "act_fn: expected 'silu', found 'relu'; no such model is supported"),
        ("double_z", False, "double_z: expected True, found False"),
        ("latents_mean", [0.0], "latents_mean: expected None"),
        ("down_block_types", ["AttnDownEncoderBlock2D"] * 2, "down_block_types: expected .*'DownEncoderBlock2D'"),
        ("up_block_types", ["UpDecoderBlock2D"], "up_block_types: expected"),
        (
            "_class_name",
            "AutoencoderTiny",
            "_class_name: expected AutoencoderKL, found 'AutoencoderTiny'; use the class",
        ),
        ("use_quant_conv", False, r"2 unknown \(quant_conv.bias \(6,\), quant_conv.weight \(6, 6, 1, 1\)\)"),
        ("latent_channels", 4, r"of another shape .*conv_in.weight: expected \(8, 4, 3, 3\), found \(8, 3, 3, 3\)"),
    ],
)
def test_a_config_that_is_wrong_or_not_supported_is_refused(key, value, message, kl):
    change_config(kl, **{key: value})
    with pytest.raises(InputError, match=message):
        AutoencoderKL.from_pretrained(kl)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("num_encoder_blocks", ..., "num_encoder_blocks: expected a value, found 'no such key'"),
        ("num_encoder_blocks", [1, 1], r"as many resolutions, found blocks \(1, 1\) and \(2, 1, 1\)"),
        ("act_fn", "gelu", "act_fn: expected 'relu', found 'gelu'"),
        ("upsample_fn", "bilinear", "upsample_fn: expected 'nearest'"),
        ("upsampling_scaling_factor", 4, "upsampling_scaling_factor: expected 2, found 4"),
        ("encoder_block_out_channels", [4, 8, 8], r"expected one width for all blocks, found \[4, 8\]"),
    ],
)
def test_a_tiny_config_that_is_wrong_or_not_supported_is_refused(key, value, message, tiny):
    change_config(tiny, **{key: value})
    with pytest.raises(InputError, match=message):
        TinyAutoencoder.from_pretrained(tiny)


def without(tensors, *names):
    return {name: tensor for name, tensor in tensors.items() if name not in names}


FIRST, BIAS = "decoder.layers.0.weight", "decoder.layers.0.bias"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: without(t, FIRST, BIAS),
            r"found 2 missing \(decoder.layers.0.bias \(4,\), decoder.layers.0.weight \(",
        ),
        (lambda t: t | {"ema.decay": t[BIAS]}, r"found 1 unknown \(ema.decay \(4,\)\)"),
        (
            lambda t: t | {FIRST: t[FIRST][:, :2]},
            r"1 of another shape \(.*0.weight: expected \(4, 4, 3, 3\), found \(4, 2, 3, 3\)",
        ),
        (lambda t: t | {BIAS: t[BIAS].astype(np.int32)}, r"1 not of floats \(decoder.layers.0.bias: int32\)"),
        (lambda t: t | {BIAS: t[BIAS] + np.nan}, "decoder.layers.0.bias: expected finite values, found 4 NaN"),
        (
            lambda t: {f"model.{name}": tensor for name, tensor in t.items()},
            r"missing \(.*, …\); .* unknown \(model.* …\)",
        ),
    ],
)
def test_tensors_that_are_not_the_models_are_named(change, message, tiny):
    change_tensors(tiny, change)
    with pytest.raises(InputError, match=message):
        TinyAutoencoder.from_pretrained(tiny)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-8], "expected a file in safetensors format .* cannot be read .SafetensorError"),
        (lambda data: data[:40], "SafetensorError"),
        (lambda data: b"", "SafetensorError"),
        (lambda data: b"PK\x03\x04" + data, "SafetensorError"),
        (lambda data: safetensors.numpy.save({"z": np.zeros(2, np.complex64)}), "KeyError: 'C64'.; download it again"),
    ],
)
def test_damaged_weights_are_refused(change, message, tiny):
    (tiny / WEIGHTS).write_bytes(change((tiny / WEIGHTS).read_bytes()))
    with pytest.raises(InputError, match=message):
        TinyAutoencoder.from_pretrained(tiny)


@pytest.mark.parametrize(("text", "message"), [("{", "expected a JSON file"), ("[1]", "a JSON object, found list")])
def test_a_damaged_config_is_refused(text, message, kl):
    (kl / CONFIG).write_text(text)
    with pytest.raises(InputError, match=message):
        AutoencoderKL.from_pretrained(kl)


def test_a_folder_without_usable_weights_says_what_it_has(kl):
    weights = (kl / WEIGHTS).rename(kl / "diffusion_pytorch_model.fp16.safetensors")
    (kl / "diffusion_pytorch_model.non_ema.safetensors").write_bytes(weights.read_bytes())
    with pytest.raises(InputError, match=f"expected {WEIGHTS}, found .*fp16.*, .*non_ema.*; keep one of them"):
        AutoencoderKL.from_pretrained(kl)
    for path in kl.glob("*.safetensors"):
        path.unlink()
    with pytest.raises(InputError, match=f"expected {WEIGHTS}, found none; add it"):
        AutoencoderKL.from_pretrained(kl)
    (kl / "diffusion_pytorch_model.bin").touch()
    with pytest.raises(InputError, match=r"found diffusion_pytorch_model.bin; .* pickles are not read"):
        AutoencoderKL.from_pretrained(kl)


def test_exchanged_files_are_recognised(tmp_path):
    write_original(tmp_path, "taesd", tensors_of(random_model(PUBLISHED)))
    halves = [tmp_path / f"taesd_{part}.safetensors" for part in ("encoder", "decoder")]
    halves[0].rename(tmp_path / "other")
    halves[1].rename(halves[0])
    (tmp_path / "other").rename(halves[1])
    with pytest.raises(InputError, match=r"it has an encoder's tensors: exchange the two files"):
        TinyAutoencoder.from_pretrained(tmp_path)


def test_a_decoder_of_something_else_is_refused(tmp_path):
    for part in ("encoder", "decoder"):
        write_tensors(tmp_path / f"taesd_{part}.safetensors", {"w": np.zeros(2, np.float32)})
    with pytest.raises(
        InputError,
        match=r"expected 1.weight .* found no tensor of that name; give a decoder of TAESD",
    ):
        TinyAutoencoder.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no such folder", "expected a folder with a model's files, found none; check the path"),
        ("./owner/name", "check the path"),
        ("owner/name", "for a repository of that name, pip install huggingface_hub, or download config.json"),
        (__file__, "expected a folder, found a file; give the folder that has it"),
    ],
)
@pytest.mark.parametrize("model", [TinyAutoencoder, AutoencoderKL])
def test_sources_without_a_model_are_refused(model, source, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # as where it is not installed
    with pytest.raises(InputError, match=message):
        model.from_pretrained(source)


class Hub(types.ModuleType):
    """Stands in for huggingface_hub: a repository is a folder, and it says what was asked for."""

    def __init__(self, folder, has=lambda patterns: True):
        super().__init__("huggingface_hub")
        self.folder, self.has, self.asked = folder, has, []

    def snapshot_download(self, repository, allow_patterns):
        self.asked.append((repository, allow_patterns))
        return str(self.folder if self.has(allow_patterns) else self.folder.parent / "nothing")


def test_a_repository_is_downloaded_and_only_what_is_needed(tmp_path, monkeypatch):
    random_model(KL).save_pretrained(tmp_path / "snapshot/vae")
    hub = Hub(tmp_path / "snapshot")
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert equal(AutoencoderKL.from_pretrained("owner/name"), random_model(KL))
    assert hub.asked == [("owner/name", [CONFIG, WEIGHTS, f"vae/{CONFIG}", f"vae/{WEIGHTS}"])]
    hub.asked.clear()
    hub.has = lambda patterns: any("*" in pattern for pattern in patterns)
    assert equal(AutoencoderKL.from_pretrained("owner/name", "vae"), random_model(KL))
    assert [patterns[1] for _, patterns in hub.asked] == [f"vae/{WEIGHTS}", "vae/diffusion_pytorch_model.*.safetensors"]
    hub.asked.clear()
    hub.has = lambda patterns: True  # a snapshot that also has the weights of another model
    (tmp_path / "snapshot/unet").mkdir()
    (tmp_path / "snapshot/unet" / WEIGHTS).touch()
    (tmp_path / "snapshot/vae" / WEIGHTS).rename(tmp_path / "snapshot/vae/diffusion_pytorch_model.fp16.safetensors")
    assert equal(AutoencoderKL.from_pretrained("owner/name"), random_model(KL))
    assert len(hub.asked) == 2
    hub.folder, hub.has = tmp_path, lambda patterns: "taesd_decoder.safetensors" in patterns
    write_original(tmp_path, "taesd", tensors_of(random_model(PUBLISHED)))
    assert equal(TinyAutoencoder.from_pretrained("owner/name", "taesd"), random_model(PUBLISHED))


def test_a_repository_that_cannot_be_downloaded_says_why(tmp_path, monkeypatch):
    hub = Hub(tmp_path)

    def fail(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(hub, "snapshot_download", fail, raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(InputError, match=r"owner/name: .* found ConnectionError: no network; download its files"):
        AutoencoderKL.from_pretrained("owner/name")


def test_a_model_that_cannot_be_written_leaves_no_config(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="expected to write"):
        random_model(KL).save_pretrained(tmp_path / "file")
    monkeypatch.setattr("geovq.models.pretrained.WEIGHTS", "no/../such\0name")
    with pytest.raises(InputError, match="path: expected a path"):
        random_model(KL).save_pretrained(tmp_path)
    assert not (tmp_path / CONFIG).exists()


def test_a_dtype_that_is_none_is_refused_before_anything_is_read(tmp_path):
    for model in (TinyAutoencoder, AutoencoderKL):
        with pytest.raises(InputError, match="dtype: expected"):
            model.from_pretrained(tmp_path, dtype=jnp.int8)
