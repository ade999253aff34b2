"""What the generation study trains: systems, schedules, and the runs that they share."""

import dataclasses
from types import SimpleNamespace

import pytest

from benchmarks.common.harness import FOLDER, file_name
from benchmarks.generation import measure
from benchmarks.generation.measure import VERSION, Asked, Measured, run_study
from benchmarks.generation.runs import Generation
from benchmarks.generation.schedules import STUDIES, ScheduleName, schedule_label
from benchmarks.generation.scores import BLUR, GUIDANCE, SHOWN, UNPAIRED
from benchmarks.generation.systems import (
    CHOSEN,
    EXPERIMENTS,
    LONGER,
    LONGEST,
    ONCE,
    PREDICTED,
    REPLICATED,
    VARIANCES,
    System,
)
from benchmarks.generation.tables import COMPARED, ORIGINAL, below_unigrams
from benchmarks.tokenizer.systems import check_data, start_from
from geovq.codebook.names import CODEBOOKS
from geovq.storage.records import read_json
from geovq.validation import InputError
from train.config.checks import check_config
from train.config.names import ASSIGNERS
from train.config.options import PRESETS, DataOptions, VAEOptions
from train.evaluation.judge import PAIRS
from train.run.folder import Run

SYSTEMS = (*REPLICATED, *ONCE)
SIZES = STUDIES["generation"].sizes
EVERY = [(schedule, size) for schedule, study in STUDIES.items() for size in study.sizes]


def test_names_tell_systems_apart_and_equal_ones_share_a_run():
    systems = {*SYSTEMS, *EXPERIMENTS.values()}
    assert len({system.name for system in systems}) == len(systems)
    assert {system.name for system in SYSTEMS} & {system.name for system in EXPERIMENTS.values()}
    assert set(ORIGINAL) < set(EXPERIMENTS)


@pytest.mark.parametrize(("schedule", "size"), EVERY)
def test_train_takes_every_system(schedule, size, tmp_path):
    settings, systems, _ = STUDIES[schedule].at(size)
    generation = Generation(tmp_path, None, settings)
    preset = PRESETS[settings.tokenizer.preset]
    for system in systems.values():
        tokenizers = generation.tokenizers_of(system).schedule
        assert system.codebook in (*tokenizers.codebook.codebooks, "baseline")
        config = dataclasses.replace(preset, codebook=tokenizers.codebook, gpt=generation.options(system, 0))
        check_config(config, ("gpt",))
        if system.decoder != "own":
            tuned = dataclasses.replace(config, finetune=generation.tuning(system))
            check_config(tuned, ("finetune",))
            assert bool(tuned.finetune.lpips_weight) == (system.decoder == "perceptual")
        assert (config.gpt.codebook, config.gpt.assigner) == (system.codebook, system.assign)
        assert (config.gpt.layers > 4) == system.large


def test_large_transformers_are_trained_less_and_one_more():
    small, large, first = SYSTEMS[0], EXPERIMENTS["5 as 4, large"], EXPERIMENTS["1 Euclidean medoids"]
    long = next(system for system in SYSTEMS if system.training == "long")
    assert [SIZES["reduced"].epochs_of(system) for system in (large, small, first, long)] == [1, 2, 2, 10]
    assert [SIZES["full"].epochs_of(system) for system in (large, small, first, long)] == [100, 100, 50, 200]


def test_the_original_experiments_have_their_epochs():
    full = STUDIES["study"].sizes["full"]
    assert [full.epochs_of(EXPERIMENTS[name]) for name in ORIGINAL] == [50, 100, 100]
    assert [EXPERIMENTS[name].num_codes for name in ORIGINAL] == [512, 1024, 512]
    assert [EXPERIMENTS[name].large for name in ORIGINAL] == [False, True, False]


