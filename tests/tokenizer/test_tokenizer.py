"""The tokenizer with plain functions as VAE: what comes out, what is saved, and what is refused."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from jax.tree_util import Partial

from geovq.assignment.amortised import Amortised
from geovq.assignment.base import Assigner, Codebook
from geovq.assignment.geodesic import Geodesic
from geovq.assignment.greedy import Greedy
from geovq.assignment.joint import Joint
from geovq.assignment.local import Local
from geovq.assignment.nearest import Nearest
from geovq.assignment.whitened import Whitened
from geovq.batching.plan import Plan
from geovq.codebook.names import CODEBOOKS, COMPOSITIONS
from geovq.decoder.adapters import single
from geovq.decoder.conventions.adaptation import ConventionWarning
from geovq.geometry.measured import Geometry, measure
from geovq.models.token_data import keep_valid
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError
from tests.typechecker import annotations_off

CHEAP = Joint(jacobians=1, corrections=0, dampings=(0.1,))
ASSIGNERS: dict[str, Assigner] = {
    "nearest": Nearest(),
    "whitened": Whitened(),
    "per position": Whitened(per_position=True),
    "local": Local(),
    "geodesic": Geodesic(),
    "amortised": Amortised(),
    "joint": CHEAP,
    "greedy": Greedy(candidates=4, initial=CHEAP),
}


def encode(images):
    """Mean of each half of an image, and its difference from the right half: (n, 1, 2, 1) latents of (n, 2, 4, 1) images."""
    return images.reshape(-1, 2, 2, 2, 1).mean(axis=(1, 3))[:, None]


def decode(latents):
    """Each latent fills its half; squared, so that the metric is not constant."""
    halves = latents.reshape(-1, 1, 2, 1, 1) ** 2
    return (halves * np.ones((1, 2, 1, 2, 1), np.float32)).reshape(-1, 2, 4, 1)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(60, 2, 4, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def geometry(images) -> Geometry:
    return measure(single(decode), encode(images), num_neighbours=4)


@pytest.fixture(scope="module")
def fitted(images, geometry) -> dict[str, Tokenizer]:
    base = fit(images, assigner=Whitened())
    return {name: base.replace(assigner=each, images=images, geometry=geometry) for name, each in ASSIGNERS.items()}


def fit(images: np.ndarray, **options: Any) -> Tokenizer:
    return Tokenizer.fit(
        encode, decode, images, **{"num_codes": 6, "num_neighbours": 4, "assigner": Whitened(), **options}
    )


def total_error(tokenizer: Tokenizer, images: np.ndarray) -> float:
    return float(((tokenizer.decode(tokenizer.encode(images)) - images) ** 2).sum())


@pytest.mark.parametrize("codebook", CODEBOOKS)
def test_every_codebook_with_every_assigner(codebook, images, geometry):
    base = fit(images, codebook=codebook)
    for name, assigner in ASSIGNERS.items():
        tokenizer = base.replace(assigner=assigner, images=images, geometry=geometry)
        tokens = tokenizer.encode(images)
        assert tokens.dtype == np.int32
        assert tokens.shape == (60, 1, 2)
        assert 0 <= tokens.min() <= tokens.max() < tokenizer.num_codes == 6
        found = tokenizer.decode(tokens)
        assert found.shape == images.shape
        if assigner.needs_images:  # they come near to the images, which this VAE does not
            assert total_error(tokenizer, images) < total_error(base, images), name
        else:
            assert np.abs(found - decode(encode(images))).mean() < 0.1, name


@pytest.mark.parametrize("name", ["whitened", "geodesic", "amortised"])
def test_fit_measures_the_statistics_that_an_assigner_needs(name, images, fitted):
    found = fit(images, assigner=ASSIGNERS[name])
    np.testing.assert_array_equal(found.encode(images), fitted[name].encode(images))


@pytest.mark.parametrize("name", ASSIGNERS)
def test_save_and_load(name, tmp_path, fitted, images):
    fitted[name].save(tmp_path / "t.npz")
    loaded = Tokenizer.load(tmp_path / "t.npz", encode, decode)
    assert type(loaded.assigner) is type(fitted[name].assigner)
    for field in dataclasses.fields(loaded.assigner):  # type: ignore[arg-type]
        np.testing.assert_equal(getattr(loaded.assigner, field.name), getattr(fitted[name].assigner, field.name))
    np.testing.assert_array_equal(loaded.encode(images), fitted[name].encode(images))
    np.testing.assert_array_equal(loaded.decode(loaded.encode(images)), fitted[name].decode(loaded.encode(images)))


def test_saving_and_loading_keep_to_a_plan(fitted, tmp_path):
    path, small = tmp_path / "t.npz", Plan(memory=1)
    with pytest.raises(InputError, match="plan: expected at least"):
        fitted["whitened"].save(path, plan=small)
    fitted["whitened"].save(path)
    with pytest.raises(InputError, match="plan: expected at least"):
        Tokenizer.load(path, encode, decode, plan=small)


@pytest.mark.parametrize("name", ["local", "joint"])
def test_double_precision_changes_no_tokens(name, fitted, images, tmp_path, x64):
    """`jax_enable_x64` is another default alone: everything is computed in float32, and files are the same."""
    again = fit(images, assigner=Whitened()).replace(assigner=ASSIGNERS[name])
    tokens = fitted[name].encode(images)
    np.testing.assert_array_equal(again.encode(images), tokens)
    decoded = again.decode(tokens)
    assert decoded.dtype == np.float32
    again.save(tmp_path / "t.npz")
    np.testing.assert_array_equal(Tokenizer.load(tmp_path / "t.npz", encode, decode).decode(tokens), decoded)


class Constant(Assigner):
    """An assigner of the user's own: always the same code."""

    def __call__(self, decode, codebook, inputs, *, plan, progress=None):
        return np.full((*inputs.latents.shape[:3], codebook.num_quantizers), 3, np.int32)


