"""`from_torch` against PyTorch itself: results, derivatives, return types, precisions, and what it refuses."""

import os
import pathlib
import threading
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="no PyTorch here; make peers")
pytest.importorskip("torchax", reason="no torchax here; make peers")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from benchmarks.torch_modules import taesd  # noqa: E402
from geovq.assignment.joint import Joint  # noqa: E402
from geovq.assignment.nearest import Nearest  # noqa: E402
from geovq.decoder.adapters import from_nnx  # noqa: E402
from geovq.decoder.pytorch.modules import from_torch  # noqa: E402
from geovq.models.tiny_autoencoder import TinyAutoencoder  # noqa: E402
from geovq.tokenizer.tokenizer import Tokenizer  # noqa: E402
from geovq.validation import InputError  # noqa: E402
from tests.peers import autoencoders  # noqa: E402
from tests.peers.autoencoders import LATENTS, SIDE, Convolutions, Creating, Dense, Shared, Transposed, make  # noqa: E402

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),  # PyTorch's own
]

KINDS = {"convolutions": Convolutions, "transposed": Transposed, "shared": Shared, "creating": Creating, "dense": Dense}


def layout_of(kind: Any) -> str:
    return "NHWC" if kind is Dense else "NCHW"


def to_torch(batch: Any, layout: str = "NCHW") -> Any:
    tensor = torch.tensor(np.asarray(batch))
    return tensor.permute(0, 3, 1, 2).contiguous() if layout == "NCHW" else tensor


def to_numpy(tensor: Any, layout: str = "NCHW") -> np.ndarray:
    return (tensor.permute(0, 2, 3, 1) if layout == "NCHW" else tensor).detach().numpy()


@pytest.fixture
def pictures(rng) -> np.ndarray:
    return rng.random((3, SIDE, SIDE, 3), dtype=np.float32)


