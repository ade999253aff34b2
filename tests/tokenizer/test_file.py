"""The file of a tokenizer: parameters of every dtype, random keys, options of assigners; what is refused."""

import dataclasses
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from flax import nnx
from jax.tree_util import Partial

from geovq.assignment.base import Assigner, Codebook
from geovq.assignment.clusters import ImageClusters
from geovq.assignment.greedy import Greedy
from geovq.assignment.joint import Joint
from geovq.assignment.local import Local
from geovq.assignment.nearest import Nearest
from geovq.assignment.whitened import Whitened
from geovq.decoder.adapters import from_nnx
from geovq.storage.arrays import load_arrays, save_arrays
from geovq.tokenizer.file import Stored, load_tokenizer, save_tokenizer
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError

CODEBOOK = Codebook(np.zeros((1, 3, 2), np.float32), np.ones((1, 1, 2, 2), np.float32))
NEAREST = Nearest()
FINGERPRINT = {"image": np.array([[0.5]], np.float32)}

HALVES: list[Any] = [jnp.bfloat16, jnp.float16, jnp.float8_e4m3fn, jnp.float8_e5m2]


def scaled(*parameters: Any) -> Partial:
    return Partial(lambda *arguments: arguments[-1], *parameters)


def save(path: pathlib.Path, decode: Any = None, assigner: Assigner = NEAREST) -> str:
    return save_tokenizer(path, CODEBOOK, assigner, (4, 4, 1), FINGERPRINT, decode)


def load(path: pathlib.Path, decode: Any = None) -> Stored:
    return load_tokenizer(path, scaled() if decode is None else decode)


def assert_same(found: Any, wanted: Any) -> None:
    """Equal kind, dtype and bits."""
    assert isinstance(found, jax.Array) == isinstance(wanted, jax.Array)
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert (found.dtype, found.shape, found.tobytes()) == (wanted.dtype, wanted.shape, wanted.tobytes())


def test_what_is_saved_comes_back(tmp_path):
    sha = save(tmp_path / "t.npz")
    found = load(tmp_path / "t.npz")
    assert len(sha) == 64
    assert found.image_shape == (4, 4, 1)
    assert found.assigner == Nearest()
    for name, array in CODEBOOK._asdict().items():
        np.testing.assert_array_equal(getattr(found.codebook, name), array, strict=True)
    np.testing.assert_array_equal(found.fingerprint["image"], FINGERPRINT["image"], strict=True)


@pytest.mark.parametrize("dtype", [*HALVES, jnp.float32, jnp.int8])
def test_parameters_come_back_to_the_bit_in_their_own_dtype(tmp_path, dtype):
    """Of JAX and of NumPy, of axes and of none; some are not exact in any wider decimal."""
    values = np.array([[0.1, -1.5], [3.0, 1e-2]]).astype(dtype)
    parameters = [jnp.asarray(values), values, values[0, 1], jnp.asarray(values.T)]
    save(tmp_path / "t.npz", scaled(*parameters))
    loaded = load(tmp_path / "t.npz", scaled(*(p * 0 for p in parameters))).decode
    for found, wanted in zip(loaded.args, parameters, strict=True):  # type: ignore[attr-defined]
        assert_same(found, wanted)


def test_numbers_stay_numbers(tmp_path):
    save(tmp_path / "t.npz", scaled(0.1, 3, np.float64(0.1)))
    loaded = load(tmp_path / "t.npz", scaled(0.5, 1, np.float64(0))).decode
    assert [(type(a), a) for a in loaded.args] == [(float, 0.1), (int, 3), (np.float64, 0.1)]  # type: ignore[attr-defined]


