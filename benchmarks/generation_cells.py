"""What benchmarks.generation measures of one Transformer: a file for each, so that a killed benchmark computes little again."""

import math
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float

from benchmarks.generation_brackets import UNPAIRED, Held, gallery, unpaired
from benchmarks.generation_systems import System
from geovq import scores, token_scores
from geovq.autoencoder import encode_images
from geovq.checks import check_images
from geovq.chunks import map_chunks
from geovq.config import CODEBOOKS
from geovq.decoders import single
from geovq.execution import REPEATABLE
from geovq.geometry import lengths_to_codes, place_codes
from geovq.gpt import token_nats
from geovq.metric import token_metrics
from geovq.report import save_grid
from geovq.sampling import rising, sample
from geovq.store import load_arrays, save_arrays
from geovq.tokenizer import Tokenizer
from geovq.vae import callables
from train import image_tokens, networks, stages, tokenizers
from train.config import token_codes, tokenizer_stages
from train.judge import Judge, confusion, diversity, set_rows
from train.progress import Progress
from train.run import Run
from train.scoring import Row, row

GUIDANCE = ((1.0, False), (1.5, False), (2.0, False), (2.0, True))
"""Weights of classifier-free guidance, and whether they rise from 1 at the first token."""

VERSION = 1
"""Of what is computed: another one makes every cell again."""


class Cell(NamedTuple):
    """What is found of one Transformer."""

    rows: list[Row]
    samples: Float[np.ndarray, "classes SHOWN H W C"]
    """Of every class that was asked for, or, where none was, that is seen; black where there are too few."""


def cell(folder: pathlib.Path, run: Run, system: System, judge: Judge, held: Held) -> Cell:
    """The cell of a run with a trained Transformer; FOLDER/NAME.png shows its samples."""
    made_by = {name: run.fingerprint(name) for name in (*tokenizer_stages(run.config), "gpt")}
    label = {"version": VERSION, "made_by": made_by, "judge": judge.fingerprint, "images": len(held.images)}
    path = folder / f"{run.folder.name}.npz"
    if path.exists():
        arrays, meta = load_arrays(path)
        if meta["made_from"] == label:
            return Cell(meta["rows"], arrays["samples"] / np.float32(255))
    fields: Row = {**system.fields, "codes": token_codes(run.config), "epochs": run.config.gpt.epochs}
    tokenizer = tokenizers.modelled(run, "euclidean")  # decoding is the same for all assignments
    rows = likelihood(run, fields)
    rows += reconstructions(run, fields, tokenizer, judge, held)
    rows += errors(run, fields, tokenizer) if system.codebook in CODEBOOKS else []
    found, shown = samples(run, fields, tokenizer, judge, len(held.images))
    names = stages.class_names(run)
    save_grid(path.with_suffix(".png"), dict(zip(names, shown, strict=True)))
    save_arrays(path, {"samples": np.round(255 * shown).astype(np.uint8)}, {"made_from": label, "rows": rows + found})
    return Cell(rows + found, shown)


def likelihood(run: Run, fields: Row) -> list[Row]:
    """Test nats of a token, of all and by position, beside what models of frequencies need."""
    tokens, k = image_tokens.load(run), token_codes(run.config)
    graphdef, params = nnx.split(networks.trained_gpt(run))
    conditional = run.config.gpt.conditional

    @jax.jit
    def nats(batch: Any, labels: Any) -> Any:
        return token_nats(nnx.merge(graphdef, params), batch, labels if conditional else None)

    found = map_chunks(nats, tokens["test"], tokens["test_labels"], chunk=500)
    models = {
        "Transformer": found.mean(axis=1),
        "uniform": math.log(k),
        "unigram": token_scores.unigram_nats(tokens["train"], tokens["test"], k),
        "unigram per position": token_scores.unigram_nats(tokens["train"], tokens["test"], k, per_position=True),
    }
    fields = fields | {"case": "likelihood"}
    rows = [row(fields | {"model": model}, "nats_per_token", values, len(found)) for model, values in models.items()]
    return rows + [
        row(fields | {"model": "Transformer", "position": position}, "nats_per_token", values)
        for position, values in enumerate(found.T)
    ]


