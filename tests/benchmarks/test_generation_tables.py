"""The tables and pictures of the generation study, from rows made by hand."""

import numpy as np
import pytest
from PIL import Image

from benchmarks import entropy, perceptual
from benchmarks.common.rows import difference_of, interval_of, mean_of, select
from benchmarks.generation.figures import (
    confused,
    confusion,
    confusion_matrix,
    copies,
    most_confused,
    side_by_side,
    trade,
)
from benchmarks.generation.systems import System
from benchmarks.generation.tables import (
    apart,
    further,
    guidance,
    honest,
    legacy,
    likelihood,
    positions,
    predicted,
    reached,
    systems,
)


def made(**fields):
    """A row; guidance is given with samples alone."""
    return {"position": None, "rises": False, "low": fields["value"] - 1, "high": fields["value"] + 1, **fields}


@pytest.fixture
def rows():
    """One experiment, two seeds, and a control."""
    found = [made(case="unpaired", system="real", score="psnr", value=7.6)]
    for seed, offset in ((0, -1.0), (1, 1.0)):
        one = {
            "experiment": "3 geodesic medoids",
            "codebook": "geodesic",
            "name": "geodesic-geodesic",
            "transformer": "geodesic-geodesic",
            "decoder": "frozen",
            "system": "ours",
            "seed": seed,
            "epochs": 6,
        }
        found += [
            made(case="unpaired", score="psnr", value=9 + offset, **one),
            made(case="errors", score="squared_geodesic_error", value=0.3 + offset / 10, **one),
            made(case="errors", score="latent_error", value=2.0, **one),
            made(case="reconstructions", score="psnr", value=19 + offset, **one),
            made(case="reconstructions", score="frechet", value=5.0, **one),
            made(case="likelihood", model="Transformer", score="nats_per_token", value=3.5 + offset, **one),
            made(case="likelihood", model="unigram", score="nats_per_token", value=6.0, **one),
            made(case="samples", guidance=1.0, score="frechet", value=30 + offset, **one),
            made(case="samples", guidance=2.0, score="frechet", value=1000.0, **one),
            made(case="samples", guidance=2.0, score="frechet", value=700.0, **one) | {"rises": True},
        ]
    found.append(
        made(case="likelihood", model="Transformer", score="nats_per_token", value=99.0, name="x") | {"position": 0}
    )
    return found


def test_tables_are_means_over_seeds_in_their_columns(rows):
    heads, cells = legacy(rows)
    by_name = {row[0]: dict(zip(heads, row, strict=True)) for row in cells}
    assert by_name["(real)"]["PSNR"] == 7.6
    found = by_name["3 geodesic medoids"]
    assert (found["PSNR"], found["error of a token, own unit"]) == (9.0, pytest.approx(0.3))  # of paths, not of latents
    assert (found["PSNR then"], found["error then, own unit, a sum"]) == (8.2531, 3.40e5)
    heads, cells = honest(rows)
    found = dict(zip(heads, cells[0], strict=True))
    assert len(cells) == 1
    assert (found["PSNR dB"], found["latent²"], found["nats a token"], found["seeds"]) == (19, 2, 3.5, 2)
    assert str(found["Fréchet (95%)"]) == "30 (17.25 to 42.75)"
    assert found["Fréchet, guidance 1 to 2"] == 700
    assert found["class"] is None  # nothing was asked for
    assert mean_of(rows, case="samples", guidance=3.0) is None


def test_the_trade_is_drawn(rows, tmp_path):
    brackets = [made(case="bracket", system=system, score="frechet", value=2.0) for system in ("real", "vae")]
    trade([r for r in rows if r.get("name") != "x"] + brackets, tmp_path / "trade.png")
    assert (tmp_path / "trade.png").stat().st_size > 5000


