"""The tokenizer with plain functions as VAE: what comes out, what is saved, and what is refused."""

import numpy as np
import pytest
from jax.tree_util import Partial

from geovq.assignment.dispatch import ASSIGNMENTS, NEEDS_IMAGES, Codebook
from geovq.codebook.names import CODEBOOKS, COMPOSITIONS
from geovq.models.token_data import keep_valid
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError


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
def fitted(images) -> dict[str, Tokenizer]:
    return {name: fit(images, assign=name) for name in ASSIGNMENTS}


def fit(images: np.ndarray, **options) -> Tokenizer:
    return Tokenizer.fit(encode, decode, images, **{"codes": 6, "neighbours": 4, **options})


@pytest.mark.parametrize("assign", ASSIGNMENTS)
@pytest.mark.parametrize("codebook", CODEBOOKS)
def test_every_codebook_with_every_assignment(codebook, assign, images):
    tokenizer = fit(images, codebook=codebook, assign=assign)
    tokens = tokenizer.encode(images)
    assert tokens.dtype == np.int32
    assert tokens.shape == (60, 1, 2)
    assert 0 <= tokens.min() <= tokens.max() < tokenizer.k == 6
    found = tokenizer.decode(tokens)
    assert found.shape == images.shape
    if assign in NEEDS_IMAGES:  # they come near to the images, which this VAE does not
        cheap = tokenizer.replace(assign="whitened")
        assert ((found - images) ** 2).sum() < ((cheap.decode(cheap.encode(images)) - images) ** 2).sum()
    else:
        assert np.abs(found - decode(encode(images))).mean() < 0.1


@pytest.mark.parametrize("assign", ASSIGNMENTS)
def test_save_and_load(assign, tmp_path, fitted, images):
    fitted[assign].save(tmp_path / "t.npz")
    loaded = Tokenizer.load(tmp_path / "t.npz", encode, decode)
    assert loaded.assign == assign
    np.testing.assert_array_equal(loaded.encode(images), fitted[assign].encode(images))
    np.testing.assert_array_equal(loaded.decode(loaded.encode(images)), fitted[assign].decode(loaded.encode(images)))


@pytest.mark.parametrize("assign", ASSIGNMENTS)
def test_tokens_of_an_image_do_not_depend_on_the_batch(assign, fitted, images):
    whole = fitted[assign].encode(images)
    np.testing.assert_array_equal(fitted[assign].encode(images[7:8])[0], whole[7])


def test_bytes_and_floats_give_the_same_tokens(fitted, images):
    as_bytes = np.round(images * 255).astype(np.uint8)
    np.testing.assert_array_equal(fitted["local"].encode(as_bytes), fitted["local"].encode(as_bytes / 255))


def test_local_changes_the_image_less_than_euclidean(fitted, images):
    """Near 0 the squared decoder hardly moves, so its metric allows larger latent steps there."""
    latents = encode(images)
    errors = {}
    for name in ("euclidean", "local"):
        quantized = fitted[name].codes[fitted[name].encode(images)]
        errors[name] = (((quantized - latents) * 2 * latents) ** 2).sum()
    assert errors["local"] <= errors["euclidean"]


def test_progress_counts_the_images(fitted, images):
    for name in ASSIGNMENTS:
        done: list[int] = []
        fitted[name].encode(images, done.append)
        assert sum(done) == len(images), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codes": 121}, "K in 1..120"),
        ({"codebook": "random"}, "codebook: expected one of"),
        ({"assign": "nearest"}, "assign: expected one of"),
        ({"neighbours": 120}, "120"),
        ({"measured_images": 0}, "measured_images: expected a whole number of at least 1, found 0"),
        ({"measured_images": 1.5}, "measured_images: expected a whole number"),
        ({"stages": "2"}, "stages: expected a whole number of at least 1, found '2'"),
        ({"probes": True}, "probes: expected a whole number"),
        ({"seed": -1}, "seed: expected a whole number of at least 0"),
        ({"codes": 8.0}, "codes: expected a whole number of at least 0, found 8.0"),
    ],
)
def test_bad_options_are_refused(options, message, images):
    with pytest.raises(InputError, match=message):
        fit(images, **options)


def test_decoder_of_another_image_shape_is_refused(images):
    with pytest.raises(InputError, match=r"decode: expected images \(1, 2, 4, 1\), found \(1, 4, 2, 1\)"):
        Tokenizer.fit(encode, lambda z: decode(z).reshape(-1, 4, 2, 1), images, codes=6, neighbours=4)


def test_encoder_without_a_grid_is_refused(images):
    with pytest.raises(InputError, match=r"latents \(n, h, w, d\) of 1 images, found \(1, 2\)"):
        Tokenizer.fit(lambda x: encode(x).reshape(-1, 2), decode, images, codes=6)