@pytest.mark.parametrize(
    ("schedule", "size", "begins", "ends"),
    [
        ("generation", "full", "full: 100 epochs of the small Transformer, 200 in long training, all", ""),
        (
            "generation",
            "reduced",
            "reduced: 2 epochs of the small",
            "; decoders tuned in 2 passes; 5,000 images in a set",
        ),
        (
            "study",
            "reduced",
            "reduced: 2 epochs of the small Transformer and 1 epoch of the large Transformer, at most",
            "",
        ),
        ("longest", "reduced", "reduced: 10 epochs", "; 5,000 images in a set, 2 sets of samples"),
        ("likelihood", "reduced", "reduced: 3 epochs", "6 in long training; VAEs of 8 epochs"),
    ],
)
def test_a_results_file_says_its_schedule(schedule, size, begins, ends):
    study = STUDIES[schedule]
    label = schedule_label(size, study, study.sizes[size])
    assert label.startswith(begins.replace(", all", ""))
    assert label.endswith(ends)


def test_longer_training_has_the_systems_that_are_compared():
    wanted = {name for pair in COMPARED for name in pair if not name.endswith("perceptual")}
    assert {system.name for system in LONGER} == wanted | {"metric-joint"}
    assert {system.tokens for system in LONGER} - {system.tokens for system in LONGEST} == {"euclidean-euclidean"}
    for found, epochs, sets in (
        (STUDIES["longer"].sizes["reduced"], 6, 1),
        (STUDIES["longest"].sizes["reduced"], 10, 2),
    ):
        assert {found.epochs_of(system) for system in LONGER} == {epochs}
        usual = SIZES["reduced"]
        assert dataclasses.replace(found, epochs=usual.epochs, sets=1, seeds=usual.seeds) == usual
        assert (found.seeds, found.sets) == ((0,), sets)


def test_every_codebook_and_every_assignment_is_predicted_once():
    assert len({system.name for system in PREDICTED}) == len(PREDICTED)
    held = [system for system in PREDICTED if system.noise_variance is None]
    assert {system.codebook for system in held if system.assign == "whitened"} == {*CODEBOOKS}
    assert {system.assign for system in held if system.codebook == "metric"} == {*ASSIGNERS}
    left_out = STUDIES["likelihood"].at("reduced")[1]
    assert {system.assign for system in left_out.values()} == {*ASSIGNERS} - {"geodesic", "greedy"}


def test_a_part_of_the_images_is_for_usual_training_alone(tmp_path):
    generation = Generation(tmp_path, None, STUDIES["likelihood"].sizes["reduced"])
    usual, long = System("metric", "whitened", noise_variance=CHOSEN), PREDICTED[-1]
    assert [generation.options(system, 0).max_images for system in (usual, long)] == [15_000, 0]
    assert [generation.options(system, 0).epochs for system in (usual, long)] == [3, 6]
    (tmp_path / f"gpt-{usual.transformer}-0/gpt").mkdir(parents=True)
    (tmp_path / f"gpt-{usual.transformer}-0/gpt/tokens.npz").touch()
    assert generation.with_tokens(long, 0, Run(tmp_path / "gpt-long", PRESETS["quick"])) is None


def test_each_vae_has_a_folder_of_its_own(tmp_path):
    generation = Generation(tmp_path, None, STUDIES["likelihood"].sizes["reduced"])
    found: dict[str, set[tuple[float, float]]] = {}
    for system in PREDICTED:
        tokenizers = generation.tokenizers_of(system)
        vae = tokenizers._config(0).vae
        found.setdefault(tokenizers.folder.name, set()).add((vae.bits, vae.noise_variance))
    assert found == {
        tmp_path.name: {(9.0, VAEOptions.noise_variance)},
        "beta-0.005-metric": {(0, 0.005)},
        "beta-0.002-metric": {(0, 0.002)},
    }