@pytest.fixture
def tokens():
    """Two kinds of tokens and the brackets, of three classes."""
    found = [
        made(case="bracket", system=system, score="frechet", value=value)
        for system, value in (("real", 2.0), ("real, trained on", 1.0), ("vae", 4.0))
    ]
    for asked, seen, part in ((0, 0, 0.7), (0, 2, 0.3), (2, 0, 0.2), (1, 1, 1.0), (2, 2, 0.8)):
        found.append(made(case="bracket", system="real", score="fraction", asked=asked, seen=seen, value=part))
    for name, frechet in (("euclidean-euclidean", 40.0), ("metric-whitened-finetuned", 20.0)):
        transformer = name.removesuffix("-finetuned")
        one = {"name": name, "transformer": transformer, "system": "ours", "seed": 0, "epochs": 6}
        for model, nats in (("Transformer", 3.0), ("unigram per position", 5.0), ("unigram", 6.0), ("uniform", 6.2)):
            found.append(made(case="likelihood", model=model, score="nats_per_token", value=nats, **one))
        found += [
            made(case="likelihood", model="Transformer", score="nats_per_token", value=2.5, **one) | {"position": 0},
            made(case="reconstructions", score="psnr", value=21.0, **one),
            made(case="samples", guidance=1.0, score="frechet", value=frechet, **one),
            made(case="samples", guidance=1.0, score="class_accuracy", value=0.91, **one),
            made(case="samples", guidance=1.0, score="fraction", asked=0, seen=1, value=0.5, **one),
            made(case="samples", guidance=2.0, score="frechet", value=9.0, **one),
            made(case="samples", guidance=2.0, score="class_accuracy", value=0.99, **one),
            made(case="samples", guidance=2.0, score="class_accuracy", value=0.95, **one) | {"rises": True},
        ]
    return found


def by_first(table):
    heads, cells = table
    return [dict(zip(heads, row, strict=True)) for row in cells]


def test_brackets_come_first_and_samples_are_those_without_guidance(tokens):
    found = by_first(systems(tokens))
    assert [row["tokens (and decoder)"] for row in found][:3] == [
        "(real validation images)",
        "(the classifier's training images)",
        "(VAE reconstructions of validation images)",
    ]
    assert (found[0]["PSNR dB"], found[0]["Fréchet (95%)"].value) == (None, 2)
    ours = found[-1]
    assert (ours["tokens (and decoder)"], ours["PSNR dB"], ours["nats a token"]) == ("metric-whitened-finetuned", 21, 3)
    assert str(ours["Fréchet (95%)"]) == "20 (19 to 21)"
    assert (ours["seeds"], ours["class accuracy"]) == (1, 0.91)
    more = {row["tokens (and decoder)"]: row for row in by_first(further(tokens))}
    assert list(more) == [row["tokens (and decoder)"] for row in found]
    assert more["metric-whitened-finetuned"]["std of Fréchet over seeds"] is None


def test_likelihood_is_beside_frequencies_and_by_position(tokens):
    row = by_first(likelihood(tokens))[0]
    assert row["below per position, part"] == pytest.approx(0.4)
    assert (row["Transformer"], row["seeds"], row["epochs"]) == (3, 1, 6)
    assert by_first(positions(tokens))[0] == {"tokens": "euclidean-euclidean", "0": 2.5}


def test_every_weight_of_guidance_has_a_column(tokens):
    name = "metric-whitened-unconditional-finetuned"
    tokens.append(made(case="samples", name=name, guidance=1.0, score="frechet", value=15.0))
    found = by_first(guidance(tokens))
    assert [row["tokens (and decoder)"] for row in found] == ["euclidean-euclidean", "metric-whitened-finetuned"]
    for row in found:
        assert [row[f"class, {weight}"] for weight in ("1", "2", "1 to 2")] == [0.91, 0.99, 0.95]
        assert (row["Fréchet, 2"], row["Fréchet, 1 to 2"]) == (9, None)


def test_what_was_wanted_is_shown_as_far_as_it_was_measured(tokens):
    found = by_first(reached(tokens))
    assert [(row["what"], row["reached"]) for row in found] == [
        ("nats of metric-whitened below unigrams per position, part", "yes")
    ]


@pytest.mark.parametrize(("nats", "enough"), [(3.1, "yes"), (3.2, "no")])
@pytest.mark.parametrize("transformer", ["metric-whitened-free", "metric-whitened-free-long"])
def test_nats_are_wanted_of_all_whitened_tokens(tokens, transformer, nats, enough):
    one = {"case": "likelihood", "transformer": transformer, "score": "nats_per_token", "seed": 0}
    tokens += [made(model=model, value=v, **one) for model, v in (("Transformer", nats), ("unigram per position", 5.1))]
    row = by_first(reached(tokens))[1]
    assert (row["what"], row["reached"]) == (f"nats of {transformer} below unigrams per position, part", enough)