@pytest.mark.parametrize(
    ("factor", "message"), [(255, r"intensities in \[0, 1\], found"), (np.nan, "decoded images: expected finite")]
)
def test_decoder_of_other_values_is_refused(factor, message, images):
    with pytest.raises(InputError, match=message):
        Tokenizer.fit(encode, lambda z: factor * decode(z), images, codes=6, neighbours=4)


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
        (lambda x: x @ np.ones(7), decode, r"encode: expected .* are encode and decode in this order"),
        (None, decode, "encode: expected a function of a batch"),
        (encode, numpy_decode, r"decoder: expected a function of one latent .* that JAX can trace"),
    ],
)
def test_callables_that_fail_are_named(first, second, message, images):
    with pytest.raises(InputError, match=message):
        Tokenizer.fit(first, second, images, codes=6, neighbours=4)


def test_encoder_that_gives_nan_is_refused(images):
    with pytest.raises(InputError, match="latents: expected finite values"):
        Tokenizer.fit(lambda x: encode(x) * np.nan, decode, images, codes=6)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((1, 2, 4), np.float32), "expected shape"),
        (np.zeros((1, 4, 4, 1), np.float32), r"\(n, 2, 4, 1\), found \(1, 4, 4, 1\)"),
        (np.full((1, 2, 4, 1), 200.0, np.float32), "divide by 255"),
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
    from geovq.storage import save_arrays

    path = tmp_path / "t.npz"
    fitted["whitened"].save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="truncated"):
        Tokenizer.load(path, encode, decode)
    save_arrays(path, {"x": np.zeros(3)}, {"kind": "something else"})
    with pytest.raises(InputError, match="expected a tokenizer of version 3, found something else"):
        Tokenizer.load(path, encode, decode)


def test_vae_of_other_sizes_is_refused_on_loading(tmp_path, fitted):
    fitted["whitened"].save(tmp_path / "t.npz")
    with pytest.raises(InputError, match=r"encode: expected latents \(1, 1, 2, 1\) of 1 images, found \(1, 2, 1, 1\)"):
        Tokenizer.load(tmp_path / "t.npz", lambda x: encode(x).reshape(-1, 2, 1, 1), decode)


def test_geodesic_needs_a_graph(fitted):
    with pytest.raises(InputError, match="geodesic expects codes placed in a graph"):
        fitted["whitened"].replace(assign="geodesic")
    assert fitted["geodesic"].replace(assign="local").assign == "local"


def test_dropped_components_lose_images_that_are_counted():
    """Dark images and bright ones form two components; codes come from the larger, the others get no valid token."""
    rng = np.random.default_rng(0)
    images = np.concatenate([rng.uniform(0, 0.1, (40, 2, 4, 1)), rng.uniform(0.9, 1, (20, 2, 4, 1))]).astype(np.float32)
    tokenizer = fit(images, assign="geodesic", codebook="geodesic", components="drop", neighbours=20)
    tokens = tokenizer.encode(images)
    np.testing.assert_array_equal(tokens[40:], 6)
    assert 0 <= tokens[:40].min() <= tokens[:40].max() < 6
    with pytest.raises(InputError, match=r"found 40 outside, in 20 images, the first at \(40, 0, 0\)"):
        tokenizer.decode(tokens)
    kept, _, lost = keep_valid(tokens, None, tokenizer.k)
    assert (len(kept), lost) == (40, 20)
    bridged = fit(images, assign="geodesic", codebook="geodesic")
    assert bridged.encode(images).max() < 6


def test_parameters_can_travel_with_the_decoder(images):
    scaled = Partial(lambda scale, z: scale * decode(z), np.float32(0.5))
    tokenizer = Tokenizer.fit(encode, scaled, images, codes=6, neighbours=4, assign="local")
    assert tokenizer.encode(images).max() < 6


IN_ORDER = ("euclidean", "whitened", "local", "joint", "decoded")


def test_what_costs_more_reconstructs_better(images):
    """Random codes, so that there is much to choose; errors of the images themselves."""
    codes = np.random.default_rng(1).uniform(0, 1, (8, 1)).astype(np.float32)
    base = Tokenizer.from_codes(encode, decode, codes, images)
    errors = [
        ((base.replace(assign=name).decode(base.replace(assign=name).encode(images)) - images) ** 2).sum()
        for name in IN_ORDER
    ]
    assert errors[4] <= errors[3] + 1e-4
    assert errors[3] <= errors[2] + 1e-4
    assert errors[3] <= errors[1] + 1e-4


def test_codes_of_another_model(images, tmp_path):
    """What a VQ-VAE's user has: an encoder, a decoder and codes."""
    codes = np.linspace(0, 1, 5, dtype=np.float32)[:, None]
    tokenizer = Tokenizer.from_codes(encode, decode, codes, images, assign="euclidean")
    np.testing.assert_array_equal(tokenizer.encode(images), np.abs(encode(images) - codes[:, 0]).argmin(axis=-1))
    joint = tokenizer.replace(assign="joint")
    errors = [((t.decode(t.encode(images)) - images) ** 2).sum() for t in (tokenizer, joint)]
    assert errors[1] < errors[0]
    with pytest.raises(InputError, match=r"amortised expects kinds of images, .* Tokenizer\.amortised\(images\)"):
        tokenizer.replace(assign="amortised")
    quick = tokenizer.amortised(images)
    assert ((quick.decode(quick.encode(images)) - images) ** 2).sum() < errors[0]
    np.testing.assert_array_equal(quick.replace(assign="joint").encode(images), joint.encode(images))
    joint.save(tmp_path / "t.npz")
    np.testing.assert_array_equal(
        Tokenizer.load(tmp_path / "t.npz", encode, decode).encode(images), joint.encode(images)
    )
    with pytest.raises(InputError, match=r"codes: expected 1 dimensions, those of the latents, found shape \(5, 2\)"):
        Tokenizer.from_codes(encode, decode, np.zeros((5, 2)), images)
    with pytest.raises(InputError, match="expected another than geodesic"):
        Tokenizer.from_codes(encode, decode, codes, images, assign="geodesic")