def test_statistics_of_other_codes_are_measured_again_or_refused(fitted, images, geometry):
    others = fit(images, num_codes=4)
    for name in ("geodesic", "amortised"):
        with pytest.raises(InputError, match="expected"):
            others.replace(assigner=fitted[name].assigner)
        tokens = others.replace(assigner=fitted[name].assigner, images=images, geometry=geometry).encode(images)
        assert tokens.max() < 4
        with pytest.raises(InputError, match="expects statistics of these codes"):
            Tokenizer(encode, decode, others.codebook, assigner=fitted[name].assigner, image_shape=(2, 4, 1))


def test_training_images_may_be_a_list(fitted, images):
    with annotations_off():
        found = fitted["whitened"].replace(assigner=Amortised(), images=list(images))
    np.testing.assert_array_equal(found.encode(images), fitted["amortised"].encode(images))
    with pytest.raises(InputError, match=r"expected shape \(n, 2, 4, 1\)"):
        fitted["whitened"].replace(assigner=Amortised(), images=images[:, :1])


def test_options_of_numpy_are_saved(fitted, tmp_path):
    with annotations_off():
        one = Joint(jacobians=np.int64(1))  # type: ignore[arg-type]
    tokenizer = fitted["whitened"].replace(assigner=one)
    tokenizer.save(tmp_path / "t.npz")
    assert Tokenizer.load(tmp_path / "t.npz", encode, decode).assigner == Joint(jacobians=1)


def test_files_of_other_versions_of_an_assigner(fitted, tmp_path):
    from geovq.storage.arrays import load_arrays, save_arrays

    path = tmp_path / "t.npz"
    fitted["joint"].save(path)
    arrays, meta = load_arrays(path)
    del meta["assigner"]["corrections"]
    save_arrays(path, arrays, meta)
    assert Tokenizer.load(path, encode, decode).assigner == dataclasses.replace(CHEAP, corrections=3)
    save_arrays(path, arrays, meta | {"assigner": {"name": "Joint", "reach": 3}})
    with pytest.raises(InputError, match="expected options of Joint, found reach of another version"):
        Tokenizer.load(path, encode, decode)
    save_arrays(path, arrays, meta | {"assigner": {"name": "Fancy"}})
    with pytest.raises(InputError, match=r"expected one of the assigners Nearest, .*found 'Fancy'"):
        Tokenizer.load(path, encode, decode)


def test_an_assigner_of_ones_own(fitted, images, tmp_path):
    tokenizer = fitted["whitened"].replace(assigner=Constant())
    np.testing.assert_array_equal(tokenizer.encode(images), 3)
    with pytest.raises(
        InputError, match=r"assigner: expected one of Nearest, .*, which files can hold, found Constant"
    ):
        tokenizer.save(tmp_path / "t.npz")
    assert not (tmp_path / "t.npz").exists()


