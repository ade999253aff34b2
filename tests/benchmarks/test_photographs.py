"""The benchmark of photographs: rivals' codes and sums of rates by hand, and the whole of it on tiny networks."""

import json
import sys

import numpy as np
import pytest

from benchmarks.common import rows
from benchmarks.common.published import load_vae
from benchmarks.common.rows import select
from benchmarks.photographs import __main__ as program
from benchmarks.photographs import bounds, codecs, figures, frechet, measure, rivals, tables
from benchmarks.photographs.rates import entropy_bits, rate_saved
from benchmarks.photographs.schedules import SCHEDULES
from benchmarks.photographs.systems import EUCLIDEAN, Crops, Rate, System
from geovq.assignment.nearest_codes import nearest_tokens
from geovq.numerics.additive import sum_codes
from geovq.tokenizer.tokenizer import Tokenizer


def test_bits_go_where_the_error_is_largest():
    np.testing.assert_array_equal(rivals.allocate_bits(np.array([16.0, 1.0, 0.1]), 4), [3, 1, 0])


@pytest.mark.parametrize("name", ["uniform", "quantile"])
def test_levels_are_of_one_channel_each(name, rng):
    latents = (rng.normal(size=(2000, 3)) * [3, 1, 0.1] + [1, 2, 3]).astype(np.float32)
    codes = rivals.fit_rival(name, latents, Rate(2, 5), 0)
    assert codes.shape == (3, 8, 3)  # three bits, two, and none
    assert [len(np.unique(codes[s, :, s])) for s in range(3)] == [8, 4, 1]
    off = codes * (1 - np.eye(3)[:, None])
    np.testing.assert_array_equal(off, 0)
    error = ((sum_codes(codes, nearest_tokens(latents, codes)) - latents) ** 2).mean(axis=0)
    # Lloyd-Max errors of a normal distribution are 0.0345 and 0.1175 of the variance (Max 1960); ours are a little larger.
    assert (error > np.array([0.034 * 9, 0.117, 0.01]) * 0.8).all()
    assert (error < np.array([0.09 * 9, 0.25, 0.0115])).all()


def test_uniform_levels_have_one_distance(rng):
    codes = rivals.fit_rival("uniform", rng.normal(size=(2000, 1)).astype(np.float32), Rate(8), 0)
    steps = np.diff(codes[0, :, 0])
    np.testing.assert_allclose(steps, steps[0], rtol=1e-4)
    assert 0.5 < steps[0] < 0.65  # 0.586 is the best for a normal distribution (Max 1960)


def test_gaussian_codes_have_groups_of_channels(rng):
    latents = rng.normal(size=(500, 4)).astype(np.float32) * 3
    codes = rivals.fit_rival("gaussian", latents, Rate(16, 2), 0)
    assert codes.shape == (2, 16, 4)
    assert not codes[0, :, 2:].any()
    assert not codes[1, :, :2].any()
    assert 1.5 < codes[0, :, :2].std() < 4.5


@pytest.mark.parametrize("name", ["beam", "lsq"])
def test_quantizers_of_faiss_are_made_again_from_their_codes(name, rng):
    pytest.importorskip("faiss")
    latents = rng.normal(size=(2000, 4)).astype(np.float32)
    codes = rivals.fit_rival(name, latents, Rate(16, 3), 0)
    choice = rivals.own_choice(name, codes)
    assert choice is not None
    tokens = choice(latents)
    assert tokens.shape == (2000, 3)
    ours = ((sum_codes(codes, nearest_tokens(latents, codes)) - latents) ** 2).sum()
    theirs = ((sum_codes(codes, tokens) - latents) ** 2).sum()
    assert theirs < 1.05 * ours  # a search over all codes of a token is not worse than one code after the other


def test_numbers_are_unpacked_lowest_bit_first():
    packed = np.array([[0b10110001, 0b00000001]], np.uint8)
    np.testing.assert_array_equal(rivals._unpack(packed, 3, 3), [[0b001, 0b110, 0b110]])


def test_a_curve_that_takes_half_the_bits_saves_half():
    rates = np.array([0.1, 0.2, 0.4, 0.8])
    quality = np.array([20.0, 22, 24, 26])
    assert rate_saved((rates, quality), (rates / 2, quality)) == pytest.approx(0.5)
    assert rate_saved((rates, -quality), (rates / 2, -quality)) == pytest.approx(0.5)  # lower is better
    assert np.isnan(rate_saved((rates, quality), (rates, quality + 10)))
    assert np.isnan(rate_saved((rates, quality), (rates, quality[[0, 2, 1, 3]])))


