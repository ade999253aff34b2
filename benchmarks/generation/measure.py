"""All rows of a study: trains what is not trained yet, and keeps each cell in a file, for a study that is killed."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from benchmarks.common.harness import file_name, kept, save
from benchmarks.common.rows import Row, Table, mean_row
from benchmarks.generation.runs import Generation, Trained
from benchmarks.generation.schedules import Study, schedule_label
from benchmarks.generation.scores import (
    Samples,
    Validation,
    controls,
    draw_samples,
    errors,
    gallery,
    likelihood,
    of_vae,
    reconstructions,
    samples,
)
from benchmarks.generation.systems import System
from benchmarks.tokenizer.systems import Size
from geovq.codebook.names import CODEBOOKS
from geovq.scores.reconstruction import psnr
from geovq.validation import check_images, check_whole
from train.config.options import DataOptions, token_codes
from train.evaluation.judge import Judge
from train.evaluation.report import save_grid, text_table
from train.run.folder import Run
from train.stages import image_tokens, tokenizers
from train.stages import inputs as stages

VERSION = 5
"""Of what is computed; another one makes every cell again."""


class Measured(NamedTuple):
    """What was found."""

    rows: list[Row]
    pictures: dict[str, Float[np.ndarray, "classes SHOWN H W C"]]
    """Images of each class: real ones, then samples of every system, of its first seed."""
    nearest: dict[str, Float[np.ndarray, "2 SHOWN H W C"]]
    """Of every system's first seed: the samples nearest to training images, and these training images."""
    classes: tuple[str, ...]
    """Names of the classes."""


class Asked(NamedTuple):
    """What the caller wants of a study."""

    size: Size
    systems: Sequence[str]
    """Names; all if there is none."""
    seeds: Sequence[int]
    """All of the schedule if there is none."""
    output: pathlib.Path
    """Folder of the results."""


def run_study(
    study: Study, asked: Asked, folder: pathlib.Path, data: DataOptions, tables: Mapping[str, Callable[..., Table]]
) -> tuple[pathlib.Path, Measured]:
    """Trains and measures systems, prints their tables and writes the results file.

    Args:
        study: The systems, their schedules and what is measured.
        asked: The part of it that is wanted.
        folder: The run folder.
        data: The images.
        tables: Of rows, by caption.

    Returns:
        The results file's path without an ending, and what was measured.

    Raises:
        InputError: An unknown system or size, a negative seed, or seeds that a system does not have that is wanted by name.
    """
    schedule, systems, all_systems = study.at(asked.size, asked.systems)
    for seed in asked.seeds:
        check_whole("seeds", seed, 0)
    seeds = tuple(dict.fromkeys(asked.seeds)) or schedule.seeds
    generation = Generation(folder, data.data_dir, schedule)
    if asked.systems:
        generation.check_seeds(systems, seeds)
    if none := [name for name, system in systems.items() if not any(generation.has(system, seed) for seed in seeds)]:
        print(f"{study.results}: left out, since they have none of these seeds: {', '.join(none)}", flush=True)
    systems = {name: system for name, system in systems.items() if name not in none}
    made_with: dict[str, str] = {}
    if study.measured == "nats":
        found = Measured(measure_nats(generation, systems, seeds), {}, {}, ())
    else:
        classifier = generation.classifier()
        made_with["classifier"] = classifier.fingerprint("classifier")
        found = measure(generation, classifier, systems, seeds, study.field)
    for caption, table in tables.items():
        print(f"\n{caption}\n{text_table(*table(found.rows))}", flush=True)
    name = file_name(study.results, asked.size, all_systems and not none and {*schedule.seeds} <= {*seeds})
    label = schedule_label(asked.size, study, schedule)
    save(name, found.rows, seeds_in(found.rows, data.split_seed, generation), label, asked.output, **made_with)
    return asked.output / name, found


def measure(
    generation: Generation, classifier: Run, systems: Mapping[str, System], seeds: Sequence[int], field: str
) -> Measured:
    """Samples, reconstructions, nats and errors of systems.

    Args:
        generation: Where, and on which schedule.
        classifier: In whose features images are compared.
        systems: By name.
        seeds: Of the Transformers, and on a whole schedule of all networks; not every system has all of them.
        field: Of a row, for the system's name.
    """
    judge, validation = Judge.of(classifier), Validation.of(classifier, generation.schedule.images)
    folder, count = generation.folder / "generation", len(validation.images)
    real = kept(folder / "real.npz", _label({}, judge, count), lambda: (controls(classifier, judge, validation), {}))
    rows = list(real[0])
    for first in dict.fromkeys(generation.tokenizer_seed(seed) for seed in seeds):
        run = generation.tokenizers.vae(first)
        rows += [r | {"seed": first} for r in _of_vae(folder, run, judge, validation)]
    pictures = {"real": gallery(validation.images, validation.labels, judge.classes)}
    nearest: dict[str, np.ndarray] = {}
    reconstructed = set()
    for seed in seeds:
        for name, system in systems.items():
            if not generation.has(system, seed):
                continue
            trained = generation.trained(system, seed)
            of = _fields(trained) | {field: name}
            of_tokens = generation.tokenizer_seed(seed)
            if (name, of_tokens) not in reconstructed:
                reconstructed.add((name, of_tokens))
                found = _reconstructed(folder, trained, of_tokens, judge, validation)
                rows += [of | {"seed": of_tokens} | r for r in found]
            cell = _sampled(folder, trained, judge, count, generation.schedule.sets)
            rows += [of | {"seed": seed} | r for r in cell.rows]
            pictures.setdefault(name, cell.shown)
            nearest.setdefault(name, cell.nearest)
    return Measured(rows, pictures, nearest, stages.class_names(classifier))