@pytest.mark.parametrize("name", ASSIGNERS)
def test_tokens_of_an_image_do_not_depend_on_the_batch(name, fitted, images):
    whole = fitted[name].encode(images)
    np.testing.assert_array_equal(fitted[name].encode(images[7:8])[0], whole[7])


def test_bytes_and_floats_give_the_same_tokens(fitted, images):
    as_bytes = np.round(images * 255).astype(np.uint8)
    np.testing.assert_array_equal(fitted["local"].encode(as_bytes), fitted["local"].encode(as_bytes / 255))


def test_local_changes_the_image_less_than_nearest(fitted, images):
    """Near 0 the squared decoder hardly moves, so its metric allows larger latent steps there."""
    latents = encode(images)
    errors = {}
    for name in ("nearest", "local"):
        quantized = fitted[name].dequantize(fitted[name].encode(images))
        errors[name] = (((quantized - latents) * 2 * latents) ** 2).sum()
    assert errors["local"] <= errors["nearest"]


def test_progress_counts_the_images(fitted, images):
    for name in ASSIGNERS:
        done: list[int] = []
        fitted[name].encode(images, progress=done.append)
        assert sum(done) == len(images), name


@pytest.mark.parametrize("name", ["geodesic", "amortised"])
@pytest.mark.parametrize("distinct", [1, 2])
def test_few_images_are_enough(name, distinct, images):
    """Fewer latents than the default number of neighbours; one of them, where all tokens are alike."""
    few = images[:1] if distinct == 2 else np.full((3, 2, 4, 1), 0.5, np.float32)
    for codebook in ("metric", "geodesic"):
        tokenizer = Tokenizer.fit(encode, decode, few, num_codes=distinct, codebook=codebook, assigner=ASSIGNERS[name])
        found, of_latents = tokenizer.decode(tokenizer.encode(few)), decode(encode(few))
        if tokenizer.assigner.needs_images:
            assert ((found - few) ** 2).sum() <= ((of_latents - few) ** 2).sum() + 1e-5
        else:
            np.testing.assert_allclose(found, of_latents, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_codes": 121}, "K in 1..120"),
        ({"codebook": "random"}, "codebook: expected one of"),
        ({"assigner": "joint"}, r"assigner: expected an assigner such as geovq.Joint\(\)"),
        ({"num_neighbours": 0}, "num_neighbours: expected a whole number of at least 1, found 0"),
        ({"max_images": 0}, "max_images: expected a whole number of at least 1, found 0"),
        ({"max_images": 1.5}, "max_images: expected a whole number"),
        ({"num_quantizers": "2"}, "num_quantizers: expected a whole number of at least 1, found '2'"),
        ({"probes": True}, "probes: expected a whole number"),
        ({"seed": -1}, "seed: expected a whole number in 0.."),
        ({"num_codes": 8.0}, "num_codes: expected a whole number in 0..16777216, found 8.0"),
    ],
)
def test_bad_options_are_refused(options, message, images):
    with pytest.raises(InputError, match=message):
        fit(images, **options)


def test_decoder_of_another_image_shape_is_refused(images):
    with pytest.raises(InputError, match=r"decode: expected images \(8, 2, 4, 1\), found \(8, 4, 2, 1\)"):
        Tokenizer.fit(encode, lambda z: decode(z).reshape(-1, 4, 2, 1), images, num_codes=6, num_neighbours=4)


def test_encoder_without_a_grid_is_refused(images):
    with pytest.raises(InputError, match=r"latents \(n, h, w, d\) of 8 images, found \(8, 2\)"):
        Tokenizer.fit(lambda x: encode(x).reshape(-1, 2), decode, images, num_codes=6)


def test_decoder_of_nan_is_refused(images):
    with pytest.raises(InputError, match="decoded images: expected finite"):
        Tokenizer.fit(encode, lambda z: np.nan * decode(z), images, num_codes=6, num_neighbours=4)


def test_intensities_far_from_an_image_are_warned_of(images):
    with pytest.warns(ConventionWarning, match=r"intensities in \[0, 1\], found"):
        Tokenizer.fit(encode, lambda z: 255 * decode(z), images, num_codes=6, num_neighbours=4, assigner=CHEAP)


