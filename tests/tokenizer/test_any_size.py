"""Tokenizers of convolutional VAEs: images of any height and width, alone, in arrays and in lists, give the same tokens."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.amortised import Amortised
from geovq.assignment.base import Assigner, Codebook
from geovq.assignment.greedy import Greedy
from geovq.assignment.joint import Joint
from geovq.assignment.local import Local
from geovq.assignment.nearest import Nearest
from geovq.assignment.whitened import Whitened
from geovq.batching.plan import Plan, settle
from geovq.decoder import autoencoder
from geovq.storage.arrays import load_arrays, save_arrays
from geovq.tokenizer import lists
from geovq.tokenizer.better_tokens import better_tokens
from geovq.tokenizer.entropy_constrained import assign_entropy_constrained
from geovq.tokenizer.fitting import measure
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError
from tests.typechecker import annotations_off

RNG = np.random.default_rng(0)
WEIGHTS = RNG.uniform(-0.5, 1, (3, 3, 2, 4)).astype(np.float32)
IMAGES = RNG.uniform(size=(30, 4, 4, 1)).astype(np.float32)
SHAPES = [(4, 4), (2, 6), (4, 4)]
RAGGED = [RNG.uniform(size=(*shape, 1)).astype(np.float32) for shape in SHAPES]

CHEAP = Joint(jacobians=1, corrections=0, dampings=(0.1,))
PLAN = Plan(memory=1 << 30)
ASSIGNERS: dict[str, Assigner] = {
    "whitened": Whitened(),
    "local": Local(probes=2),
    "joint": CHEAP,
    "directions": Joint(directions=6, jacobians=1, corrections=0, dampings=(0.1,)),
    "greedy": Greedy(candidates=2, initial=Whitened()),
}


@jax.jit
def encode(images):
    """Mean and contrast of patches of 2x2 pixels."""
    n, height, width, _ = images.shape
    patches = (
        images.reshape(n, height // 2, 2, width // 2, 2).transpose(0, 1, 3, 2, 4).reshape(n, height // 2, width // 2, 4)
    )
    return patches @ np.array([[1, 1, 1, 1], [1, -1, 1, -1]], np.float32).T / 4


@jax.jit
def decode(latents):
    """A 3x3 convolution, and four pixels for each token."""
    n, h, w, _ = latents.shape
    pixels = jax.lax.conv_general_dilated(
        latents, jnp.asarray(WEIGHTS), (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jnp.tanh(pixels / 2).reshape(n, h, w, 2, 2).transpose(0, 1, 3, 2, 4).reshape(n, 2 * h, 2 * w, 1)


LATENTS = [np.asarray(encode(image[None]))[0] for image in RAGGED]


@pytest.fixture(scope="module")
def base() -> Tokenizer:
    codes = RNG.uniform(-0.5, 1, (5, 2)).astype(np.float32)
    return make(codes)


@pytest.fixture(scope="module")
def two() -> Tokenizer:
    return make(RNG.uniform(-0.5, 0.5, (2, 3, 2)).astype(np.float32))


def make(codes: Any, assigner: Assigner = ASSIGNERS["whitened"], encoder: Any = encode) -> Tokenizer:
    return Tokenizer.from_codes(encoder, decode, codes, IMAGES, assigner=assigner, max_images=4)


def test_a_convolutional_vae_has_no_statistics_of_positions(base):
    assert (base.stride, base.grid, base.token_shape, base.image_shape) == ((2, 2), (2, 2), (2, 2), (4, 4, 1))
    assert base.codebook.position_metrics.shape == (1, 1, 2, 2)
    fitted = Tokenizer.fit(encode, decode, IMAGES, num_codes=5, num_neighbours=4, max_images=4, assigner=Whitened())
    assert fitted.stride == (2, 2)
    assert fitted.codebook.position_metrics.shape == (1, 1, 2, 2)


@pytest.mark.parametrize("name", ASSIGNERS)
def test_lists_arrays_and_single_images_get_the_same_tokens(name, base):
    tokenizer = base.replace(assigner=ASSIGNERS[name])
    done: list[int] = []
    found = tokenizer.encode(RAGGED, progress=done.append)
    assert sum(done) == 3
    for image, tokens, (height, width) in zip(RAGGED, found, SHAPES, strict=True):
        assert tokens.shape == (height // 2, width // 2)
        np.testing.assert_array_equal(tokenizer.encode(image[None])[0], tokens, strict=True)
    again = tokenizer.assign_latents(LATENTS, images=RAGGED if tokenizer.assigner.needs_images else None)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_bytes_in_tuples_with_several_codes_a_token(two):
    images = tuple(np.round(255 * image).astype(np.uint8) for image in RAGGED)
    found = two.encode(images)
    assert [tokens.shape for tokens in found] == [(2, 2, 2), (1, 3, 2), (2, 2, 2)]
    for image, tokens in zip(images, found, strict=True):
        np.testing.assert_array_equal(two.encode(image[None] / 255)[0], tokens)


def test_lists_are_decoded_as_their_items_are(base, two):
    for tokenizer in (base, two):
        tokens = tokenizer.encode(RAGGED)
        for one, image, latents in zip(tokens, tokenizer.decode(tokens), tokenizer.dequantize(tokens), strict=True):
            np.testing.assert_array_equal(tokenizer.decode(one[None])[0], image)
            np.testing.assert_array_equal(tokenizer.dequantize(one[None])[0], latents)
        assert [image.shape[:2] for image in tokenizer.decode(tokens)] == SHAPES


def test_joint_makes_no_image_worse_at_any_size(base):
    joint = base.replace(assigner=CHEAP)
    starts = base.encode(RAGGED)
    for given in (None, starts):
        errors = [
            [((image - target) ** 2).sum() for image, target in zip(base.decode(tokens), RAGGED, strict=True)]
            for tokens in (joint.encode(RAGGED, start=given), starts)
        ]
        assert (np.array(errors[0]) <= np.array(errors[1]) + 1e-5).all()
        assert sum(errors[0]) < sum(errors[1])


def test_costs_and_metrics_come_in_lists(base):
    joint = base.replace(assigner=CHEAP)
    costs = [np.where(np.arange(5) == i, 0, 100) * np.ones((h // 2, w // 2, 1)) for i, (h, w) in enumerate(SHAPES)]
    for i, tokens in enumerate(joint.encode(RAGGED, code_costs=costs)):
        np.testing.assert_array_equal(tokens, i)
    local, nearest = (base.replace(assigner=each) for each in (Local(), Nearest()))
    metrics = [np.broadcast_to(np.eye(2, dtype=np.float32), (*each.shape, 2)) for each in LATENTS]
    pairs = zip(local.assign_latents(LATENTS, metrics=metrics), nearest.assign_latents(LATENTS), strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)


def test_bytes_and_floats_have_the_same_tokens(base):
    levels = np.round(255 * IMAGES).astype(np.uint8)
    for name in ("whitened", "joint"):
        tokenizer = base.replace(assigner=ASSIGNERS[name])
        np.testing.assert_array_equal(tokenizer.encode(levels), tokenizer.encode(levels.astype(np.float32) / 255))


def test_entropy_constrained_assignment_at_another_size(base):
    joint, images = base.replace(assigner=CHEAP), RAGGED[1][None]
    found = assign_entropy_constrained(
        joint, images, lambda tokens: np.zeros((*tokens.shape, 5), np.float32), nat_weight=1, rounds=1
    )
    assert found.shape == (1, 1, 3)


@pytest.fixture
def plans(monkeypatch) -> list[Plan]:
    """Plans of all batches that are encoded or decoded."""
    found: list[Plan] = []

    def recorded(plan: Plan) -> Any:
        found.append(plan)
        return settle(plan)

    monkeypatch.setattr(autoencoder, "settle", recorded)
    return found


def test_entropy_constrained_assignment_passes_its_plan_on(base, plans):
    joint = base.replace(assigner=CHEAP)
    nats = lambda tokens: np.zeros((*tokens.shape, 5), np.float32)  # noqa: E731
    assign_entropy_constrained(joint, RAGGED[1][None], nats, nat_weight=1, rounds=1, plan=PLAN)
    assert plans == 4 * [PLAN]  # the start and its decode, the trial and its decode


def test_fitting_passes_its_plan_on(plans, tmp_path):
    options: dict[str, Any] = {"assigner": Amortised(), "num_codes": 5, "codebook": "refined", "plan": PLAN}
    Tokenizer.fit(encode, decode, IMAGES, **options)
    measured = measure(encode, decode, IMAGES, statistics="tokens", plan=PLAN)
    made = Tokenizer.from_measured(encode, decode, measured, images=IMAGES, **options)
    Tokenizer.from_codes(encode, decode, made.codes, IMAGES, max_images=4, plan=PLAN)
    better_tokens(encode, decode, made.codes, IMAGES[:4], assigner=CHEAP, plan=PLAN)
    made.save(tmp_path / "t.npz", plan=PLAN)
    Tokenizer.load(tmp_path / "t.npz", encode, decode, plan=PLAN)
    assert set(plans) == {PLAN}


def test_padding_is_cropped_again(base):
    images = [RNG.uniform(size=shape).astype(np.float32) for shape in ((3, 3, 1), (1, 5, 1), (4, 4, 1))]
    tokens = base.encode(images, pad=True)
    assert [each.shape for each in tokens] == [(2, 2), (1, 3), (2, 2)]
    padded = np.pad(images[0], ((0, 1), (0, 1), (0, 0)), mode="edge")
    np.testing.assert_array_equal(base.encode(padded[None])[0], tokens[0])
    np.testing.assert_array_equal(base.encode(images[0][None], pad=True)[0], tokens[0])
    whole = base.decode(tokens[0][None])
    np.testing.assert_array_equal(base.decode(tokens[0][None], image_shape=(3, 3)), whole[:, :3, :3])
    shapes = [image.shape for image in images]
    assert [image.shape for image in base.decode(tokens, image_shape=shapes)] == shapes
    with pytest.raises(InputError, match=r"images\[0\]: .* that the stride 2 divides, found 3x3; take 2x2 or 4x4"):
        base.encode(images)
    with pytest.raises(InputError, match="image_shape: expected"):
        base.decode(tokens[0][None], image_shape=(2, 3))


def test_memory_is_bounded_by_one_stack(base, monkeypatch):
    monkeypatch.setattr(lists, "images_at_once", lambda shape: 2)
    seen = []

    def watched(images):
        seen.append(images.shape)
        return encode(images)

    tokenizer = Tokenizer(watched, decode, base.codebook, assigner=Whitened(), image_shape=(4, 4, 1))
    seen.clear()
    tokens = tokenizer.encode([IMAGES[0]] * 5 + [RAGGED[1]])
    assert len(tokens) == 6
    assert {shape[0] for shape in seen} <= {1, 2}


def test_statistics_of_positions_are_refused(base):
    refusal = r"expected one without statistics of positions.* found Whitened with per_position=True; use Whitened\(\)"
    assigner = Whitened(per_position=True)
    for refused in (assigner, Greedy(initial=assigner)):
        with pytest.raises(InputError, match="expected one without statistics of positions"):
            base.replace(assigner=refused)
    with pytest.raises(InputError, match=refusal):
        make(base.codes, assigner)
    with pytest.raises(InputError, match=refusal):
        Tokenizer.fit(encode, decode, IMAGES, num_codes=5, assigner=assigner)
    with pytest.raises(InputError, match=refusal):
        Tokenizer(encode, decode, base.codebook, assigner=assigner, image_shape=(4, 4, 1))


def test_metrics_of_positions_are_for_one_size(base):
    metrics = np.broadcast_to(base.codebook.position_metrics, (2, 2, 2, 2))
    tokenizer = Tokenizer(
        encode,
        decode,
        Codebook(base.codebook.codes, metrics),
        assigner=Whitened(per_position=True),
        image_shape=(4, 4, 1),
    )
    assert tokenizer.stride is None
    np.testing.assert_array_equal(tokenizer.encode(IMAGES), base.encode(IMAGES))
    for tokens, one in zip(tokenizer.encode(list(IMAGES)), base.encode(IMAGES), strict=True):
        np.testing.assert_array_equal(tokens, one)
    with pytest.raises(InputError, match=r"images\[1\]: expected shape \(4, 4, 1\), the only one"):
        tokenizer.encode(RAGGED)
    with pytest.raises(InputError, match=r"tokens\[1\]: expected shape \(2, 2\), found \(1, 3\)"):
        tokenizer.decode(base.encode(RAGGED))


def test_functions_of_numpy_have_one_size(base):
    tokenizer = make(base.codes, encoder=lambda x: np.asarray(encode(np.asarray(x))))
    assert tokenizer.stride is None
    assert tokenizer.codebook.position_metrics.shape == (2, 2, 2, 2)


def test_measured_clusters_are_of_one_size(base):
    tokenizer = base.replace(assigner=Amortised(), images=IMAGES)
    assert tokenizer.encode(IMAGES[:2]).shape == (2, 2, 2)
    with pytest.raises(InputError, match="expected grids of 4 tokens, on which Amortised was measured, found 3"):
        tokenizer.encode(RAGGED[1][None])


def test_files_serve_any_size(base, tmp_path):
    path = tmp_path / "t.npz"
    base.save(path)
    loaded = Tokenizer.load(path, encode, decode)
    assert loaded.stride == (2, 2)
    for one, other in zip(loaded.encode(RAGGED), base.encode(RAGGED), strict=True):
        np.testing.assert_array_equal(one, other)


def test_files_of_version_4_have_one_size(base, tmp_path):
    path = tmp_path / "t.npz"
    base.save(path)
    arrays, meta = load_arrays(path)
    arrays["position_metrics"] = np.tile(arrays["position_metrics"], (2, 2, 1, 1))
    save_arrays(path, arrays, meta | {"version": 4})
    loaded = Tokenizer.load(path, encode, decode)
    assert (loaded.stride, loaded.grid) == (None, (2, 2))
    np.testing.assert_array_equal(loaded.encode(IMAGES), base.encode(IMAGES))
    save_arrays(path, arrays, meta | {"version": 3})
    with pytest.raises(InputError, match=r"expected a tokenizer of version 5, found geovq\.tokenizer 3"):
        Tokenizer.load(path, encode, decode)


def test_a_tokenizer_says_what_it_is(base, two):
    assert repr(base) == (
        "<Tokenizer: 5 codes of 2 numbers, assigner Whitened();\n"
        " images 4x4x1 <-> tokens 2x2, also every height and width that the stride 2 divides>"
    )
    shown = repr(two.replace(assigner=Greedy(candidates=4, initial=Joint(probes=8))))
    assert "2 x 3 codes of 2 numbers, assigner Greedy(candidates=4, initial=Joint(probes=8))" in shown
    assert "tokens 2x2x2" in shown
    assert repr(base.replace(assigner=Amortised(), images=IMAGES)).count("\n") == 1
    metrics = np.broadcast_to(base.codebook.position_metrics, (2, 2, 2, 2))
    fixed = Tokenizer(encode, decode, Codebook(base.codebook.codes, metrics), assigner=Nearest(), image_shape=(4, 4, 1))
    assert "tokens 2x2, no other size>" in repr(fixed)


def test_nested_lists_of_numbers_are_arrays(base):
    tokens = base.encode(IMAGES[:2])
    with annotations_off():
        np.testing.assert_array_equal(base.decode(tokens.tolist()), base.decode(tokens))
        np.testing.assert_array_equal(base.encode(IMAGES[:2].tolist()), tokens)