@pytest.mark.parametrize("assign", [name for name in ASSIGNMENTS if name != "geodesic"])
@pytest.mark.parametrize("stacking", COMPOSITIONS)
def test_several_codes_a_token(stacking, assign, images, tmp_path):
    wide = Partial(lambda z: decode(z[..., :1] + 0.3 * z[..., 1:]))

    def encode_two(x):
        return np.concatenate([encode(x), encode(x) ** 3], axis=-1)

    def fitted(stages):
        options = {
            "codebook": "kmeans" if assign == "euclidean" else "whitened",
            "assign": assign,
            "stacking": stacking,
        }
        return Tokenizer.fit(encode_two, wide, images, codes=4, neighbours=4, stages=stages, **options)

    one, two = fitted(1), fitted(2)
    tokens = two.encode(images)
    assert tokens.shape == (60, 1, 2, 2)
    assert two.token_shape == (1, 2, 2)
    target = images if assign in NEEDS_IMAGES else wide(encode_two(images))
    errors = [((t.decode(t.encode(images)) - target) ** 2).sum() for t in (two, one)]
    # Of a product one stage may have the direction that this decoder does not see.
    assert errors[0] < errors[1] or (stacking == "product" and errors[0] == errors[1])
    two.save(tmp_path / "t.npz")
    np.testing.assert_array_equal(Tokenizer.load(tmp_path / "t.npz", encode_two, wide).encode(images), tokens)
    with pytest.raises(InputError, match=r"shape \(n, 1, 2, 2\) with n of at least 1, found \(60, 1, 2\)"):
        two.decode(tokens[..., 0])
    with pytest.raises(InputError, match="geodesic expects one code for a token, found stages"):
        two.replace(assign="geodesic")


def test_the_decoders_parameters_travel_on_request(images, tmp_path):
    tuned = Partial(lambda scale, z: scale * decode(z), np.float32(0.5))
    tokenizer = Tokenizer.fit(encode, tuned, images, codes=6, neighbours=4)
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
        Tokenizer.fit(encode, decode, images, codes=6, neighbours=4).save(tmp_path / "x.npz", decoder=True)
    assert not (tmp_path / "x.npz").exists()


def test_sweeps_improve_any_tokens(images, fitted):
    tokens = fitted["euclidean"].encode(images)
    before = ((fitted["euclidean"].decode(tokens) - images) ** 2).sum(axis=(1, 2, 3))
    better = fitted["euclidean"].improved(tokens, images)
    after = ((fitted["euclidean"].decode(better) - images) ** 2).sum(axis=(1, 2, 3))
    assert (after <= before + 1e-5).all()
    assert after.sum() < before.sum()
    with pytest.raises(InputError, match="images: expected 60, one for each grid of tokens, found 3"):
        fitted["euclidean"].improved(tokens, images[:3])


def test_joint_needs_the_images(images, fitted):
    latents = encode(images)
    with pytest.raises(InputError, match="images: expected those that the latents are of, found none"):
        fitted["joint"].assign_latents(latents)
    with pytest.raises(InputError, match="images: expected 60, one for each latent, found 2"):
        fitted["joint"].assign_latents(latents, images=images[:2])
    np.testing.assert_array_equal(
        fitted["joint"].assign_latents(latents, images=images), fitted["joint"].encode(images)
    )


def test_bad_statistics_are_refused():
    codes, metrics = np.zeros((3, 1), np.float32), np.ones((1, 2, 1, 1), np.float32)
    for codebook, message in (
        (Codebook(codes, metrics[0]), r"position_metrics: expected shape \(h, w, 1, 1\), found \(2, 1, 1\)"),
        (Codebook(codes, metrics * np.nan), "position_metrics: expected finite"),
        (Codebook(codes * np.nan, metrics), "codes: expected finite"),
        (Codebook(np.zeros((5, 3, 1)), metrics), "at most 4 stages"),
    ):
        with pytest.raises(InputError, match=message):
            Tokenizer(encode, decode, codebook, assign="whitened", image_shape=(2, 4, 1))
    with pytest.raises(InputError, match="probes: expected a whole number of at least 1, found 0"):
        Tokenizer(encode, decode, Codebook(codes, metrics), assign="joint", image_shape=(2, 4, 1), probes=0)