def test_another_decoder_of_the_same_sizes_is_refused_on_loading(tmp_path, fitted):
    fitted["whitened"].save(tmp_path / "t.npz")
    with pytest.raises(InputError, match=r"expected the decoder .* load the VAE that the tokenizer was fitted to"):
        Tokenizer.load(tmp_path / "t.npz", encode, lambda z: 1 - decode(z))
    with pytest.raises(InputError, match=r"expected the encoder .* load the VAE that the tokenizer was fitted to"):
        Tokenizer.load(tmp_path / "t.npz", lambda x: encode(x) + 1, decode)


def numpy_decode(latents):
    return np.asarray(decode(np.asarray(latents)))


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (lambda x: x @ np.ones(7), decode, r"encode: expected a function of a batch .* call it on such a batch"),
        (None, decode, "encode: expected a function, found NoneType"),
        (encode, numpy_decode, r"decoder: expected a function of one latent .* that JAX can trace"),
    ],
)
def test_callables_that_fail_are_named(first, second, message, images):
    with pytest.raises(InputError, match=message):
        Tokenizer.fit(first, second, images, num_codes=6, num_neighbours=4)


def test_encoder_that_gives_nan_is_refused(images):
    with pytest.raises(InputError, match="latents: expected finite values"):
        Tokenizer.fit(lambda x: encode(x) * np.nan, decode, images, num_codes=6)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((1, 2, 4), np.float32), "expected shape"),
        (np.zeros((1, 4, 4, 1), np.float32), r"\(n, 2, 4, 1\), found \(1, 4, 4, 1\)"),
        (np.full((1, 2, 4, 1), 200.0, np.float32), "divide bytes by 255"),
    ],
)
def test_bad_images_are_refused(bad, message, fitted):
    with pytest.raises(InputError, match=message):
        fitted["whitened"].encode(bad)


def test_bad_tokens_are_refused(fitted):
    with pytest.raises(InputError, match=r"0..5, found 1 outside, in 1 images, the first at \(0, 0, 1\) with value -1"):
        fitted["whitened"].decode(np.array([[[0, -1]]]))
    with pytest.raises(InputError, match=r"shape \(n, 1, 2\) with n of at least 1, found \(1, 2\)"):
        fitted["whitened"].decode(np.array([[0, 1]]))


def test_damaged_and_foreign_files_are_refused(tmp_path, fitted):
    from geovq.storage.arrays import save_arrays

    path = tmp_path / "t.npz"
    fitted["whitened"].save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="cannot be read"):
        Tokenizer.load(path, encode, decode)
    save_arrays(path, {"x": np.zeros(3)}, {"kind": "something else"})
    with pytest.raises(InputError, match="expected a tokenizer of version 5, found something else"):
        Tokenizer.load(path, encode, decode)


def test_vae_of_other_sizes_is_refused_on_loading(tmp_path, fitted):
    fitted["whitened"].save(tmp_path / "t.npz")
    with pytest.raises(InputError, match=r"encode: expected latents \(2, 1, 2, 1\), found \(2, 2, 1, 1\)"):
        Tokenizer.load(tmp_path / "t.npz", lambda x: encode(x).reshape(-1, 2, 1, 1), decode)


def test_statistics_that_are_missing_are_refused(fitted):
    with pytest.raises(InputError, match="geometry: expected the measured graph in which Geodesic finds its paths"):
        fitted["whitened"].replace(assigner=Geodesic())
    with pytest.raises(InputError, match=r"images: expected training images.*replace\(assigner=Amortised\(\), images="):
        fitted["whitened"].replace(assigner=Amortised())
    with pytest.raises(InputError, match="Amortised expects statistics of these codes, found none"):
        Tokenizer(encode, decode, fitted["joint"].codebook, assigner=Amortised(), image_shape=(2, 4, 1))
    assert fitted["geodesic"].replace(assigner=Local()).assigner == Local()