def reconstructions(run: Run, fields: Row, tokenizer: Tokenizer, judge: Judge, held: Held) -> list[Row]:
    """What is lost before the Transformer: reconstructions of test images one by one, and of validation images as a set."""
    tokens, dataset = image_tokens.load(run), stages.images(run.config.data).dataset
    fields, shape = fields | {"case": "reconstructions"}, (-1, *tokenizer.token_shape)
    images, decoded = check_images(dataset.test_images), tokenizer.decode(tokens["test"].reshape(shape))
    rows = [
        row(fields, name, score(images, decoded)) for name, score in (("psnr", scores.psnr), ("lpips", scores.lpips))
    ]
    count = len(held.images)
    found = judge.look(tokenizer.decode(tokens["val"][:count].reshape(shape)))
    return rows + set_rows(fields, judge, found, tokens["val_labels"][:count])


def errors(run: Run, fields: Row, tokenizer: Tokenizer) -> list[Row]:
    """The error of a token's code in three measures, for codebooks of a frozen VAE, and the original study's square of one."""
    images = check_images(stages.images(run.config.data).dataset.test_images[:UNPAIRED])
    tokens = image_tokens.load(run)["test"][: len(images)].reshape(-1, *tokenizer.token_shape)
    encode, decode = callables(networks.trained_vae(run, images.shape[1:]))
    grids = encode_images(encode, images)
    d = grids.shape[-1]
    latents, metrics = grids.reshape(-1, d), token_metrics(single(decode), grids, plan=REPEATABLE).reshape(-1, d, d)
    placed = place_codes(stages.load_geometry(run), tokenizer.codes)
    chosen = tokenizer.quantized(tokens).reshape(-1, d)
    found = {
        "latent_error": token_scores.latent_errors(latents, chosen),
        "metric_error": token_scores.metric_errors(latents, chosen, metrics),
        "geodesic_error": lengths_to_codes(placed, latents, metrics, tokens.reshape(-1, 1))[:, 0],
    }
    found["squared_geodesic_error"] = found["geodesic_error"] ** 2
    fields = fields | {"case": "errors"}
    return [row(fields, name, values.reshape(len(images), -1).mean(axis=1)) for name, values in found.items()]


def samples(
    run: Run, fields: Row, tokenizer: Tokenizer, judge: Judge, count: int
) -> tuple[list[Row], Float[np.ndarray, "classes SHOWN H W C"]]:
    """New images, as many of each class, with and without guidance; some of them to be looked at, without."""
    model, conditional = networks.trained_gpt(run), run.config.gpt.conditional
    names = stages.class_names(run)
    labels = np.repeat(np.arange(len(names), dtype=np.int32), -(-count // len(names)))
    rows: list[Row] = []
    for weight, rises in GUIDANCE if conditional else GUIDANCE[:1]:
        with Progress(
            f"generation: {fields['tokens']}, samples, guidance {weight:g}", len(labels), "images"
        ) as progress:
            tokens = sample(
                model,
                jax.random.key(run.config.gpt.seed),
                len(labels),
                labels if conditional else None,
                guidance=rising(weight, model.config.length) if rises else weight,
                progress=progress,
            )
        images = tokenizer.decode(tokens.reshape(-1, *tokenizer.token_shape))
        found, asked = judge.look(images), labels if conditional else None
        case = fields | {"case": "samples", "guidance": weight, "rises": rises}
        rows += set_rows(case, judge, found, asked)
        kinds = found.classes if asked is None else asked
        rows.append(diversity(case, images, kinds))
        if weight == 1:
            rows += unpaired(fields, images[np.random.default_rng(0).permutation(len(images))], run)
            rows += confusion(case, judge, found, asked) if asked is not None else []
            shown = gallery(images, kinds, len(names))
    return rows, shown
