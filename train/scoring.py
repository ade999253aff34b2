"""The rows of a run's results: one number each, with the fields that say what it is of."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from flax import nnx

from geovq import scores, token_scores
from geovq.assign import ASSIGNMENTS
from geovq.autoencoder import decode_latents, single
from geovq.checks import InputError
from geovq.chunks import map_chunks
from geovq.geometry import lengths_to_codes, place_codes
from geovq.gpt import token_nats
from geovq.metric import Decoder, token_metrics
from geovq.store import load_arrays, save_arrays
from geovq.vae import negative_elbo
from train import stages
from train.config import PRESETS
from train.progress import Progress
from train.provenance import provenance
from train.run import Run, Stage

Row = dict[str, Any]

SHOWN = 16
"""Test images in pictures."""

_BLOCK = 1000
"""Images whose metrics are one file, so that an interrupted run computes few of them again."""


def row(fields: Row, score: str, values: np.ndarray | float, n: int | None = None) -> Row:
    """One row of the results.

    Args:
        fields: What identifies the case.
        score: What was measured.
        values: One per image, whose mean is reported with its 95% bootstrap interval; or one number.
        n: What the number was measured on, where it is one.
    """
    if isinstance(values, np.ndarray):
        mean, low, high = scores.bootstrap_interval(values)
        return {**fields, "score": score, "value": mean, "low": low, "high": high, "n": len(values)}
    return {**fields, "score": score, "value": float(values), "low": None, "high": None, "n": n}


def meta(run: Run) -> dict[str, Any]:
    """How the results came about."""
    config = run.config
    seeds = {"split": config.data.split_seed} | {
        name: getattr(config, name).seed for name in ("vae", "codebook", "gpt")
    }
    return provenance(seeds, next((name for name, preset in PRESETS.items() if _same(preset, run)), "custom"))


def _same(preset: Any, run: Run) -> bool:
    data = dataclasses.replace(run.config.data, data_dir=preset.data.data_dir)
    return dataclasses.replace(run.config, data=data) == preset


def test_metrics(stage: Stage, decode: Decoder, latents: np.ndarray) -> np.ndarray:
    """Metrics (n, h, w, d, d) of the test tokens, kept in the stage's folder block by block."""
    parts = []
    with Progress("evaluate: metrics of the test tokens", len(latents), "images") as progress:
        for number, start in enumerate(range(0, len(latents), _BLOCK)):
            path = stage.folder / f"metrics-{number:03d}.npz"
            if path.exists():
                parts.append(load_arrays(path)[0]["metrics"])
                progress(len(parts[-1]))
                continue
            parts.append(token_metrics(single(decode), latents[start : start + _BLOCK], progress=progress))
            save_arrays(path, {"metrics": parts[-1]}, {})
            stage.pause()
    return np.concatenate(parts)


def continuous(
    run: Run, data: stages.Images, images: np.ndarray, latents: np.ndarray, decode: Decoder
) -> tuple[list[Row], np.ndarray]:
    """Scores of the VAE without quantization, and its reconstructions."""
    reconstructions = decode_latents(decode, latents)
    fields: Row = {"case": "continuous", "system": "vae", "decoder": "frozen"}
    rows = [row(fields, name, values) for name, values in _paired("vae", images, reconstructions).items()]
    elbo = _elbo(run, data, images)
    rows += [row(fields, name, values) for name, values in elbo.items()]
    rows.append(row(fields, "code_bits_per_token", math.log2(run.config.codebook.codes), len(images)))
    return rows, reconstructions