@pytest.mark.parametrize(("frechet", "enough"), [(30.0, "yes"), (38.5, "no"), (45.0, "no")])
def test_intervals_have_to_be_apart(tokens, frechet, enough):
    of = {"case": "samples", "name": "metric-joint-finetuned", "guidance": 1.0, "score": "frechet"}
    tokens.append(made(value=frechet, seed=0, **of))
    row = by_first(reached(tokens))[1]
    assert row["found (95%)"].endswith("; 40 (39 to 41)")
    assert (row["reached"], row["seeds"]) == (enough, 1)
    columns, cells = apart(tokens)
    assert [dict(zip(columns, line, strict=True)) for line in cells] == [row]


def test_differences_are_taken_seed_by_seed(tokens):
    of = {"case": "samples", "guidance": 1.0, "score": "frechet"}
    one, other = ({"name": name} for name in ("metric-joint-finetuned", "euclidean-euclidean"))
    rows = [made(value=value, seed=seed, **of, **one) for seed, value in enumerate((30.0, 33.0, 36.0, 99.0))]
    assert difference_of(rows + tokens, of | one, of | other) is None  # seed 0 alone has both
    rows += [made(value=value, seed=seed, **of, **other) for seed, value in enumerate((41.0, 43.0, 45.0))]
    half = 4.302653 * 1 / 3**0.5
    paired = difference_of(rows, of | one, of | other)
    assert paired == (-10, pytest.approx(-10 - half), pytest.approx(-10 + half), 1, 3)
    row = by_first(reached(rows))[0]
    assert row["found (95%)"].endswith("; seed by seed -10 (-12.48 to -7.516)")
    assert row["seeds"] == 3


def test_intervals_hold_seeds_and_images():
    of = {"case": "samples", "score": "frechet"}
    one = [made(value=4.0, seed=0, **of)]
    assert interval_of(one, **of) == (4, 3, 5, None, 1)
    three = [made(value=value, seed=seed, **of) for seed, value in enumerate((3.0, 4.0, 5.0))]
    found, half = interval_of(three, **of), (1 + (4.302653 * 1 / 3**0.5) ** 2) ** 0.5  # t of two degrees of freedom
    assert found == (4, pytest.approx(4 - half), pytest.approx(4 + half), 1, 3)


def test_classes_have_to_be_right_at_no_loss_of_likeness(tokens):
    name = "metric-whitened-unconditional-finetuned"
    tokens.append(made(case="samples", name=name, guidance=1.0, score="frechet", value=15.0))
    found = {row["what"].split(":")[0]: row["reached"] for row in by_first(reached(tokens))[1:]}
    assert found == {"metric-whitened-finetuned, guidance 1": "no", "metric-whitened-finetuned, guidance 2": "yes"}


def test_a_weight_on_lpips_has_to_pay(tokens):
    for name, lpips, psnr in (("metric-joint-finetuned", 0.1, 24.0), ("metric-joint-perceptual", 0.08, 23.4)):
        tokens.append(made(case="reconstructions", name=name, seed=0, score="lpips", value=lpips))
        tokens.append(made(case="reconstructions", name=name, seed=0, score="psnr", value=psnr))
    lpips, psnr = by_first(reached(tokens))[-2:]
    assert (lpips["reached"], psnr["reached"]) == ("yes", "no")


def test_weights_are_compared_with_none():
    found = [(0.0, "psnr", 24.0), (0.0, "lpips", 0.1), (20.0, "psnr", 23.75), (20.0, "lpips", 0.08)]
    rows = [made(lpips_weight=weight, score=score, value=value) for weight, score, value in found]
    free, weighted = by_first(perceptual.table(rows))
    assert (free["PSNR minus PSNR without, dB"], free["LPIPS relative to none"]) == (0, 1)
    assert (weighted["weight"], weighted["PSNR minus PSNR without, dB"]) == (20, -0.25)
    assert weighted["LPIPS relative to none"] == pytest.approx(0.8)


def test_the_most_confused_classes_are_shown(tokens, tmp_path):
    matrix = confusion_matrix(tokens, 3, case="bracket", system="real")
    assert matrix.tolist() == [[0.7, 0, 0.3], [0, 1, 0], [0.2, 0, 0.8]]
    assert most_confused(matrix) == (0, 2)
    names = ("shirt", "bag", "coat")
    pictures = {what: np.full((3, 4, 8, 8, 1), 0.5, np.float32) for what in ("real", "metric-whitened-finetuned")}
    confused(tokens, pictures, names, tmp_path / "confused.png")
    with Image.open(tmp_path / "confused.png") as picture:
        assert picture.height == 4 * (2 * 8 + 2)  # two classes of two sets
    side_by_side(pictures, tmp_path / "samples.png")
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.height == 2 * (2 * 8 + 2)  # a line for each set, of two images of each class
    confusion(tokens, names, tmp_path / "confusion.png")
    with Image.open(tmp_path / "confusion.png") as picture:
        assert picture.width == 2 * 6 * 120  # real images, and the one kind of tokens that is drawn