def test_a_system_that_takes_half_the_bits_saves_half(rng):
    images = rng.normal(size=5)[:, None]
    quality = np.array([20.0, 22, 24, 26]) + images

    def curve(rates):
        scores = [{"psnr": quality[:, i], "lpips": -quality[:, i] / 100} for i in range(4)]
        return {rate: (score, rate / 2) for rate, score in zip(rates, scores, strict=True)}

    rates, key = np.array([0.1, 0.2, 0.4, 0.8]), ("taesd", Crops(5, 96), 0)
    joint = System("default", "joint")
    found = list(measure._saved({(*key, EUCLIDEAN): curve(rates), (*key, joint): curve(rates / 2)}))
    assert len(found) == 4  # at equal PSNR and at equal LPIPS, nominal and entropy-coded
    for row in found:
        assert row["assign"] == "joint"
        np.testing.assert_allclose([row["value"], row["low"], row["high"]], 0.5, atol=1e-6)
    assert tables.saved(found)[1] == [["taesd", "96x96", "default", "joint", *["50 (50 to 50)"] * 4, 3]]


def test_repeated_codes_count_once():
    codes = np.array([[[0.0], [1], [2], [2]], [[5], [6], [7], [8]]])
    tokens = np.array([[3, 0], [2, 0]])  # one of three different codes, and one of four
    assert measure.usage_of(tokens, codes) == pytest.approx((1 / 3 + 1 / 4) / 2)


def test_even_codes_take_all_their_bits_and_one_code_takes_none():
    even = np.tile(np.arange(4), 1000)[:, None]
    one = np.zeros((4000, 1), int)
    both = np.concatenate([even, one], axis=1)
    np.testing.assert_allclose(entropy_bits(both, both, 4), [2, 0], atol=0.01)


def test_optimised_latents_are_closer_to_the_image():
    def encode(images):
        return 0.5 * images[:, ::8, ::8]

    def decode(latents):
        return latents.repeat(8, 1).repeat(8, 2)

    image = np.full((1, 16, 16, 3), 0.6, np.float32)
    errors = [
        float(((way - image) ** 2).mean())
        for way in (
            bounds.encoded(encode, decode, image),
            bounds.optimised(encode, decode, image, steps=5),
            bounds.optimised(encode, decode, image, steps=60),
        )
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3


def test_codecs_take_more_bits_for_better_images(rng):
    pytest.importorskip("PIL")
    image = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    for codec in codecs.available():
        found = codecs.curve(codec, [image, image])
        errors = [np.mean((decoded[0].astype(float) - image) ** 2) for _, decoded, _ in found]
        assert errors[-1] < errors[0]
        assert found[-1][2] > found[0][2]


def test_every_study_has_its_bound():
    for schedule in SCHEDULES.values():
        assert {(study.autoencoder, study.crops) for study in schedule.studies} <= {*schedule.bounds}


def test_the_busiest_part_is_magnified():
    image = np.full((40, 60, 3), 0.5)
    image[22:38:2, 32:48] = 1
    assert figures.busiest(image, 20) == (20, 30)


def test_windows_cover_an_image():
    image = np.arange(160 * 112 * 3, dtype=np.float32).reshape(160, 112, 3)
    found = frechet.windows_of(image)
    assert found.shape == (3 * 2, 64, 64, 3)
    np.testing.assert_array_equal(found[-1], image[96:160, 48:112])
    assert frechet.windows_of(image[:48]).shape == (2, 48, 48, 3)


@pytest.mark.slow
def test_the_whole_benchmark(published, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rows, "RESAMPLES", 3)  # a Fréchet distance of 512 features takes a tenth of a second
    folders = [
        word for name, folder in (published | {"run": tmp_path / "run"}).items() for word in (f"--{name}", folder)
    ]
    flags = ["--schedule", "smoke", "--rivals", "uniform", "gaussian", "--only", "taesd"]
    monkeypatch.setattr(sys, "argv", ["photographs", *map(str, folders), *flags, "--output", str(tmp_path)])
    program.main()
    found = json.loads((tmp_path / "photographs_part.json").read_text())["rows"]
    assert {each["case"] for each in found} >= {"photographs", "bound", "codec", "choice", "frechet", "speed"}
    assert all(table(found)[1] for name, table in tables.TABLES.items() if name not in ("saved", "finetuned"))
    assert {each["codebook"] for each in select(found, case="photographs")} >= {
        "kmeans",
        "uniform",
        "geodesic",
        "product",
    }
    assert all((tmp_path / f"photographs_part_{name}.png").exists() for name in ("curves", "pictures", "errors"))
    capsys.readouterr()
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.npz")}
    program.main()  # nothing is computed again
    assert written == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.npz")}
    assert json.loads((tmp_path / "photographs_part.json").read_text())["rows"] == found

    # A tokenizer that keeps the decoder as it was is no better and no worse than the frozen one.
    vae = load_vae(published["autoencoders"].resolve(), "taesd")
    kept = Tokenizer.load(tmp_path / "run" / "codebooks" / "taesd-16x3-default-0.npz", *vae)
    kept.save(tmp_path / "kept.npz", decoder=True)
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--finetuned", f"as-it-was={tmp_path / 'kept.npz'}"])
    program.main()
    rows_of = json.loads((tmp_path / "photographs_part_finetuned.json").read_text())["rows"]
    assert json.loads((tmp_path / "photographs_part.json").read_text())["rows"] == found
    differences = select(rows_of, case="finetuned", peer="frozen", score="psnr_difference")
    assert [each["value"] for each in differences] == [0, 0]
    assert len(tables.finetuned(rows_of)[1]) == 2