def test_the_best_on_validation_images_is_trained_for_longer():
    rows = read_json(FOLDER / "likelihood.json")["rows"]
    of_validation = [row for row in rows if row["split"] == "validation"]
    parts = {beta: below_unigrams(of_validation, f"metric-whitened-{beta:g}") or 0 for beta in VARIANCES}
    assert max(parts, key=lambda beta: parts[beta]) == CHOSEN


def test_systems_are_wanted_by_name_or_number():
    study = STUDIES["study"]
    assert list(study.at("full", ("1", "3"))[1]) == ["1 Euclidean medoids", "3 geodesic medoids"]
    assert study.at("full")[2]
    assert not study.at("full", ("1",))[2]
    assert list(STUDIES["longer"].at("reduced", ("metric-joint",))[1]) == ["metric-joint"]
    with pytest.raises(
        InputError, match=r"systems: expected some of vqvae-euclidean, .*, found 'metric'; change --systems"
    ):
        STUDIES["longest"].at("reduced", ("metric",))
    with pytest.raises(InputError, match="size: expected reduced or smoke on this schedule, found full"):
        STUDIES["longer"].at("full")


def test_one_trained_longer_shares_its_tokens_with_one_that_is_not():
    found = {
        system.tokens: [s.transformer for s in SYSTEMS if s.tokens == system.tokens]
        for system in SYSTEMS
        if system.training == "long"
    }
    assert found == {"metric-whitened-free": ["metric-whitened-free", "metric-whitened-free-long"]}


def test_only_what_is_compared_has_all_seeds_on_the_reduced_schedule(tmp_path):
    def seeds(schedule, system):
        generation = Generation(tmp_path, None, SIZES[schedule])
        return [seed for seed in generation.schedule.seeds if generation.has(system, seed)]

    assert seeds("reduced", REPLICATED[0]) == [0, 1, 2]
    assert seeds("reduced", ONCE[0]) == [0]
    assert seeds("full", ONCE[0]) == [0, 1, 2]
    assert seeds("reduced", EXPERIMENTS["2 Euclidean medoids, K = 1024, large"]) == [0]
    assert seeds("reduced", EXPERIMENTS["6 as 4, class-conditional"]) == [0, 1, 2]


@pytest.fixture
def nothing_trained(monkeypatch):
    """Studies that train nothing and find nothing; returns what they would have measured."""
    seen: list = []
    monkeypatch.setattr(Generation, "classifier", lambda self: SimpleNamespace(fingerprint=lambda stage: "sha"))

    def measured(generation, classifier, systems, seeds, field):
        seen.append((generation.schedule, tuple(systems), seeds, field))
        return Measured([], {}, {}, ())

    monkeypatch.setattr(measure, "measure", measured)
    return seen


@pytest.mark.parametrize(
    ("seeds", "name", "missing"),
    [((), "study", 0), ((0,), "study_part", 0), ((2, 1, 0), "study", 0), ((1, 2), "study_part", 4)],
)
def test_a_results_file_that_lacks_systems_says_so(seeds, name, missing, tmp_path, nothing_trained, capsys):
    asked = Asked("reduced", (), seeds, tmp_path)
    path, _ = run_study(STUDIES["study"], asked, tmp_path, DataOptions(), {})
    assert path == tmp_path / name
    assert path.with_suffix(".json").exists()
    printed = capsys.readouterr().out
    assert ("left out" in printed) == bool(missing)
    assert sum(experiment in printed for experiment in EXPERIMENTS) == missing


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked("reduced", (), (0, -1), FOLDER), "seeds: expected a whole number of at least 0, found -1"),
        (Asked("reduced", ("3",), (1,), FOLDER), "seeds: expected 0, the only one of 3 geodesic medoids"),
    ],
)
def test_seeds_are_refused_before_anything_is_trained(asked, said, tmp_path, nothing_trained):
    with pytest.raises(InputError, match=said):
        run_study(STUDIES["study"], asked, tmp_path, DataOptions(), {})
    assert nothing_trained == []