def test_samples_are_shown_above_the_training_images_that_they_are_nearest_to(tmp_path):
    pair = np.stack([np.zeros((10, 8, 8, 1)), np.ones((10, 8, 8, 1))]).astype(np.float32)
    copies({"euclidean-euclidean": pair, "metric-whitened": pair}, tmp_path / "drawn.png")
    copies({"metric-whitened": pair, "metric-whitened-free": pair}, tmp_path / "none.png")
    with Image.open(tmp_path / "drawn.png") as drawn, Image.open(tmp_path / "none.png") as both:
        assert both.height == 2 * drawn.height  # all, where there is none of those that are drawn


def test_a_seed_counts_once_however_many_decoders_share_its_transformer(tokens):
    of = {"case": "likelihood", "model": "Transformer", "score": "nats_per_token", "transformer": "x"}
    found = [
        made(name=name, seed=seed, value=nats, **of)
        for name, seed, nats in (("a", 0, 3.0), ("b", 0, 3.0), ("a", 1, 5.0))
    ]
    mean = interval_of(found, transformer="x")
    assert mean is not None
    assert (mean.value, mean.spread, mean.seeds) == (4.0, pytest.approx(2**0.5), 2)
    assert mean_of(found, transformer="x") == 4.0


def test_nats_have_a_line_for_each_assignment_and_weight():
    found = [
        made(case="tokens", steps=steps, assign=assign, nat_weight=weight, score=score, value=value + offset)
        for steps, offset in (("amortised", 0.0), ("joint", 10.0))
        for assign, weight, values in (("whitened", None, (22.0, 4.2, 0.0)), (steps, 0.1, (23.0, 3.9, 0.5)))
        for score, value in zip(("psnr", "nats_per_token", "changed"), values, strict=True)
    ]
    heads, cells = entropy.table(found)
    assert len(heads) == 5
    assert cells[0] == ["(whitened, for amortised)", None, 22.0, 4.2, 0.0]
    assert cells[3] == ["joint", 0.1, 33.0, 13.9, 10.5]


def rows_of(system: System, nats: float):
    one = {**system.fields, "epochs": 3, "images": 200, "seed": 0}
    likelihood = {"case": "likelihood", "score": "nats_per_token", "low": None, "high": None}
    for split, more in (("validation", 0.5), ("test", 0.0)):
        for model, value in (("unigram per position", 4.0), ("Transformer", nats + more)):
            yield one | likelihood | {"split": split, "model": model, "value": value}
        for position in range(2):
            of = {"split": split, "model": "Transformer", "position": position}
            yield one | likelihood | of | {"value": nats + more + position}
    psnr = one | {"split": "test", "case": "reconstructions", "score": "psnr", "low": None, "high": None}
    yield psnr | {"decoder": "frozen", "value": 21.0}
    if system.decoder == "finetuned":
        yield psnr | {"decoder": "finetuned", "value": 22.0}


LONG = System("metric", "whitened", "finetuned", noise_variance=0.005, training="long")


def test_predicted_tokens_have_a_line_for_each_system():
    rows = [*rows_of(System("metric", "joint"), 3.0), *rows_of(LONG, 2.0)]
    heads, cells = predicted(rows)
    assert [dict(zip(heads, line, strict=True)) for line in cells] == [
        {
            "tokens": name,
            "β": beta,
            "training images": 200,
            "epochs": 3,
            "PSNR dB": 21.0,
            "fine-tuned, dB": psnr,
            "unigram per position, nats": 4.0,
            "Transformer, nats": nats,
            "below per position, part": 1 - nats / 4,
            "on validation images": 1 - (nats + 0.5) / 4,
        }
        for name, beta, psnr, nats in (
            ("metric-joint", "held bits", None, 3.0),
            ("metric-whitened-0.005-long", 0.005, 22.0, 2.0),
        )
    ]
    assert positions(select(rows, split="test"))[1] == [
        ["metric-joint", 3.0, 4.0],
        ["metric-whitened-0.005-long", 2.0, 3.0],
    ]