def quantized(
    run: Run, data: stages.Images, codebook: str, images: np.ndarray, latents: np.ndarray, metrics: np.ndarray
) -> tuple[list[Row], dict[str, np.ndarray]]:
    """Scores of one codebook with every assignment, and the first reconstructions by assignment."""
    d = latents.shape[-1]
    flat, flat_metrics = latents.reshape(-1, d), metrics.reshape(-1, d, d)
    geometry = stages.load_geometry(run.folder / "codebook/geometry.npz")
    base = stages.tokenizer(run, data, codebook, "euclidean")
    tokens = {}
    for assign in run.config.evaluate.assigns:
        if assign not in ASSIGNMENTS:
            raise InputError(f"evaluate.assigns: expected some of {', '.join(ASSIGNMENTS)}, found {assign!r}.")
        tokens[assign] = stages.tokenizer(run, data, codebook, assign).assign_latents(latents, metrics)
    reachable = {name: (grid < base.k).all(axis=(1, 2)) for name, grid in tokens.items()}
    stacked = np.stack([np.minimum(grid, base.k - 1).reshape(-1) for grid in tokens.values()], axis=1)
    lengths = lengths_to_codes(place_codes(geometry, base.codes), flat, flat_metrics, stacked)
    rows: list[Row] = []
    shown = {assign: base.decode(np.minimum(grid[:SHOWN], base.k - 1)) for assign, grid in tokens.items()}
    for column, (assign, grid) in enumerate(tokens.items()):
        keep = reachable[assign]
        if not keep.any():
            raise InputError(f"{codebook}/{assign}: expected images that the codes can reach, found none; use bridge.")
        fields: Row = {
            "case": "quantized",
            "system": "ours",
            "decoder": "frozen",
            "codebook": codebook,
            "assign": assign,
        }
        fields |= {"codes": base.k, "codes_per_token": 1}
        reconstructions = base.decode(grid[keep])
        chosen = base.codes[stacked[:, column]]
        errors = {
            "latent_error": token_scores.latent_errors(flat, chosen),
            "metric_error": token_scores.metric_errors(flat, chosen, flat_metrics),
            "geodesic_error": lengths[:, column],
        }
        by_image = {name: values.reshape(len(images), -1).mean(axis=1)[keep] for name, values in errors.items()}
        paired = _paired(f"{codebook}, {assign}", images[keep], reconstructions)
        rows += [row(fields, name, values) for name, values in (paired | by_image).items()]
        rows.append(row(fields, "usage", token_scores.usage(grid[keep], base.k), int(keep.sum())))
        rows.append(row(fields, "perplexity", token_scores.perplexity(grid[keep], base.k), int(keep.sum())))
    return rows, shown


def likelihood(run: Run, data: stages.Images) -> list[Row]:
    """Nats per test token of the Transformer, beside what uniform and unigram models need."""
    tokens, k, options = stages.load_tokens(run), run.config.codebook.codes, run.config.gpt
    model = stages.trained_gpt(run, data)
    graphdef, params = nnx.split(model)

    @jax.jit
    def nats(batch, labels):
        return token_nats(nnx.merge(graphdef, params), batch, labels if options.conditional else None).mean(axis=1)

    found = np.asarray(map_chunks(nats, tokens["test"], tokens["test_labels"], chunk=500))
    fields: Row = {"case": "likelihood", "codebook": options.codebook, "assign": options.assign, "codes": k}
    n = len(found)
    unigram = token_scores.unigram_nats(tokens["train"], tokens["test"], k)
    by_position = token_scores.unigram_nats(tokens["train"], tokens["test"], k, per_position=True)
    return [
        row(fields | {"system": "ours"}, "nats_per_token", found),
        row(fields | {"system": "uniform"}, "nats_per_token", math.log(k), n),
        row(fields | {"system": "unigram"}, "nats_per_token", unigram, n),
        row(fields | {"system": "unigram per position"}, "nats_per_token", by_position, n),
    ]


def codes_as_images(run: Run, data: stages.Images, count: int = 20) -> dict[str, np.ndarray]:
    """The most used codes of every codebook, each decoded from a grid that holds nothing else."""
    shown = {}
    h, w = run.config.vae.grid
    images = data.dataset.val_images[:1000]
    for codebook in run.config.codebook.codebooks:
        chosen = stages.tokenizer(run, data, codebook, "whitened")
        used = np.bincount(chosen.encode(images).ravel(), minlength=chosen.k)
        best = np.argsort(-used, kind="stable")[:count]
        shown[codebook] = chosen.decode(np.broadcast_to(best[:, None, None], (len(best), h, w)))
    return shown


def _paired(label: str, images: np.ndarray, reconstructions: np.ndarray) -> dict[str, np.ndarray]:
    """PSNR, SSIM and LPIPS of every image."""
    with Progress(f"evaluate: {label}", len(images), "images") as progress:
        return {
            "psnr": scores.psnr(images, reconstructions),
            "ssim": scores.ssim(images, reconstructions),
            "lpips": scores.lpips(images, reconstructions, progress=progress),
        }


def _elbo(run: Run, data: stages.Images, images: np.ndarray) -> dict[str, np.ndarray]:
    """Rate and bound of every test image."""
    graphdef, params = nnx.split(stages.trained_vae(run, data))
    options = run.config.vae

    @jax.jit
    def score(batch):
        elbo = negative_elbo(nnx.merge(graphdef, params), batch, options.noise_variance, jax.random.key(options.seed))
        return elbo.nats, elbo.bits_per_token

    nats, bits = map_chunks(score, images, chunk=500)
    return {"nats_per_image": nats, "bits_per_token": bits}