def test_dropped_components_lose_images_that_are_counted():
    """Dark images and bright ones form two components; codes come from the larger, the others get no valid token."""
    rng = np.random.default_rng(0)
    images = np.concatenate([rng.uniform(0, 0.1, (40, 2, 4, 1)), rng.uniform(0.9, 1, (20, 2, 4, 1))]).astype(np.float32)
    tokenizer = fit(images, assigner=Geodesic(), codebook="geodesic", components="drop", num_neighbours=20)
    tokens = tokenizer.encode(images)
    np.testing.assert_array_equal(tokens[40:], 6)
    assert 0 <= tokens[:40].min() <= tokens[:40].max() < 6
    with pytest.raises(InputError, match=r"found 40 outside, in 20 images, the first at \(40, 0, 0\)"):
        tokenizer.decode(tokens)
    kept, _, lost = keep_valid(tokens, None, tokenizer.num_codes)
    assert (len(kept), lost) == (40, 20)
    bridged = fit(images, assigner=Geodesic(), codebook="geodesic")
    assert bridged.encode(images).max() < 6


def test_parameters_can_travel_with_the_decoder(images):
    scaled = Partial(lambda scale, z: scale * decode(z), np.float32(0.5))
    tokenizer = Tokenizer.fit(encode, scaled, images, num_codes=6, num_neighbours=4, assigner=Local())
    assert tokenizer.encode(images).max() < 6


def test_what_costs_more_reconstructs_better(images):
    """Random codes, so that there is much to choose; errors of the images themselves."""
    codes = np.random.default_rng(1).uniform(0, 1, (8, 1)).astype(np.float32)
    base = Tokenizer.from_codes(encode, decode, codes, images, assigner=Whitened())
    errors = {
        name: total_error(base.replace(assigner=ASSIGNERS[name]), images) for name in ("local", "joint", "greedy")
    }
    assert errors["greedy"] <= errors["joint"] + 1e-4
    assert errors["joint"] <= errors["local"] + 1e-4
    assert errors["joint"] <= total_error(base, images) + 1e-4


def test_codes_of_another_model(images, tmp_path):
    """What a VQ-VAE's user has: an encoder, a decoder and codes."""
    codes = np.linspace(0, 1, 5, dtype=np.float32)[:, None]
    tokenizer = Tokenizer.from_codes(encode, decode, codes, images, assigner=Nearest())
    np.testing.assert_array_equal(tokenizer.encode(images), np.abs(encode(images) - codes[:, 0]).argmin(axis=-1))
    joint = tokenizer.replace(assigner=CHEAP)
    quick = tokenizer.replace(assigner=Amortised(), images=images)
    assert total_error(joint, images) < total_error(tokenizer, images)
    assert total_error(quick, images) < total_error(tokenizer, images)
    np.testing.assert_array_equal(quick.replace(assigner=CHEAP).encode(images), joint.encode(images))
    joint.save(tmp_path / "t.npz")
    loaded = Tokenizer.load(tmp_path / "t.npz", encode, decode)
    np.testing.assert_array_equal(loaded.encode(images), joint.encode(images))
    with pytest.raises(InputError, match=r"codes: expected 1 dimensions, those of the latents, found shape \(5, 2\)"):
        Tokenizer.from_codes(encode, decode, np.zeros((5, 2)), images)
    with pytest.raises(InputError, match="geometry: expected the measured graph"):
        Tokenizer.from_codes(encode, decode, codes, images, assigner=Geodesic())


def encode_two(x):
    return np.concatenate([encode(x), encode(x) ** 3], axis=-1)


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_several_codes_a_token(composition, images, tmp_path):
    wide = Partial(lambda z: decode(z[..., :1] + 0.3 * z[..., 1:]))

    def fit_wide(codebook, count):
        options: dict[str, Any] = {"codebook": codebook, "composition": composition, "num_quantizers": count}
        return Tokenizer.fit(encode_two, wide, images, num_codes=4, num_neighbours=4, assigner=Whitened(), **options)

    of_kmeans, of_whitened = ([fit_wide(codebook, count) for count in (1, 2)] for codebook in ("kmeans", "whitened"))
    for name, assigner in ASSIGNERS.items():
        if name == "geodesic":
            continue
        one, two = (
            t.replace(assigner=assigner, images=images) for t in (of_kmeans if name == "nearest" else of_whitened)
        )
        tokens = two.encode(images)
        assert tokens.shape == (60, 1, 2, 2)
        assert two.token_shape == (1, 2, 2)
        assert two.codes.shape == (2, 4, 2)
        target = images if assigner.needs_images else wide(encode_two(images))
        errors = [((t.decode(t.encode(images)) - target) ** 2).sum() for t in (two, one)]
        # Of a product one quantizer may have the direction that this decoder does not see.
        assert errors[0] < errors[1] or (composition == "product" and errors[0] == errors[1]), name
        if name in ("amortised", "joint"):
            two.save(tmp_path / "t.npz")
            np.testing.assert_array_equal(Tokenizer.load(tmp_path / "t.npz", encode_two, wide).encode(images), tokens)
    with pytest.raises(InputError, match=r"shape \(n, 1, 2, 2\) with n of at least 1, found \(60, 1, 2\)"):
        two.decode(tokens[..., 0])
    with pytest.raises(InputError, match="Geodesic expects at most 1 codes a token, found 2"):
        two.replace(assigner=Geodesic())