def test_parameters_take_the_dtype_of_the_decoder_that_is_given(tmp_path):
    """Fine-tuned in float32, run in half precision; and files of half precision that were written as float32."""
    save(tmp_path / "t.npz", scaled(jnp.array([0.1, 2.0])))
    half = load(tmp_path / "t.npz", scaled(jnp.zeros(2, jnp.bfloat16))).decode
    assert_same(half.args[0], jnp.array([0.1, 2.0], jnp.bfloat16))  # type: ignore[attr-defined]


@pytest.mark.parametrize("own", [np.zeros(3), np.zeros((2, 2))])
def test_parameters_of_another_shape_are_refused(tmp_path, own):
    save(tmp_path / "t.npz", scaled(np.ones(2)))
    with pytest.raises(InputError, match=r"found shape \(.*\) at array 0 instead of \(2,\); make the same network"):
        load(tmp_path / "t.npz", scaled(own))


def test_another_number_of_parameters_is_refused(tmp_path):
    save(tmp_path / "t.npz", scaled(np.ones(2), np.ones(3)))
    with pytest.raises(InputError, match="found 1 arrays instead of 2"):
        load(tmp_path / "t.npz", scaled(np.ones(2)))


@pytest.mark.parametrize("decode", [lambda z: z, scaled(), scaled(jax.random.key(0))])
def test_a_decoder_without_parameters_is_not_saved(tmp_path, decode):
    with pytest.raises(InputError, match=r"carries its parameters, found one without.*save with decoder=False"):
        save(tmp_path / "t.npz", decode)
    assert os.listdir(tmp_path) == []


class Dropped(nnx.Module):
    """A decoder of 1x2 grids to images (2, 4, 1), with a layer that owns a random key."""

    def __init__(self, seed: int, dtype: Any):
        rngs = nnx.Rngs(seed)
        self.linear = nnx.Linear(1, 4, param_dtype=dtype, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, latents):
        columns = nnx.sigmoid(self.dropout(self.linear(latents)))
        return columns.reshape(-1, 2, 2, 2).transpose(0, 2, 1, 3).reshape(-1, 2, 4, 1)