def measure_nats(generation: Generation, systems: Mapping[str, System], seeds: Sequence[int]) -> list[Row]:
    """Nats of a token of validation and test images, and the PSNR of the tokenizer's own and the fine-tuned decoder."""
    rows: list[Row] = []
    for seed in seeds:
        for system in systems.values():
            if generation.has(system, seed):
                trained = generation.trained(system, seed)
                images = len(image_tokens.load(trained.run)["train"])
                of = _fields(trained) | {"images": images, "seed": seed}
                rows += [of | found for found in nats_and_psnr(trained)]
    return rows


def nats_and_psnr(trained: Trained) -> list[Row]:
    """Rows of one Transformer; `split` says of which images."""
    run = trained.run
    rows = [r | {"split": "validation"} for r in likelihood(run, "val")]
    rows += [r | {"split": "test"} for r in likelihood(run, "test")]
    images = check_images(stages.images(run.config.data).dataset.test_images)
    decoders = {"frozen": tokenizers.of_gpt(run, "euclidean")}  # decoding is the same for all assigners
    decoders |= {} if trained.tuned is None else {"finetuned": trained.tokenizer()}
    for name, tokenizer in decoders.items():
        decoded = tokenizer.decode(image_tokens.load(run)["test"].reshape(-1, *tokenizer.token_shape))
        case: Row = {"case": "reconstructions", "decoder": name, "split": "test"}
        rows.append(mean_row(case, "psnr", psnr(images, decoded)))
    return rows


def seeds_in(rows: Sequence[Row], split: int, generation: Generation) -> dict[str, int]:
    """What a results file says of its seeds: which are of all networks, and which of a Transformer alone."""
    seeds = sorted({r["seed"] for r in rows if "seed" in r})
    named = {seed: "networks" if generation.tokenizer_seed(seed) == seed else "Transformer" for seed in seeds}
    return {"split": split, **generation.fixed_seeds} | {f"{what} {seed}": seed for seed, what in named.items()}


def _fields(trained: Trained) -> Row:
    config = trained.run.config
    return {**trained.system.fields, "codes": token_codes(config), "epochs": config.gpt.epochs}


def _label(made_by: Mapping[str, str], judge: Judge, count: int) -> dict[str, Any]:
    """What a cell of this many images is made from, beside the networks of these fingerprints."""
    return {"version": VERSION, "made_by": made_by, "judge": judge.fingerprint, "images": count}


def _of_vae(folder: pathlib.Path, run: Run, judge: Judge, validation: Validation) -> list[Row]:
    made_from = _label({"vae": run.fingerprint("vae")}, judge, len(validation.images))
    return kept(folder / f"{run.folder.name}.npz", made_from, lambda: (of_vae(run, judge, validation), {}))[0]


def _reconstructed(
    folder: pathlib.Path, trained: Trained, seed: int, judge: Judge, validation: Validation
) -> list[Row]:
    """Rows of tokens before any Transformer; equal for all systems that share tokens, of the networks of a seed, and a decoder.

    The errors of codes are measured before a decoder is fine-tuned on the tokens, and for codebooks of a frozen VAE alone.
    """
    system, frozen = trained.system, trained._replace(tuned=None)
    tokens = {"tokens": trained.run.outputs("gpt")["gpt/tokens.npz"]}
    rows = kept(
        folder / f"tokens-{system.tokens}-{system.decoder}-{seed}.npz",
        _label(trained.made_by() | tokens, judge, len(validation.images)),
        lambda: (reconstructions(trained.run, trained.tokenizer(), judge, validation), {}),
    )[0]
    if system.codebook not in CODEBOOKS:
        return rows
    of_codes = kept(
        folder / f"errors-{system.tokens}-{seed}.npz",
        {"version": VERSION, "made_by": frozen.made_by() | tokens},
        lambda: (errors(frozen.run, frozen.tokenizer()), {}),
    )[0]
    return rows + of_codes


def _sampled(folder: pathlib.Path, trained: Trained, judge: Judge, count: int, sets: int) -> Samples:
    """Rows of a Transformer and a decoder; FOLDER/NAME-SEED.png shows samples.

    Args:
        folder: Of the files.
        trained: The Transformer and the decoder.
        judge: The classifier that sees the samples.
        count: Samples in a set.
        sets: How many sets; scores are means over them.
    """
    system, frozen, run = trained.system, trained._replace(tuned=None), trained.run
    path = folder / f"{system.name}-{trained.seed}.npz"

    def compute() -> tuple[list[Row], dict[str, np.ndarray]]:
        tokens = kept(
            folder / f"samples-{system.transformer}-{trained.seed}.npz",
            {"version": VERSION, "made_by": frozen.made_by("gpt"), "images": count, "sets": sets},
            lambda: ([], draw_samples(run, system.transformer, count, sets)),
        )[1]
        found = samples(run, tokens, trained.tokenizer(), judge, sets)
        save_grid(path.with_suffix(".png"), dict(zip(stages.class_names(run), found.shown, strict=True)))
        pictures = {"shown": found.shown, "nearest": found.nearest}
        return likelihood(run) + found.rows, {name: np.round(255 * x).astype(np.uint8) for name, x in pictures.items()}

    rows, arrays = kept(path, _label(trained.made_by("gpt"), judge, count) | {"sets": sets}, compute)
    return Samples(rows, *(arrays[name] / np.float32(255) for name in ("shown", "nearest")))