def test_the_decoders_parameters_travel_on_request(images, tmp_path):
    tuned = Partial(lambda scale, z: scale * decode(z), np.float32(0.5))
    tokenizer = Tokenizer.fit(encode, tuned, images, num_codes=6, num_neighbours=4)
    tokenizer.save(tmp_path / "with.npz", decoder=True)
    tokenizer.save(tmp_path / "without.npz")
    fresh = Partial(tuned.func, np.float32(1.0))
    loaded = Tokenizer.load(tmp_path / "with.npz", encode, fresh)
    tokens = tokenizer.encode(images)
    np.testing.assert_array_equal(loaded.decode(tokens), tokenizer.decode(tokens))
    with pytest.raises(InputError, match="expected the decoder that it was made with"):
        Tokenizer.load(tmp_path / "without.npz", encode, fresh)
    other = Partial(lambda scale, z: scale[0] * decode(z), np.ones(2, np.float32))
    with pytest.raises(
        InputError,
        match=r"a decoder like the one whose parameters it holds, found shape \(2,\) at array 0 instead of \(\)",
    ):
        Tokenizer.load(tmp_path / "with.npz", encode, other)
    with pytest.raises(InputError, match="expected a function that carries its parameters"):
        Tokenizer.load(tmp_path / "with.npz", encode, decode)
    with pytest.raises(InputError, match=r"save with decoder=False"):
        Tokenizer.fit(encode, decode, images, num_codes=6, num_neighbours=4).save(tmp_path / "x.npz", decoder=True)
    assert not (tmp_path / "x.npz").exists()


def test_greedy_improves_any_tokens(images, fitted):
    tokens = fitted["nearest"].encode(images)
    before = ((fitted["nearest"].decode(tokens) - images) ** 2).sum(axis=(1, 2, 3))
    better = fitted["greedy"].encode(images, start=tokens)
    after = ((fitted["nearest"].decode(better) - images) ** 2).sum(axis=(1, 2, 3))
    assert (after <= before + 1e-5).all()
    assert after.sum() < before.sum()
    with pytest.raises(InputError, match="start: expected 3 grids, one for each image, found 60"):
        fitted["greedy"].encode(images[:3], start=tokens)
    with pytest.raises(
        InputError, match=r"start: expected tokens only for Amortised, Joint and Greedy.* found Nearest"
    ):
        fitted["nearest"].encode(images, start=tokens)


def test_joint_needs_the_images(images, fitted):
    latents = encode(images)
    with pytest.raises(InputError, match="images: expected those that the latents are of, found none"):
        fitted["joint"].assign_latents(latents)
    with pytest.raises(InputError, match="images: expected 60, one for each latent, found 2"):
        fitted["joint"].assign_latents(latents, images=images[:2])
    found = fitted["joint"].assign_latents(latents, images=images)
    np.testing.assert_array_equal(found, fitted["joint"].encode(images))


def test_bad_codebooks_are_refused():
    codes, metrics = np.zeros((3, 1), np.float32), np.ones((1, 2, 1, 1), np.float32)
    for codebook, message in (
        (Codebook(codes, metrics[0]), r"position_metrics: expected shape \(h, w, 1, 1\), found \(2, 1, 1\)"),
        (Codebook(codes, metrics * np.nan), "position_metrics: expected finite"),
        (Codebook(codes * np.nan, metrics), "codes: expected finite"),
        (Codebook(np.zeros((65, 3, 1)), metrics), "with S at most 64"),
    ):
        with pytest.raises(InputError, match=message):
            Tokenizer(encode, decode, codebook, assigner=Whitened(), image_shape=(2, 4, 1))