def encode(images):
    """Means of the halves of images (n, 2, 4, 1)."""
    return images.reshape(-1, 2, 2, 2, 1).mean(axis=(1, 3))[:, None]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_module_that_owns_random_keys(tmp_path, dtype):
    """In evaluation it does not use them: the file is without, and the module that is loaded into keeps its own."""
    modules = [Dropped(seed, dtype) for seed in (0, 1)]
    for module in modules:
        module.eval()
    images = np.random.default_rng(0).uniform(size=(20, 2, 4, 1)).astype(np.float32)
    tokenizer = Tokenizer.fit(encode, from_nnx(modules[0]), images, num_codes=4, num_neighbours=3, assigner=Whitened())
    tokenizer.save(tmp_path / "t.npz", decoder=True)
    arrays, _ = load_arrays(tmp_path / "t.npz")
    assert sum(name.startswith("decoder.") for name in arrays) == 3  # kernel, bias, and how many keys were drawn
    loaded = Tokenizer.load(tmp_path / "t.npz", encode, from_nnx(modules[1]))
    tokens = tokenizer.encode(images)
    np.testing.assert_array_equal(loaded.encode(images), tokens)
    np.testing.assert_array_equal(loaded.decode(tokens), tokenizer.decode(tokens))
    stored = load_tokenizer(tmp_path / "t.npz", from_nnx(modules[1]))
    keys = [leaf for leaf in jax.tree.leaves(stored.decode) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
    wanted = jax.tree.leaves(nnx.state(modules[1], nnx.RngKey))
    assert len(keys) == len(wanted) == 1
    np.testing.assert_array_equal(jax.random.key_data(keys[0]), jax.random.key_data(wanted[0]))


@pytest.mark.parametrize(
    "assigner",
    [
        Whitened(per_position=True),
        Local(probes=3),
        Joint(jacobians=1, dampings=(0.5, 2.0)),
        Greedy(candidates=3, initial=Joint(jacobians=1)),
    ],
)
def test_options_of_assigners_come_back(tmp_path, assigner):
    save(tmp_path / "t.npz", assigner=assigner)
    assert load(tmp_path / "t.npz").assigner == assigner


def test_statistics_are_arrays_of_the_file(tmp_path):
    from geovq.assignment.amortised import Amortised

    centres, grams, coordinates, residual = (
        np.full(size, i, np.float32) for i, size in enumerate([(2, 1, 2), (2, 1, 2, 1, 2), (1, 2, 2), (1, 2, 2)])
    )
    assigner = Amortised(clusters=ImageClusters(centres, grams, coordinates, residual, CODEBOOK.codes))
    save(tmp_path / "t.npz", assigner=assigner)
    found = load(tmp_path / "t.npz").assigner
    assert isinstance(found, Amortised)
    assert found.clusters is not None
    for name, array in assigner.clusters._asdict().items():  # type: ignore[union-attr]
        np.testing.assert_array_equal(getattr(found.clusters, name), array, strict=True)


@dataclasses.dataclass(frozen=True)
class Mine(Assigner):
    """An assigner that files do not know."""

    def __call__(self, decode, codebook, inputs, *, plan, progress=None):
        raise NotImplementedError


def test_an_assigner_of_the_users_own_is_not_saved(tmp_path):
    with pytest.raises(InputError, match=r"expected one of Nearest, Whitened.*found Mine; save with"):
        save(tmp_path / "t.npz", assigner=Mine())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "something else"}, "expected a tokenizer of version 5, found something else"),
        ({"version": 3}, "expected a tokenizer of version 5, found geovq.tokenizer 3"),
        ({"assigner": {"name": "Mine"}}, "expected one of the assigners Nearest.*found 'Mine'"),
        ({"assigner": {"name": "Nearest", "tries": 2}}, "expected options of Nearest, found tries of another version"),
    ],
)
def test_files_of_other_versions_are_refused(tmp_path, change, message):
    save(tmp_path / "t.npz")
    arrays, meta = load_arrays(tmp_path / "t.npz")
    save_arrays(tmp_path / "t.npz", arrays, {**meta, **change})
    with pytest.raises(InputError, match=message):
        load(tmp_path / "t.npz")


def test_a_younger_option_has_its_default_in_an_older_file(tmp_path):
    save(tmp_path / "t.npz", assigner=Joint(jacobians=1))
    arrays, meta = load_arrays(tmp_path / "t.npz")
    del meta["assigner"]["dampings"]
    save_arrays(tmp_path / "t.npz", arrays, meta)
    assert load(tmp_path / "t.npz").assigner == Joint(jacobians=1)


def test_joint_of_version_4_takes_whole_jacobians(tmp_path):
    """It knew no bands, and its tokens are to stay as they are."""
    save(tmp_path / "t.npz", assigner=Greedy(initial=Joint()))
    arrays, meta = load_arrays(tmp_path / "t.npz")
    for option in ("radius", "spacing"):
        del meta["assigner"]["initial"][option]
    save_arrays(tmp_path / "t.npz", arrays, meta | {"version": 4})
    assert load(tmp_path / "t.npz").assigner == Greedy(initial=Joint(radius=None))


def test_half_precision_that_was_written_as_float32_still_loads(tmp_path):
    """What files of this version held before they knew bfloat16."""
    save(tmp_path / "t.npz", scaled(jnp.zeros(2)))
    arrays, meta = load_arrays(tmp_path / "t.npz")
    save_arrays(tmp_path / "t.npz", {**arrays, "decoder.0": np.array([1.5, 2], np.float32)}, meta)
    loaded = load(tmp_path / "t.npz", scaled(jnp.zeros(2, jnp.bfloat16))).decode
    np.testing.assert_array_equal(loaded.args[0], np.array([1.5, 2], ml_dtypes.bfloat16), strict=True)  # type: ignore[attr-defined]