@pytest.fixture
def latents(rng) -> np.ndarray:
    return rng.standard_normal((3, SIDE // 2, SIDE // 2, LATENTS)).astype(np.float32)


# Results and derivatives.


@pytest.mark.parametrize("name", KINDS)
def test_functions_and_derivatives_are_those_of_pytorch(name, pictures, latents, rng):
    module, layout = make(KINDS[name]), layout_of(KINDS[name])
    encode, decode = from_torch(module, layout=layout)
    np.testing.assert_allclose(encode(pictures), to_numpy(module.encode(to_torch(pictures, layout)), layout), atol=1e-5)

    def theirs(z):
        return module.decode(z)

    z, move = to_torch(latents, layout), to_torch(rng.standard_normal(latents.shape).astype(np.float32), layout)
    images, moved = torch.func.jvp(theirs, (z,), (move,))
    cotangent = to_torch(rng.standard_normal(pictures.shape).astype(np.float32), layout)
    pulled = torch.func.vjp(theirs, z)[1](cotangent)[0]

    ours, tangent = jax.jvp(decode, (jnp.asarray(latents),), (jnp.asarray(to_numpy(move, layout)),))
    gradient = jax.vjp(decode, jnp.asarray(latents))[1](jnp.asarray(to_numpy(cotangent, layout)))[0]
    for found, wanted in ((ours, images), (tangent, moved), (gradient, pulled)):
        wanted = to_numpy(wanted, layout)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * max(1, np.abs(wanted).max()))
    alone = jax.vmap(lambda latent: decode(latent[None])[0])(jnp.asarray(latents))
    np.testing.assert_allclose(alone, ours, atol=1e-5)
    np.testing.assert_allclose(jax.jit(decode)(latents), ours, atol=1e-6)


def test_images_of_any_size(rng):
    module = make(Convolutions)
    encode, decode = from_torch(module)
    images = rng.random((1, 6, 14, 3), dtype=np.float32)
    np.testing.assert_allclose(
        decode(encode(images)), to_numpy(module.decode(module.encode(to_torch(images)))), atol=1e-5
    )


# What may be given.


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.vae = Convolutions()

    def features(self, x):
        return self.vae.encode(x)

    def forward(self, z):
        return self.vae.decode(z)


class Plain:
    """An object of its own that has a module."""

    def __init__(self, module):
        self.module = module

    def encode(self, x):
        return self.module.encode(x)

    def __call__(self, z):
        return self.module.decode(z)


def test_methods_modules_functions_and_objects(pictures):
    module = make(Named)
    mean = torch.linspace(0, 1, 3)[:, None, None]
    wanted = to_numpy(module.features(to_torch(pictures)))

    def shifted(x, vae=module.vae):
        return vae.encode(x + mean - mean)

    given: dict[str, Any] = {
        "names": from_torch(module, encode="features", decode="forward"),
        "methods": from_torch(module.features, module),
        "modules": from_torch(module.vae.encoder, module.vae.decoder),
        "closure": from_torch(lambda x: module.features(x), lambda z: module(z)),
        "default": from_torch(shifted, module),
        "object": from_torch(Plain(module.vae).encode, Plain(module.vae)),
        "compiled by torch": from_torch(torch.compile(module.vae), encode="encode"),
    }
    decoded = to_numpy(module(to_torch(wanted)))
    for name, (encode, decode) in given.items():
        np.testing.assert_allclose(encode(pictures), wanted, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(decode(wanted), decoded, atol=1e-5, err_msg=name)


class Distribution:
    def __init__(self, moments):
        self.mean, self.log_variance = moments.chunk(2, dim=1)

    def mode(self):
        return self.mean

    def sample(self):
        return self.mean + torch.randn_like(self.mean)


class Output:
    def __init__(self, moments):
        self.latent_dist = Distribution(moments)


def moments_of(returned):
    """An encoder's module that returns something else of the mean and the logarithm of the variance."""

    class Moments(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 2 * LATENTS, 2, stride=2)

        def encode(self, x):
            return returned(self.layer(x))

        def decode(self, z):
            return {"images": functional.pixel_shuffle(z.repeat(1, 3, 1, 1), 2), "extra": z}

    return Moments


RETURNED: dict[str, tuple[Any, Any]] = {
    "tuple": (lambda moments: tuple(moments.chunk(2, 1)), 0),
    "list": (lambda moments: list(moments.chunk(2, 1)), 0),
    "dict": (lambda moments: {"mean": moments.chunk(2, 1)[0], "n": 3}, "mean"),
    "distribution": (
        lambda moments: torch.distributions.Normal(moments.chunk(2, 1)[0], moments.chunk(2, 1)[1].exp()),
        "mode",
    ),
    "object": (Distribution, "mean"),
    "holder": (Output, "latent_dist.mode"),
    "function": (
        Output,
        lambda output: output.latent_dist.mode() * torch.ones(1, device=output.latent_dist.mean.device),
    ),
    "moments": (lambda moments: moments, lambda moments: moments.chunk(2, 1)[0]),
}


@pytest.mark.parametrize("name", RETURNED)
def test_parts_of_what_modules_return(name, pictures):
    returned, part = RETURNED[name]
    module = make(moments_of(returned))
    encode, decode = from_torch(module, latents=part, images="images")
    wanted = module.layer(to_torch(pictures)).chunk(2, 1)[0]
    np.testing.assert_allclose(encode(pictures), to_numpy(wanted), atol=1e-5)
    np.testing.assert_allclose(decode(encode(pictures)), to_numpy(module.decode(wanted)["images"]), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("tuple", r"geovq\.from_torch\(module, latents=0\)"),
        ("dict", r'\["mean"\] array \(3, 4, 4, 4\) float32.*latents="mean"'),
        ("distribution", r'latents="mode"'),
        ("object", r'latents="mode"'),
        ("holder", r"lambda found: found\.latent_dist\.mode\(\)"),
    ],
)
def test_what_is_no_tensor_is_listed_with_the_argument_that_names_it(name, fix, pictures):
    encode, decode = from_torch(make(moments_of(RETURNED[name][0])))
    with pytest.raises(InputError, match=f"encode: expected an array of latents, found .*{fix}"):
        encode(pictures)
    with pytest.raises(InputError, match=r'images="images"'):
        decode(np.zeros((1, 4, 4, 4), np.float32))


def test_fit_says_how_to_name_the_latents(pictures):
    with pytest.raises(
        InputError, match=r"encode: expected an array of latents, .*geovq\.from_torch\(module, latents=0"
    ):
        Tokenizer.fit(*from_torch(make(moments_of(RETURNED["tuple"][0])), images="images"), pictures, num_codes=8)


def test_range_scale_and_shift(pictures):
    module = make(Convolutions)
    encode, decode = from_torch(module, range=(-1, 1), scale=0.5, shift=0.25)
    theirs = module.encode(2 * to_torch(pictures) - 1)
    np.testing.assert_allclose(encode(pictures), (to_numpy(theirs) - 0.25) * 0.5, atol=1e-5)
    np.testing.assert_allclose(decode(encode(pictures)), (to_numpy(module.decode(theirs)) + 1) / 2, atol=1e-5)


# Precision.


@pytest.mark.parametrize(("dtype", "atol"), [("float16", 0.02), ("bfloat16", 0.1), ("float64", 1e-5)])
def test_modules_of_other_precisions_are_functions_of_float32(dtype, atol, pictures, latents):
    module = make(Convolutions)
    wanted = to_numpy(module.decode(to_torch(latents)))
    encode, decode = from_torch(module.to(getattr(torch, dtype)))
    images, pull = jax.vjp(decode, jnp.asarray(latents))
    np.testing.assert_allclose(images, wanted, atol=atol)
    assert {images.dtype, encode(pictures).dtype, pull(images)[0].dtype} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize("shared", [False, True])
def test_an_encoder_and_a_decoder_of_two_precisions(shared, pictures, latents):
    def clamp(x):
        return x.clamp(-9, 9)

    encoder, decoder = make(Convolutions).encoder, make(Convolutions).decoder.half()
    given: Any = (lambda x: encoder(clamp(x)), lambda z: decoder(clamp(z))) if shared else (encoder, decoder)
    encode, decode = from_torch(*given)
    wanted = to_numpy(make(Convolutions).decode(to_torch(latents)))
    np.testing.assert_allclose(decode(latents), wanted, atol=0.02)
    np.testing.assert_allclose(encode(pictures), to_numpy(encoder(to_torch(pictures))), atol=1e-5)
    encode, decode = from_torch(make(Convolutions).encoder.half(), make(Convolutions).decoder)
    np.testing.assert_allclose(decode(latents), wanted, atol=1e-5)


def test_double_precision_is_kept_inside_if_jax_has_it(x64, latents):
    module = make(Convolutions).double()
    decode = from_torch(module).decode
    assert {leaf.dtype for leaf in jax.tree.leaves(decode) if jnp.issubdtype(leaf.dtype, jnp.floating)} == {
        jnp.dtype(jnp.float64)
    }
    wanted = to_numpy(module.decode(to_torch(latents).double())).astype(np.float32)
    np.testing.assert_allclose(decode(latents), wanted, rtol=1e-6, atol=1e-7)


# Modules stay as they are, and what was taken of them stays too.


def test_the_module_is_not_changed_and_its_changes_are_not_seen(pictures):
    module = make(Convolutions).train()
    module.encoder[1].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    flags = [part.training for part in module.modules()]
    random, validates = torch.get_rng_state(), torch.distributions.Distribution._validate_args
    encode, decode = from_torch(module)
    latents = encode(pictures)
    decoded = decode(latents)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert flags == [part.training for part in module.modules()]
    assert torch.equal(random, torch.get_rng_state())
    assert torch.distributions.Distribution._validate_args == validates
    np.testing.assert_allclose(latents, to_numpy(make(Convolutions).encode(to_torch(pictures))), atol=1e-5)
    with torch.no_grad():
        for value in module.state_dict().values():
            value.mul_(0)
    module.decoder = nn.Identity()
    np.testing.assert_array_equal(encode(pictures), latents)
    np.testing.assert_array_equal(decode(latents), decoded)
    np.testing.assert_allclose(decode(latents[:1]), decoded[:1], atol=1e-5)  # traced after the change


def test_other_weights_do_not_compile_again_and_other_modules_do(latents):
    class Scaled(Convolutions):
        def __init__(self, factor: float):
            super().__init__()
            self.factor = factor

        def decode(self, z):
            return self.factor * super().decode(z)

    first = from_torch(make(lambda: Scaled(1.0), 0)).decode
    images = first(latents)
    count = len(autoencoders.traces)
    second = from_torch(make(lambda: Scaled(1.0), 1)).decode
    assert np.abs(second(latents) - images).max() > 0.01
    assert len(autoencoders.traces) == count
    doubled = from_torch(make(lambda: Scaled(2.0), 0)).decode
    np.testing.assert_allclose(doubled(latents), 2 * images, rtol=1e-5, atol=1e-6)
    assert len(autoencoders.traces) == count + 1


def test_a_tokenizer_with_its_decoder_in_a_file(rng, tmp_path):
    images = rng.random((12, SIDE, SIDE, 3), dtype=np.float32)
    encode, decode = from_torch(make(Transposed))
    tokenizer = Tokenizer.fit(encode, decode, images, num_codes=8, assigner=Joint(jacobians=1))
    tokens = tokenizer.encode(images)
    tokenizer.save(tmp_path / "tokens.npz", decoder=True)
    again = Tokenizer.load(tmp_path / "tokens.npz", encode, from_torch(make(Transposed, 1)).decode)
    np.testing.assert_array_equal(again.encode(images), tokens)
    np.testing.assert_array_equal(again.decode(tokens), tokenizer.decode(tokens))


@pytest.mark.parametrize("weights", ["random", "published"])
def test_tokens_of_a_torch_taesd_are_those_of_the_native_one(weights, rng, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    width = 8 if weights == "random" else 64
    modules = dict(zip(("encoder", "decoder"), make(lambda: nn.ModuleList(taesd(4, width))), strict=True))
    if weights == "published":
        beside = pathlib.Path(__file__).parents[3] / "shared/data/autoencoders"
        folder = pathlib.Path(os.environ.get("GEOVQ_AUTOENCODERS", beside))
        if not (folder / "taesd_encoder.safetensors").exists():
            pytest.skip(f"no taesd_encoder.safetensors in {folder}; set GEOVQ_AUTOENCODERS to its folder")
        for part, module in modules.items():
            module.load_state_dict(safetensors.load_file(folder / f"taesd_{part}.safetensors"))
    for part, module in modules.items():
        safetensors.save_file(module.state_dict(), tmp_path / f"mine_{part}.safetensors")
    native = TinyAutoencoder.from_pretrained(tmp_path, name="mine")
    images = rng.random((6, 16, 16, 3), dtype=np.float32)
    ours, theirs = (
        Tokenizer.fit(encode, decode, images, num_codes=8, codebook="kmeans", assigner=Nearest()).encode(images)
        for encode, decode in (from_nnx_pair(native), from_torch(*modules.values()))
    )
    np.testing.assert_array_equal(theirs, ours)
    assert len(np.unique(ours)) > 4


def from_nnx_pair(model: Any) -> tuple[Any, Any]:
    return from_nnx(model.encoder), from_nnx(model.decoder)


# Refusals.


class Broken(Convolutions):
    """Encoders and decoders that JAX cannot trace, or that are random."""

    def if_bright(self, x):
        return self.encode(x) if x.mean() > 0 else x

    def sampled(self, x):
        z = self.encode(x)
        return z + torch.randn_like(z)

    def dropped(self, x):
        return functional.dropout(self.encode(x))

    def through_numpy(self, x):
        return torch.tensor(self.encode(x).detach().numpy())

    def on_the_cpu(self, x):
        return self.encode(x) * torch.ones(2, 1, 4, 1, 1, device="cpu")[0]

    def airy(self, x):
        return torch.special.airy_ai(self.encode(x))

    def rounded(self, x):
        return self.encode(x).round().long()


def refused(method: str) -> Any:
    def call(x):
        return from_torch(make(Broken), encode=method).encode(x)

    return call


class Locked(Convolutions):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


hidden = make(Convolutions)


def helper(x):
    return hidden.encode(x)


REFUSALS: dict[str, tuple[Any, str]] = {
    "control flow": (
        refused("if_bright"),
        r"encode: expected a PyTorch function that torchax can trace .* let no control flow depend",
    ),
    "a sample": (refused("sampled"), "encode: expected a function without randomness, .*return the mean"),
    "dropout": (refused("dropped"), "encode: expected a function without randomness, .*training=self.training"),
    "NumPy": (refused("through_numpy"), "encode: expected a PyTorch function that torchax can trace"),
    "a tensor elsewhere": (refused("on_the_cpu"), r"AssertionError: .*create others with device=x\.device"),
    "an unknown operation": (refused("airy"), "OperatorNotFound: .*replace that operation"),
    "integers": (
        refused("rounded"),
        "encode: expected latents as floats, found int32; return them before they are quantized",
    ),
    "no such method": (
        refused("embed"),
        r"encode: expected a method of Broken, found 'embed'; .*from_torch\(encoder, decoder\)",
    ),
    "a class": (lambda x: from_torch(Convolutions), "module: expected a torch.nn.Module, found the class Convolutions"),
    "an array": (lambda x: from_torch(x), "module: expected a torch.nn.Module, found ndarray"),
    "one function": (lambda x: from_torch(helper), "module: expected a torch.nn.Module, found function"),
    "no function": (lambda x: from_torch(hidden, 3), "decoder: expected a torch.nn.Module or a function .* found int"),
    "names beside functions": (
        lambda x: from_torch(hidden, hidden, encode="features"),
        "encode, decode: expected no names of methods beside two functions",
    ),
    "a lock": (lambda x: from_torch(make(Locked)), "from_torch: expected modules that can be copied, found TypeError"),
    "channels": (
        lambda x: from_torch(hidden).encode(x[..., :2]),
        r"for a batch \(3, 2, 8, 8\), .*whether the shape is wrong",
    ),
    "hidden weights": (
        lambda x: from_torch(lambda y: helper(y), hidden).encode(x),
        "torchax can trace .* AssertionError: .*pass the module or its method",
    ),
    "layout": (lambda x: from_torch(hidden, layout="CHW"), "layout: expected 'NHWC' or 'NCHW'"),
    "a part that is not there": (
        lambda x: from_torch(hidden, latents="mean.x").encode(x),
        r'latents: expected a part .*"mean\.x".*use geovq\.from_torch\(module\)',
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name, pictures):
    call, message = REFUSALS[name]
    with pytest.raises(InputError, match=message):
        call(pictures)
    np.testing.assert_allclose(  # nothing is left behind
        from_torch(hidden).encode(pictures), to_numpy(hidden.encode(to_torch(pictures))), atol=1e-5
    )