def test_each_schedule_has_its_results_file(tmp_path, nothing_trained):
    wanted: tuple[tuple[ScheduleName, tuple[str, ...]], ...] = (
        ("longer", ()),
        ("longer", ("metric-joint",)),
        ("longest", ()),
        ("generation", ()),
    )
    for schedule, systems in wanted:
        run_study(STUDIES[schedule], Asked("reduced", systems, (), tmp_path), tmp_path, DataOptions(), {})
    assert {path.stem for path in tmp_path.glob("*.json")} == {"longer", "longer_part", "longer_long", "generation"}
    assert [len(names) for _, names, _, _ in nothing_trained] == [6, 1, 4, 19]
    assert {field for *_, field in nothing_trained} == {"name"}


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
    assert (VERSION, GUIDANCE) == (5, ((1.0, False), (1.5, False), (2.0, False), (2.0, True)))
    assert (SHOWN, UNPAIRED, BLUR, PAIRS) == (10, 2000, 2.0, 1000)


def test_reduced_seeds_share_their_tokens(tmp_path):
    reduced, full = (Generation(tmp_path, None, SIZES[name]) for name in ("reduced", "full"))
    assert [reduced.tokenizer_seed(seed) for seed in (0, 1, 2)] == [0, 0, 0]
    assert [full.tokenizer_seed(seed) for seed in (0, 1, 2)] == [0, 1, 2]


def test_tokens_are_made_once_for_all_transformers_of_a_folder(tmp_path):
    generation = Generation(tmp_path, None, SIZES["reduced"])
    system = EXPERIMENTS["3 geodesic medoids"]
    run = Run(tmp_path / f"gpt-{system.transformer}-0", PRESETS["demo"])
    other_tokens, other_seed, same = (
        tmp_path / name for name in ("gpt-euclidean-euclidean-0", "gpt-geodesic-geodesic-1", "gpt-geodesic-geodesic-0")
    )
    for folder in (run.folder, other_tokens, other_seed):
        (folder / "gpt").mkdir(parents=True)
        (folder / "gpt/tokens.npz").touch()
    full = dataclasses.replace(generation, schedule=SIZES["full"])
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


def test_the_prior_of_an_entropy_constrained_system_is_compared():
    entropic = [system for system in SYSTEMS if system.entropy]
    assert {system.prior for system in entropic} <= {*REPLICATED}
    assert all(system.prior is None for system in SYSTEMS if system not in entropic)
    assert all(system.tokens != dataclasses.replace(system, entropy=False).tokens for system in entropic)


def test_a_copied_run_is_refused_once_it_is_another(tmp_path):
    made, run = (Run(tmp_path / name, PRESETS["demo"]) for name in ("made", "run"))

    def trained(content):
        stage = made.begin("vae", ("data", "vae"), {"data": content})
        assert stage is not None
        (stage.folder / "out").write_text(content)
        stage.finish("vae/out")

    trained("once")
    start_from(made, run, ("vae",))
    start_from(made, run, ("vae",))
    assert (run.folder / "vae/out").read_text() == "once"
    (made.folder / "vae").rename(tmp_path / "away")
    trained("again")
    with pytest.raises(InputError, match=rf"{run.folder}: expected vae as in {made.folder}.* move {run.folder} away"):
        start_from(made, run, ("vae",))


def test_benchmarks_take_no_images_but_their_own():
    check_data(DataOptions(data_dir="there"))
    with pytest.raises(InputError, match=r"split_seed=3.*give --data-dir alone"):
        check_data(DataOptions(split_seed=3))


def test_seeds_that_a_system_does_not_have_are_refused(tmp_path):
    generation = Generation(tmp_path, None, SIZES["reduced"])
    generation.check_seeds({"a": REPLICATED[0]}, (1,))
    with pytest.raises(InputError, match="expected 0, the only one of a on this schedule, found 1, 2; change --seeds"):
        generation.check_seeds({"a": ONCE[0]}, (1, 2))
