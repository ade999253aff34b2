"""What benchmarks.generation measures of tokens and of one Transformer: a file for each, for a benchmark that is killed."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from benchmarks.common.means import weight_name
from benchmarks.generation.brackets import SHOWN, UNPAIRED, Validation, gallery, unpaired
from benchmarks.generation.runs import Trained
from geovq.batching.run import DEFAULT_PLAN
from geovq.codebook.names import CODEBOOKS
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import encode_images
from geovq.geometry.placed_codes import lengths_to_codes, place_codes
from geovq.metric.batched import token_metrics
from geovq.models.sampling import rising_guidance, sample
from geovq.models.spatial_vae import callables
from geovq.scores import reconstruction as scores
from geovq.scores import tokens as token_scores
from geovq.scores.sets import nearest_training
from geovq.storage import load_arrays, save_arrays
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError, check_images
from train.evaluation.judge import Judge, Judged, confusion, diversity, set_rows
from train.evaluation.report import save_grid
from train.evaluation.scoring import Row, frequency_nats, nats, row
from train.loop.progress import Progress
from train.run.folder import Run
from train.stages import image_tokens, networks
from train.stages import inputs as stages

GUIDANCE = ((1.0, False), (1.5, False), (2.0, False), (2.0, True))
"""Weights of classifier-free guidance, and whether they rise from 1 at the first token."""

VERSION = 4
"""Of what is computed: another one makes every cell again."""


def label_of(made_by: dict[str, str], judge: Judge, count: int) -> dict[str, Any]:
    """What a cell of this many images is made from, beside the networks of these fingerprints."""
    return {"version": VERSION, "made_by": made_by, "judge": judge.fingerprint, "images": count}


def kept(
    path: pathlib.Path, made_from: dict[str, Any], compute: Callable[[], tuple[list[Row], dict[str, np.ndarray]]]
) -> tuple[list[Row], dict[str, np.ndarray]]:
    """Rows and arrays from the file, computed where they are not there or were made from something else."""
    if path.exists():
        try:
            arrays, meta = load_arrays(path)
        except InputError as error:
            print(f"{error} It is computed again.", flush=True)
        else:
            if meta["made_from"] == made_from:
                return meta["rows"], arrays
    rows, arrays = compute()
    save_arrays(path, arrays, {"made_from": made_from, "rows": rows})
    return rows, arrays


def reconstructed(folder: pathlib.Path, trained: Trained, seed: int, judge: Judge, validation: Validation) -> list[Row]:
    """What is lost before any Transformer; equal for all that share tokens, of the networks of a seed, and their decoder.

    The errors of codes are those of the tokens, before a decoder was fine-tuned on them, and of codebooks of a frozen VAE alone.
    """
    system, frozen = trained.system, trained._replace(tuned=None)
    tokens = {"tokens": trained.run.outputs("gpt")["gpt/tokens.npz"]}
    rows = kept(
        folder / f"tokens-{system.tokens}-{system.decoder}-{seed}.npz",
        label_of(trained.made_by() | tokens, judge, len(validation.images)),
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


class Cell(NamedTuple):
    """What is found of a Transformer and a decoder."""

    rows: list[Row]
    samples: Float[np.ndarray, "classes SHOWN H W C"]
    """Without guidance, of every class that was asked for, or, where none was, that is seen."""
    nearest: Float[np.ndarray, "2 SHOWN H W C"]
    """Those samples without guidance that are nearest to training images, and these."""


def cell(folder: pathlib.Path, trained: Trained, judge: Judge, count: int, sets: int = 1) -> Cell:
    """What is found of a Transformer and a decoder; FOLDER/NAME-SEED.png shows samples.

    Args:
        folder: Of the files.
        trained: The Transformer and the decoder.
        judge: By whom samples are seen.
        count: Samples in a set.
        sets: How many sets; scores are means over them.
    """
    system, frozen, run = trained.system, trained._replace(tuned=None), trained.run
    path = folder / f"{system.name}-{trained.seed}.npz"

    def compute() -> tuple[list[Row], dict[str, np.ndarray]]:
        tokens = kept(
            folder / f"samples-{system.transformer}-{trained.seed}.npz",
            {"version": VERSION, "made_by": frozen.made_by("gpt"), "images": count, "sets": sets},
            lambda: ([], sampled(run, system.transformer, count, sets)),
        )[1]
        found = samples(run, tokens, trained.tokenizer(), judge, sets)
        save_grid(path.with_suffix(".png"), dict(zip(stages.class_names(run), found.samples, strict=True)))
        pictures = {"samples": found.samples, "nearest": found.nearest}
        return likelihood(run) + found.rows, {name: np.round(255 * x).astype(np.uint8) for name, x in pictures.items()}

    rows, arrays = kept(path, label_of(trained.made_by("gpt"), judge, count) | {"sets": sets}, compute)
    return Cell(rows, *(arrays[name] / np.float32(255) for name in ("samples", "nearest")))


def likelihood(run: Run, part: Literal["val", "test"] = "test") -> list[Row]:
    """Nats of a token of a part of the images, of all and by position, beside what models of frequencies need."""
    tokens = image_tokens.load(run)
    found = nats(run, tokens, part)
    models = {"Transformer": found.mean(axis=1), **frequency_nats(run, tokens, part)}
    case: Row = {"case": "likelihood"}
    rows = [row(case | {"model": model}, "nats_per_token", values, len(found)) for model, values in models.items()]
    return rows + [
        row(case | {"model": "Transformer", "position": position}, "nats_per_token", values)
        for position, values in enumerate(found.T)
    ]


def reconstructions(run: Run, tokenizer: Tokenizer, judge: Judge, validation: Validation) -> list[Row]:
    """Scores of test images, each beside its own reconstruction, and of validation images as a set."""
    tokens, dataset = image_tokens.load(run), stages.images(run.config.data).dataset
    case: Row = {"case": "reconstructions"}
    shape = (-1, *tokenizer.token_shape)
    images, decoded = check_images(dataset.test_images), tokenizer.decode(tokens["test"].reshape(shape))
    measures = {"psnr": scores.psnr, "ssim": scores.ssim, "lpips": scores.lpips}
    rows = [row(case, name, score(images, decoded)) for name, score in measures.items()]
    count = len(validation.images)
    found = judge.look(tokenizer.decode(tokens["val"][:count].reshape(shape)))
    return rows + set_rows(case, judge, found, tokens["val_labels"][:count])


def errors(run: Run, tokenizer: Tokenizer) -> list[Row]:
    """The error of a token's code in three measures, for codebooks of a frozen VAE, and the original study's square of one."""
    images = check_images(stages.images(run.config.data).dataset.test_images[:UNPAIRED])
    tokens = image_tokens.load(run)["test"][: len(images)].reshape(-1, *tokenizer.token_shape)
    encode, decode = callables(networks.trained_vae(run, images.shape[1:]))
    grids = encode_images(encode, images)
    d = grids.shape[-1]
    latents, metrics = grids.reshape(-1, d), token_metrics(single(decode), grids, plan=DEFAULT_PLAN).reshape(-1, d, d)
    placed = place_codes(stages.load_geometry(run), tokenizer.codes)
    chosen = tokenizer.quantized(tokens).reshape(-1, d)
    found = {
        "latent_error": token_scores.latent_errors(latents, chosen),
        "metric_error": token_scores.metric_errors(latents, chosen, metrics),
        "geodesic_error": lengths_to_codes(placed, latents, metrics, tokens.reshape(-1, 1))[:, 0],
    }
    found["squared_geodesic_error"] = found["geodesic_error"] ** 2
    case: Row = {"case": "errors"}
    return [row(case, name, values.reshape(len(images), -1).mean(axis=1)) for name, values in found.items()]


def _asked(run: Run, count: int, sets: int) -> Int[np.ndarray, " n"]:
    """As many images of each class in each set."""
    classes = len(stages.class_names(run))
    return np.tile(np.repeat(np.arange(classes, dtype=np.int32), -(-count // classes)), sets)


def _guidance(run: Run) -> dict[str, tuple[float, bool]]:
    """By name; a Transformer without classes has none."""
    weights = GUIDANCE if run.config.gpt.conditional else GUIDANCE[:1]
    return {weight_name(*weight): weight for weight in weights}


def sampled(run: Run, name: str, count: int, sets: int) -> dict[str, Int[np.ndarray, "n t"]]:
    """Tokens of new images, set after set, as many of each class, by the name of their guidance."""
    model, labels = networks.trained_gpt(run), _asked(run, count, sets)
    found: dict[str, np.ndarray] = {}
    for called, (weight, rises) in _guidance(run).items():
        with Progress(f"generation: {name}, samples, guidance {called}", len(labels), "images") as progress:
            found[called] = sample(
                model,
                jax.random.key(run.config.gpt.seed),
                len(labels),
                labels if run.config.gpt.conditional else None,
                guidance=rising_guidance(weight, model.config.length) if rises else weight,
                progress=progress,
            )
    return found


def samples(
    run: Run, tokens: Mapping[str, Int[np.ndarray, "n t"]], tokenizer: Tokenizer, judge: Judge, sets: int
) -> Cell:
    """Scores of sampled tokens, with and without guidance, decoded; and some of the images."""
    rows: list[Row] = []
    for called, (weight, rises) in _guidance(run).items():
        images = tokenizer.decode(tokens[called].reshape(-1, *tokenizer.token_shape))
        found, asked = judge.look(images), None
        if run.config.gpt.conditional:
            asked = _asked(run, len(images) // sets, sets)
        case: Row = {"case": "samples", "guidance": weight, "rises": rises}
        rows += set_rows(case, judge, found, asked, sets)
        kinds = found.classes if asked is None else asked
        rows.append(diversity(case, images, kinds))
        if weight == 1:
            rows += unpaired({}, images[np.random.default_rng(0).permutation(len(images))], run)
            rows += confusion(case, judge, found, asked) if asked is not None else []
            pictures = gallery(images, kinds, judge.classes), _nearest(run, images, judge, found)
    return Cell(rows, *pictures)


def _nearest(run: Run, images: Float[np.ndarray, "n H W C"], judge: Judge, found: Judged) -> np.ndarray:
    """Those of the images that are nearest to training images, nearest first, and these."""
    distances, indices = nearest_training(judge.train.features, found.features)
    first = np.argsort(distances, kind="stable")[:SHOWN]
    return np.stack([images[first], check_images(stages.images(run.config.data).dataset.train_images[indices[first]])])
