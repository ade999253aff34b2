"""Measured once, fitted often: the same tokenizers as by `fit`, from files too, and only what is needed is measured."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.amortised import Amortised
from geovq.assignment.base import Assigner
from geovq.assignment.geodesic import Geodesic
from geovq.assignment.whitened import Whitened
from geovq.batching.plan import Plan
from geovq.codebook.names import CODEBOOKS
from geovq.codebook.recipe import STATISTICS, needed_statistics
from geovq.decoder.autoencoder import encode_images
from geovq.geometry.measured import Geometry
from geovq.storage.arrays import save_arrays
from geovq.tokenizer import fitting
from geovq.tokenizer.fitting import measure
from geovq.tokenizer.measured import Measured
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError
from tests.typechecker import annotations_off

IMAGES = np.random.default_rng(0).integers(20, 240, (50, 2, 4, 1), dtype=np.uint8)
OPTIONS: dict[str, Any] = {"num_neighbours": 4, "seed": 3}


def encode(images):
    """Mean and contrast of each half: (n, 1, 2, 2) latents of (n, 2, 4, 1) images."""
    halves = images.reshape(-1, 2, 2, 2)
    rows = halves.mean(axis=3)
    return jnp.stack([rows.mean(axis=1), rows[:, 0] - rows[:, 1]], axis=-1)[:, None]


def decode(latents):
    """Each latent makes both rows of its half; squared, so that the metric is not constant."""
    mean, contrast = latents[:, 0, :, :1], latents[:, 0, :, 1:]
    rows = jnp.concatenate([mean**2 + contrast / 2, mean**2 - contrast / 2], axis=2)  # (n, halves, rows)
    return jnp.repeat(rows.swapaxes(1, 2), 2, axis=2)[..., None]


@pytest.fixture(scope="module")
def measured() -> dict[str, Measured]:
    return {name: measure(encode, decode, IMAGES, statistics=name, **OPTIONS) for name in STATISTICS}


def from_measured(found: Measured, **options: Any) -> Tokenizer:
    return Tokenizer.from_measured(
        encode, decode, found, **{"num_codes": 6, "assigner": Whitened(), "seed": 3, **options}
    )


@pytest.mark.parametrize("codebook", CODEBOOKS)
def test_the_same_tokenizer_as_by_fit(codebook, measured, tmp_path):
    wanted = Tokenizer.fit(encode, decode, IMAGES, num_codes=6, codebook=codebook, assigner=Whitened(), **OPTIONS)
    measured[needed_statistics(codebook)].save(tmp_path / "m.npz")
    for found in (measured["graph"], Measured.load(tmp_path / "m.npz")):
        tokenizer = from_measured(found, codebook=codebook, images=IMAGES if codebook == "refined" else None)
        np.testing.assert_array_equal(tokenizer.codes, wanted.codes)
        np.testing.assert_array_equal(tokenizer.codebook.position_metrics, wanted.codebook.position_metrics)
        assert tokenizer.image_shape == wanted.image_shape


@pytest.mark.parametrize("assigner", [Geodesic(), Amortised()], ids=["geodesic", "amortised"])
def test_assigners_are_measured_as_by_fit(assigner, measured):
    wanted = Tokenizer.fit(encode, decode, IMAGES, num_codes=6, assigner=assigner, **OPTIONS).encode(IMAGES)
    found = from_measured(measured["graph"], assigner=assigner, images=IMAGES)
    np.testing.assert_array_equal(found.encode(IMAGES), wanted)
    other = from_measured(measured["graph"]).replace(
        assigner=assigner, images=IMAGES, geometry=measured["graph"].geometry, seed=3
    )
    np.testing.assert_array_equal(other.encode(IMAGES), wanted)


@pytest.mark.parametrize("statistics", STATISTICS)
def test_files_hold_all_of_it(statistics, measured, tmp_path):
    measured[statistics].save(tmp_path / "m.npz")
    found, wanted = Measured.load(tmp_path / "m.npz"), measured[statistics]
    assert (
        (found.image_shape, found.latent_shape) == (wanted.image_shape, wanted.latent_shape) == ((2, 4, 1), (1, 2, 2))
    )
    np.testing.assert_array_equal(found.latents, wanted.latents)
    assert type(found.statistics) is type(wanted.statistics)
    for name, value in wanted.statistics._asdict().items():
        again = getattr(found.statistics, name)
        if name in ("straight", "geodesic"):
            again, value = again.toarray(), value.toarray()
        np.testing.assert_array_equal(again, value)
    (tmp_path / "m.npz").write_bytes((tmp_path / "m.npz").read_bytes()[:-40])
    with pytest.raises(InputError, match="cannot be read"):
        Measured.load(tmp_path / "m.npz")
    save_arrays(tmp_path / "m.npz", {"x": np.zeros(3)}, {"kind": "geovq.tokenizer"})
    with pytest.raises(InputError, match=r"expected measurements of version 1, found geovq\.tokenizer"):
        Measured.load(tmp_path / "m.npz")


@pytest.mark.parametrize(
    ("statistics", "options", "message"),
    [
        ("means", {"codebook": "metric"}, r"expected statistics 'tokens', which the codebook metric .*found 'means'"),
        (
            "tokens",
            {"codebook": "geodesic"},
            r"expected statistics 'graph', which the codebook geodesic .*found 'tokens'",
        ),
        ("tokens", {"assigner": Geodesic()}, "measured: expected the graph, in which Geodesic finds its paths"),
        (
            "tokens",
            {"codebook": "refined"},
            "images: expected training images, by which the codebook refined is measured",
        ),
        (
            "means",
            {"assigner": Amortised()},
            r"images: expected training images.*Tokenizer.from_measured\(..., images=",
        ),
        ("means", {"images": IMAGES[:, :1]}, r"images: expected shape \(n, 2, 4, 1\), found \(50, 1, 4, 1\)"),
        ("means", {"num_codes": 101}, r"num_codes: expected K in 1\.\.100"),
        ("means", {"num_quantizers": 0}, "num_quantizers: expected a whole number of at least 1"),
        (
            "means",
            {"assigner": Amortised(), "images": IMAGES, "plan": Plan(passes=0)},
            "plan: expected at least 1 pass",
        ),
        ("means", {"plan": Plan(memory=1)}, "plan: expected at least"),
    ],
)
def test_what_does_not_fit_is_refused(statistics, options, message, measured):
    with pytest.raises(InputError, match=message):
        from_measured(measured[statistics], **options)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ((lambda x: 1.1 * encode(x), decode), "expected the encoder that it was made with.*measure this one"),
        ((encode, lambda z: 1 - decode(z)), "expected the decoder that it was made with"),
        ((encode, lambda z: decode(z)[:, :1]), r"decode: expected images \(2, 2, 4, 1\), found \(2, 1, 4, 1\)"),
    ],
)
def test_another_vae_is_refused(other, message, measured):
    with pytest.raises(InputError, match=message):
        Tokenizer.from_measured(other[0], other[1], measured["means"], num_codes=6)


def test_something_else_than_measurements_is_refused():
    with annotations_off(), pytest.raises(InputError, match=r"expected what geovq\.measure returns, found ndarray"):
        Tokenizer.from_measured(encode, decode, IMAGES)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"statistics": "all"}, "statistics: expected one of means, tokens, graph, found 'all'"),
        ({"max_images": 0}, "max_images: expected a whole number of at least 1"),
        ({"max_tokens": 2.5}, "max_tokens: expected a whole number of at least 1"),
        ({"components": "join"}, "components: expected one of bridge, drop"),
        ({"probes": 0}, "probes: expected a whole number in 1..65536, found 0"),
        ({"seed": -1}, "seed: expected a whole number in 0.."),
        ({"plan": Plan(passes=0)}, "plan: expected at least 1 pass"),
    ],
)
def test_bad_options_are_refused_before_anything_is_computed(options, message):
    with annotations_off(), pytest.raises(InputError, match=message):
        measure(lambda x: pytest.fail("encoded"), decode, IMAGES, **options)


@pytest.mark.parametrize(
    ("codebook", "assigner", "avoided"),
    [("whitened", Whitened(), ("connect_tokens", "token_metrics")), ("metric", Whitened(), ("connect_tokens",))],
)
def test_fit_measures_only_what_is_needed(codebook, assigner: Assigner, avoided, monkeypatch):
    for name in avoided:
        monkeypatch.setattr(fitting, name, lambda *args, name=name, **options: pytest.fail(name))
    tokenizer = Tokenizer.fit(
        encode, decode, IMAGES, num_codes=6, codebook=codebook, assigner=assigner, probes=3, max_images=20
    )
    assert tokenizer.num_codes == 6


def test_tokens_of_the_graph_are_bounded(measured):
    found = measure(encode, decode, IMAGES, max_tokens=20, **OPTIONS).statistics
    assert isinstance(found, Geometry)
    assert found.weights.sum() == 20
    every = {row.tobytes(): metric for row, metric in zip(*measured["graph"].statistics[0::2][:2], strict=True)}
    for node, metric in zip(found.nodes, found.metrics, strict=True):
        np.testing.assert_array_equal(metric, every[node.tobytes()])
    np.testing.assert_array_equal(found.mean_metric, measured["graph"].statistics.mean_metric)  # of all measured tokens


def test_latents_of_large_grids_are_bounded(monkeypatch):
    """Images are encoded as far as they are needed, and a few times more than are measured."""
    monkeypatch.setattr("geovq.tokenizer.defaults.EXACT_SIZE", 1)
    monkeypatch.setattr("geovq.tokenizer.defaults._ENCODED_TOKENS", 60)
    done: list[int] = []
    found = measure(encode, decode, IMAGES, max_images=10, progress=done.append, **OPTIONS)
    assert len(found.latents) == 2 * 30
    assert sum(done) == 30 + 10 + 10
    exact = measure(encode, decode, IMAGES, probes=None, **OPTIONS).statistics.mean_metric
    np.testing.assert_allclose(found.statistics.mean_metric, exact, atol=0.3 * np.trace(exact))


def test_bytes_are_converted_a_batch_at_a_time(monkeypatch):
    seen: list[Any] = []
    monkeypatch.setattr("geovq.decoder.autoencoder.BATCH", 8)

    def watch(images):
        seen.append((images.dtype, len(images)))
        return encode(images)

    found = encode_images(watch, IMAGES)
    assert {dtype for dtype, _ in seen} == {np.dtype(np.float32)}
    assert max(count for _, count in seen) == 8
    np.testing.assert_array_equal(found, encode_images(encode, IMAGES.astype(np.float32) / 255))


@pytest.mark.filterwarnings("ignore::geovq.ConventionWarning")
@pytest.mark.parametrize("statistics", STATISTICS)
def test_a_decoder_that_no_latent_moves_is_refused(statistics):
    with pytest.raises(
        InputError, match="expected images that change with the latents, found that the decoder's derivatives"
    ):
        measure(encode, lambda latents: 0 * decode(latents) + 0.5, IMAGES, statistics=statistics, **OPTIONS)


def test_latents_that_are_all_alike_are_named():
    with pytest.raises(InputError, match=r"num_codes: expected K in 1\.\.1, .*found all alike, for K = 6"):
        Tokenizer.fit(encode, decode, 0 * IMAGES, num_codes=6, codebook="kmeans", assigner=Whitened(), **OPTIONS)
