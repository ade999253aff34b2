"""What benchmarks.generation measures of one Transformer: a file for each, so that a killed benchmark computes little again."""

import math
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float, Int

from benchmarks.generation_systems import System
from geovq import scores, token_scores
from geovq.autoencoder import decode_latents, encode_images
from geovq.checks import check_images
from geovq.chunks import map_chunks
from geovq.geometry import draw
from geovq.gpt import token_nats
from geovq.report import save_grid
from geovq.sampling import rising, sample
from geovq.store import read_json, write_json
from geovq.tokenizer import Tokenizer
from geovq.vae import callables
from train import image_tokens, stages
from train.config import token_codes
from train.judge import Judge, confusion, diversity, set_rows
from train.progress import Progress
from train.run import Run
from train.scoring import Row, row

SHOWN = 10
"""Samples of each class in pictures."""

GUIDANCE = ((1.0, False), (1.5, False), (2.0, False), (2.0, True))
"""Weights of classifier-free guidance, and whether they rise from 1 at the first token."""

VERSION = 1
"""Of what is computed: another one makes every cell again."""


class Drawn(NamedTuple):
    """Some real images."""

    images: Float[np.ndarray, "n H W C"]
    labels: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, run: Run, count: int) -> "Drawn":
        """Training images, the same ones for all systems."""
        dataset = stages.images(run.config.data).dataset
        rows = draw(np.arange(len(dataset.train_images)), count, 0)
        return cls(check_images(dataset.train_images[rows]), dataset.train_labels[rows])


def brackets(run: Run, judge: Judge, drawn: Drawn) -> list[Row]:
    """Between what scores are: real training images, and the VAE's reconstructions of them."""
    encode, decode = callables(stages.trained_vae(run, drawn.images.shape[1:]))
    sets = {"real": drawn.images, "vae": decode_latents(decode, encode_images(encode, drawn.images))}
    return [
        found
        for system, images in sets.items()
        for found in [
            *set_rows({"case": "bracket", "system": system}, judge, judge.look(images), drawn.labels),
            diversity({"case": "bracket", "system": system}, images, drawn.labels),
        ]
    ]


def cell(folder: pathlib.Path, run: Run, system: System, judge: Judge, drawn: Drawn, made_from: Row) -> list[Row]:
    """All rows of one Transformer, and FOLDER/NAME.png, samples of every class."""
    path, label = folder / f"{run.folder.name}.json", {"version": VERSION, "gpt": run.fingerprint("gpt"), **made_from}
    if path.exists() and (found := read_json(path))["made_from"] == label:
        return found["rows"]
    fields: Row = {"system": "vqvae" if system.codebook == "baseline" else "ours", "tokens": system.name}
    tokenizer = stages.modelled(run, "euclidean")  # decoding is the same for all assignments
    rows = likelihood(run, fields)
    rows += reconstructions(run, fields, tokenizer, judge, drawn)
    rows += samples(run, fields, tokenizer, judge, len(drawn.images), folder / f"{run.folder.name}.png")
    write_json(path, {"made_from": label, "rows": rows})
    return rows


def likelihood(run: Run, fields: Row) -> list[Row]:
    """Test nats of a token, of all and by position, beside what models of frequencies need."""
    tokens, k = image_tokens.load(run), token_codes(run.config)
    graphdef, params = nnx.split(stages.trained_gpt(run))
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


def reconstructions(run: Run, fields: Row, tokenizer: Tokenizer, judge: Judge, drawn: Drawn) -> list[Row]:
    """What is lost before the Transformer: reconstructions of test images one by one, and of training images as a set."""
    tokens, dataset = image_tokens.load(run), stages.images(run.config.data).dataset
    fields = fields | {"case": "reconstructions"}
    shape = (-1, *tokenizer.token_shape)
    images, decoded = check_images(dataset.test_images), tokenizer.decode(tokens["test"].reshape(shape))
    rows = [
        row(fields, name, score(images, decoded)) for name, score in (("psnr", scores.psnr), ("lpips", scores.lpips))
    ]
    chosen = draw(tokens["train"], len(drawn.images), 0)  # the rows of `drawn`, where no image was left out
    return rows + set_rows(fields, judge, judge.look(tokenizer.decode(chosen.reshape(shape))))


def samples(run: Run, fields: Row, tokenizer: Tokenizer, judge: Judge, count: int, picture: pathlib.Path) -> list[Row]:
    """New images, as many of each class, with and without guidance."""
    model, conditional = stages.trained_gpt(run), run.config.gpt.conditional
    names = stages.class_names(run)
    labels = np.repeat(np.arange(len(names), dtype=np.int32), -(-count // len(names)))
    rows = []
    for weight, rises in GUIDANCE if conditional else GUIDANCE[:1]:
        with Progress(f"generation: samples of {picture.stem}, guidance {weight:g}", len(labels), "images") as progress:
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
        rows.append(diversity(case, images, labels if conditional else np.zeros_like(labels)))
        if weight == 1:
            rows += confusion(case, judge, found, labels) if conditional else []
            by_class = images.reshape(len(names), -1, *images.shape[1:])[:, :SHOWN]
            titles = names if conditional else [f"sample {i + 1}" for i in range(len(names))]
            save_grid(picture, dict(zip(titles, by_class, strict=True)))
    return rows
