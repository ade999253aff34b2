"""What benchmarks.generation and benchmarks.study train, and their tables from rows made by hand."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from benchmarks import longer
from benchmarks.common.means import difference_of, interval_of, mean_of
from benchmarks.common.record import file_name
from benchmarks.generation import program as generation_program
from benchmarks.generation.brackets import BLUR, SHOWN, UNPAIRED
from benchmarks.generation.cells import GUIDANCE, VERSION, kept
from benchmarks.generation.figures import (
    confused,
    confusion,
    confusion_matrix,
    copies,
    most_confused,
    side_by_side,
    trade,
)
from benchmarks.generation.likelihood_tables import likelihood, positions
from benchmarks.generation.program import measured_into
from benchmarks.generation.rows import Measured
from benchmarks.generation.runs import Generation
from benchmarks.generation.schedules import SCHEDULES, Extent, schedule_label
from benchmarks.generation.study_tables import ORIGINAL, honest, legacy
from benchmarks.generation.systems import EXPERIMENTS, ONCE, REPLICATED, SYSTEMS
from benchmarks.generation.tables import (
    COMPARED,
    apart,
    further,
    guidance,
    prices,
    prices_of_nats,
    reached,
    systems,
)
from benchmarks.tokenizer.systems import begun_as, images_of
from geovq.storage import read_json
from geovq.validation import InputError
from train.config.checks import check_config
from train.config.options import PRESETS, DataOptions
from train.evaluation.judge import PAIRS
from train.run.folder import Run


def test_names_tell_systems_apart_and_equal_ones_share_a_run():
    systems = {*SYSTEMS, *EXPERIMENTS.values()}
    assert len({system.name for system in systems}) == len(systems)
    assert {system.name for system in SYSTEMS} & {system.name for system in EXPERIMENTS.values()}
    assert set(ORIGINAL) < set(EXPERIMENTS)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("system", dict.fromkeys([*SYSTEMS, *EXPERIMENTS.values()]), ids=lambda system: system.name)
def test_every_system_is_one_that_train_gpt_takes(schedule, system, tmp_path):
    generation = Generation(tmp_path, None, SCHEDULES[schedule])
    tokenizers = generation.tokenizers.schedule
    preset = PRESETS[tokenizers.preset]
    config = dataclasses.replace(preset, codebook=tokenizers.codebook, gpt=generation.options(system, 0))
    check_config(config, ("gpt",))
    if system.decoder != "own":
        tuned = dataclasses.replace(config, finetune=generation.tuning(system))
        check_config(tuned, ("finetune",))
        assert bool(tuned.finetune.lpips_weight) == (system.decoder == "perceptual")
    assert (config.gpt.codebook, config.gpt.assigner) == (system.codebook, system.assign)
    assert (config.gpt.layers > 4) == system.large


def test_large_transformers_are_trained_less_and_one_more():
    reduced, full = (SCHEDULES[name] for name in ("reduced", "full"))
    small, large, first = SYSTEMS[0], EXPERIMENTS["5 as 4, large"], EXPERIMENTS["1 Euclidean medoids"]
    long = next(system for system in SYSTEMS if system.training == "long")
    assert [reduced.epochs_of(system) for system in (large, small, first, long)] == [1, 2, 2, 10]
    assert [full.epochs_of(system) for system in (large, small, first, long)] == [100, 100, 50, 200]
    label = schedule_label("full", full, SYSTEMS)
    assert label.startswith("full: 100 epochs of the small Transformer, 200 in long training; decoders")
    label = schedule_label("reduced", reduced, [small, large, first])
    assert label.startswith("reduced: 2 epochs of the small Transformer and 1 epoch of the large Transformer, at most")
    assert label.endswith("; decoders tuned in 2 passes; 5,000 images in a set")
    label = schedule_label("reduced", dataclasses.replace(reduced, sets=2), [small])
    assert label.endswith("; 5,000 images in a set, 2 sets of samples")


def test_longer_training_is_of_what_was_to_be_compared():
    wanted = {name for pair in COMPARED for name in pair if not name.endswith("perceptual")}
    assert {*longer.SYSTEMS} == wanted | {"metric-joint"}
    assert {*longer.SYSTEMS} - {*longer.NEAREST} == {"euclidean-euclidean", "euclidean-euclidean-finetuned"}
    usual = SCHEDULES["reduced"]
    for name, epochs in (("reduced", 6), ("long", 10)):
        found = longer.SCHEDULES[name]
        assert {found.epochs_of(system) for system in longer.SYSTEMS.values()} == {epochs}
        assert dataclasses.replace(found, epochs=usual.epochs, sets=1, seeds=usual.seeds) == usual


def test_a_benchmark_of_schedules_of_its_own(tmp_path, monkeypatch):
    asked, seen = Run(tmp_path, PRESETS["quick"]), []
    monkeypatch.setattr(Generation, "classifier", lambda self: SimpleNamespace(fingerprint=lambda stage: "sha"))

    def measured(generation, classifier, systems, seeds, field):
        seen.append((generation.schedule, tuple(systems), seeds))
        return Measured([], {}, {}, ())

    monkeypatch.setattr(generation_program, "measure", measured)
    known, reduced, long = longer.SYSTEMS, longer.SCHEDULES["reduced"], longer.SCHEDULES["long"]
    for name, wanted in (("reduced", ()), ("reduced", ("metric-joint",)), ("long", ())):
        measured_into("longer", "name", known, wanted, asked, Extent(name, output=tmp_path), {}, longer.SCHEDULES)
    assert seen == [
        (reduced, tuple(known), (0,)),
        (reduced, ("metric-joint",), (0,)),
        (long, tuple(known), (0,)),
    ]
    for name, beginning in (("longer", "reduced: 6 epochs of the small"), ("longer_long", "long: 10 epochs")):
        assert read_json(tmp_path / f"{name}.json")["meta"]["schedule"].startswith(beginning)
    assert (tmp_path / "longer_part.json").exists()


def test_one_trained_longer_shares_its_tokens_with_one_that_is_not():
    found = {
        system.tokens: [s.transformer for s in SYSTEMS if s.tokens == system.tokens]
        for system in SYSTEMS
        if system.training == "long"
    }
    assert found == {"metric-whitened-free": ["metric-whitened-free", "metric-whitened-free-long"]}


def test_only_what_is_compared_has_all_seeds_on_the_reduced_schedule(tmp_path):
    def seeds(schedule, system):
        generation = Generation(tmp_path, None, SCHEDULES[schedule])
        return [seed for seed in generation.schedule.seeds if generation.has(system, seed)]

    assert seeds("reduced", REPLICATED[0]) == [0, 1, 2]
    assert seeds("reduced", ONCE[0]) == [0]
    assert seeds("full", ONCE[0]) == [0, 1, 2]
    assert seeds("reduced", EXPERIMENTS["2 Euclidean medoids, K = 1024, large"]) == [0]
    assert seeds("reduced", EXPERIMENTS["6 as 4, class-conditional"]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("seeds", "name", "missing"),
    [((), "study", 0), ((0,), "study_part", 0), ((2, 1, 0), "study", 0), ((1, 2), "study_part", 4)],
)
def test_a_results_file_that_lacks_systems_says_so(seeds, name, missing, tmp_path, monkeypatch, capsys):
    asked = Run(tmp_path, PRESETS["quick"])
    monkeypatch.setattr(Generation, "classifier", lambda self: SimpleNamespace(fingerprint=lambda stage: "sha"))
    monkeypatch.setattr(
        generation_program, "measure", lambda generation, classifier, systems, seeds, field: Measured([], {}, {}, ())
    )
    extent = Extent(seeds=seeds, output=tmp_path)
    path, _ = measured_into("study", "experiment", EXPERIMENTS, (), asked, extent, {})
    assert path == tmp_path / name
    assert path.with_suffix(".json").exists()
    printed = capsys.readouterr().out
    assert ("left out" in printed) == bool(missing)
    assert sum(experiment in printed for experiment in EXPERIMENTS) == missing
    with pytest.raises(InputError, match="seeds: expected a whole number of at least 0, found -1"):
        measured_into("study", "experiment", EXPERIMENTS, (), asked, Extent(seeds=(0, -1)), {})
    with pytest.raises(InputError, match="seeds: expected 0, the only one of 3 geodesic medoids"):
        measured_into("study", "experiment", EXPERIMENTS, ["3 geodesic medoids"], asked, Extent(seeds=(1,)), {})


@pytest.mark.parametrize(
    ("schedule", "whole", "name"),
    [
        ("reduced", True, "study"),
        ("reduced", False, "study_part"),
        ("full", True, "study_full"),
        ("full", False, "study_part"),
        ("smoke", True, "study_part"),
    ],
)
def test_results_of_one_extent_leave_those_of_another(schedule, whole, name):
    assert file_name("study", schedule, whole) == name


def test_cells_of_other_settings_need_another_version():
    """Cells are computed again when VERSION changes; raise it together with any of these."""
    assert (VERSION, GUIDANCE) == (4, ((1.0, False), (1.5, False), (2.0, False), (2.0, True)))
    assert (SHOWN, UNPAIRED, BLUR, PAIRS) == (10, 2000, 2.0, 1000)


def test_reduced_seeds_share_their_tokens(tmp_path):
    reduced, full = (Generation(tmp_path, None, SCHEDULES[name]) for name in ("reduced", "full"))
    assert [reduced.tokenizer_seed(seed) for seed in (0, 1, 2)] == [0, 0, 0]
    assert [full.tokenizer_seed(seed) for seed in (0, 1, 2)] == [0, 1, 2]


def test_tokens_are_made_once_for_all_transformers_of_a_folder(tmp_path):
    generation = Generation(tmp_path, None, SCHEDULES["reduced"])
    system = EXPERIMENTS["3 geodesic medoids"]
    run = Run(tmp_path / f"gpt-{system.transformer}-0", PRESETS["demo"])
    other_tokens, other_seed, same = (
        tmp_path / name for name in ("gpt-euclidean-euclidean-0", "gpt-geodesic-geodesic-1", "gpt-geodesic-geodesic-0")
    )
    for folder in (run.folder, other_tokens, other_seed):
        (folder / "gpt").mkdir(parents=True)
        (folder / "gpt/tokens.npz").touch()
    full = dataclasses.replace(generation, schedule=SCHEDULES["full"])
    assert full.with_tokens(system, 0, run) is None
    found = generation.with_tokens(system, 0, run)
    assert found is not None
    assert found.folder == other_seed  # which has the same tokenizer
    (same / "gpt").mkdir(parents=True)
    assert full.with_tokens(system, 0, run) is None  # nothing is in there
    (same / "gpt/tokens.npz").touch()
    for asked in (generation, full):
        found = asked.with_tokens(system, 0, run)
        assert found is not None
        assert found.folder == same


def test_a_decoder_has_no_transformer_of_its_own():
    by_transformer: dict[str, list[str]] = {}
    for system in SYSTEMS:
        by_transformer.setdefault(system.transformer, []).append(system.name)
    assert by_transformer["metric-joint"] == ["metric-joint", "metric-joint-finetuned", "metric-joint-perceptual"]
    assert len(by_transformer) < len(SYSTEMS)


def test_the_prior_of_a_priced_system_is_one_that_is_compared():
    priced = [system for system in SYSTEMS if system.priced]
    assert {system.prior for system in priced} <= {*REPLICATED}
    assert all(system.prior is None for system in SYSTEMS if system not in priced)
    assert all(system.tokens != dataclasses.replace(system, priced=False).tokens for system in priced)


def test_a_copied_run_is_refused_once_it_is_another(tmp_path):
    made, run = (Run(tmp_path / name, PRESETS["demo"]) for name in ("made", "run"))

    def trained(content):
        stage = made.begin("vae", ("data", "vae"), {"data": content})
        assert stage is not None
        (stage.folder / "out").write_text(content)
        stage.finish("vae/out")

    trained("once")
    begun_as(made, run, ("vae",))
    begun_as(made, run, ("vae",))
    assert (run.folder / "vae/out").read_text() == "once"
    (made.folder / "vae").rename(tmp_path / "away")
    trained("again")
    with pytest.raises(InputError, match=rf"{run.folder}: expected vae as in {made.folder}.* move {run.folder} away"):
        begun_as(made, run, ("vae",))


def test_benchmarks_take_no_images_but_their_own():
    assert images_of(DataOptions(data_dir="there")) == "there"
    with pytest.raises(InputError, match=r"split_seed=3.*give --data-dir alone"):
        images_of(DataOptions(split_seed=3))


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


def test_a_price_on_lpips_has_to_pay(tokens):
    for name, lpips, psnr in (("metric-joint-finetuned", 0.1, 24.0), ("metric-joint-perceptual", 0.08, 23.4)):
        tokens.append(made(case="reconstructions", name=name, seed=0, score="lpips", value=lpips))
        tokens.append(made(case="reconstructions", name=name, seed=0, score="psnr", value=psnr))
    lpips, psnr = by_first(reached(tokens))[-2:]
    assert (lpips["reached"], psnr["reached"]) == ("yes", "no")


def test_prices_are_compared_with_none():
    found = [(0.0, "psnr", 24.0), (0.0, "lpips", 0.1), (20.0, "psnr", 23.75), (20.0, "lpips", 0.08)]
    free, priced = by_first(prices([made(price=price, score=score, value=value) for price, score, value in found]))
    assert (free["PSNR less that without, dB"], free["LPIPS over that without"]) == (0, 1)
    assert (priced["price"], priced["PSNR less that without, dB"]) == (20, -0.25)
    assert priced["LPIPS over that without"] == pytest.approx(0.8)


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


def test_seeds_that_a_system_does_not_have_are_refused(tmp_path):
    generation = Generation(tmp_path, None, SCHEDULES["reduced"])
    generation.check_seeds({"a": REPLICATED[0]}, [1])
    with pytest.raises(InputError, match="expected 0, the only one of a on this schedule, found 1, 2; change --seeds"):
        generation.check_seeds({"a": ONCE[0]}, [1, 2])


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


def test_a_damaged_cell_is_computed_again(tmp_path, capsys):
    path, made_from = tmp_path / "cell.npz", {"judge": "a"}
    assert kept(path, made_from, lambda: ([{"value": 1}], {}))[0] == [{"value": 1}]
    assert kept(path, made_from, lambda: ([{"value": 2}], {}))[0] == [{"value": 1}]
    path.write_bytes(path.read_bytes()[:100])
    assert kept(path, made_from, lambda: ([{"value": 3}], {}))[0] == [{"value": 3}]
    assert "It is computed again." in capsys.readouterr().out
    assert kept(path, {"judge": "b"}, lambda: ([{"value": 4}], {}))[0] == [{"value": 4}]


def test_prices_of_nats_have_a_line_for_each_assignment_and_price():
    found = [
        made(case="tokens", steps=steps, assign=assign, price=price, score=score, value=value + offset)
        for steps, offset in (("amortised", 0.0), ("joint", 10.0))
        for assign, price, values in (("whitened", None, (22.0, 4.2, 0.0)), (steps, 0.1, (23.0, 3.9, 0.5)))
        for score, value in zip(("psnr", "nats_per_token", "changed"), values, strict=True)
    ]
    heads, cells = prices_of_nats(found)
    assert len(heads) == 5
    assert cells[0] == ["(whitened, for amortised)", None, 22.0, 4.2, 0.0]
    assert cells[3] == ["joint", 0.1, 33.0, 13.9, 10.5]
