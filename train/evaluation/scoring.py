"""The rows of a run's results: one number each, with the fields that say what it is of."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float

from geovq.batching.chunks import map_chunks
from geovq.batching.plan import DEFAULT_PLAN
from geovq.cli.progress import Progress
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import decode_latents, encode_images
from geovq.geometry.measured import draw
from geovq.geometry.placed_codes import lengths_to_codes, place_codes
from geovq.metric.batched import token_metrics
from geovq.models.gpt import sequences_of_pass, token_nats
from geovq.models.spatial_vae import SpatialVAE, callables, negative_elbo
from geovq.scores import reconstruction as scores
from geovq.scores import tokens as token_scores
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError, check_images
from train.config.assigners import make_assigner
from train.config.names import ASSIGNERS
from train.config.options import PRESETS, token_codes
from train.run.blocks import in_blocks
from train.run.folder import Run
from train.run.provenance import provenance
from train.run.rows import Row, row
from train.run.stage_record import Stage
from train.stages import image_tokens, inputs, networks
from train.stages.vae import SCORED, posterior_noise

SHOWN = 16
"""Test images in pictures."""

PROTOCOL = {
    "psnr": "dB, mean of the per-image values, peak 1; higher is better",
    "ssim": f"Gaussian window of {scores.SSIM_WINDOW}, sigma {scores.SSIM_SIGMA}; higher is better",
    "lpips": f"{scores.LPIPS_NAMES['alex']}: AlexNet, the shorter side enlarged to 64 pixels; lower is better",
    "usage": "fraction of the codes that occur",
    "perplexity": "of the code frequencies: how many equally frequent codes would be as hard to guess; at most K",
    "latent_error": "squared distance of a token's latent to its code, latent², mean over tokens",
    "metric_error": "ΔᵀGΔ, first-order squared change of the image, intensity², mean over tokens",
    "geodesic_error": "length of the shortest path to the code in the measured graph, intensity, mean over tokens",
    "bits_per_token": "KL divergence of a token's posterior from the unit Gaussian, bits",
    "nats_per_image": "negative evidence lower bound of a density, nats; negative where the density exceeds one",
    "nats_per_token": "negative log-likelihood of a token given those before it, nats; unigram models know frequencies alone",
}
"""What the scores are, exactly."""


class Measured(NamedTuple):
    """The test images of a run, and what the VAE makes of them."""

    images: Float[np.ndarray, "n H W C"]
    latents: Float[np.ndarray, "n h w d"]
    metrics: Float[np.ndarray, "n h w d d"]


def meta(run: Run) -> dict[str, Any]:
    """How the results came about."""
    config = run.config
    seeds = {"split": config.data.split_seed} | {
        name: getattr(config, name).seed for name in ("vae", "codebook", "gpt")
    }
    schedule = next((name for name, preset in PRESETS.items() if _same(preset, run)), "custom")
    return provenance(seeds, schedule) | {"protocol": PROTOCOL, "images_without_tokens": image_tokens.lost_images(run)}


def _same(preset: Any, run: Run) -> bool:
    data = dataclasses.replace(run.config.data, data_dir=preset.data.data_dir)
    return dataclasses.replace(run.config, data=data) == preset


def measure_test_images(run: Run, stage: Stage, data: inputs.Images, encode: Callable, decode: Callable) -> Measured:
    """Latents of the test images and the metrics of their tokens, kept in the stage's folder block by block."""
    found = data.dataset.test_images
    images = check_images(draw(found, run.config.evaluate.max_images or len(found), run.config.data.split_seed))
    latents = encode_images(encode, images)
    with Progress("evaluate: metrics of the test tokens", len(images), "images") as progress:
        metrics = in_blocks(
            stage.folder / "metrics",
            lambda rows: token_metrics(single(decode), latents[rows], plan=DEFAULT_PLAN, progress=progress),
            len(images),
            progress,
            stage.pause,
        )
    return Measured(images, latents, metrics)


def score_continuous(run: Run, vae: SpatialVAE, test: Measured) -> tuple[list[Row], np.ndarray]:
    """Scores of the VAE without quantization, and its first reconstructions."""
    _, decode = callables(vae)
    reconstructions = decode_latents(decode, test.latents)
    fields: Row = {"case": "continuous", "system": "vae", "decoder": "frozen"}
    values = _paired("vae", test.images, reconstructions) | _elbo(run, vae, test.images)
    rows = [row(fields, name, found) for name, found in values.items()]
    rows.append(
        row(
            fields,
            "code_bits_per_token",
            run.config.codebook.num_quantizers * math.log2(run.config.codebook.num_codes),
            len(test.images),
        )
    )
    return rows, reconstructions[:SHOWN]


def score_codebook(
    run: Run, tokenizer: Tokenizer, codebook: str, test: Measured, train_images: np.ndarray
) -> tuple[list[Row], dict[str, np.ndarray]]:
    """Scores of one codebook with every assigner, and the first reconstructions by assigner.

    The amortised assigner measures clusters of the training images.

    Where the graph's components were dropped, an image counts for a score only if the score is defined for all its tokens; the
    row says how many did.
    """
    k, d = tokenizer.num_codes, test.latents.shape[-1]
    latents, metrics = test.latents.reshape(-1, d), test.metrics.reshape(-1, d, d)
    geometry = inputs.load_geometry(run)
    placed = place_codes(geometry, tokenizer.codes) if tokenizer.num_quantizers == 1 else None
    tokens: dict[str, np.ndarray] = {}
    for name in ASSIGNERS if run.config.evaluate.all else run.config.evaluate.assigners:
        assigner = make_assigner(name)
        if tokenizer.num_quantizers <= assigner.max_quantizers:  # several codes of a token lie in no graph
            chosen = tokenizer.replace(assigner=assigner, images=train_images, geometry=geometry)
            tokens[name] = chosen.assign_latents(test.latents, metrics=test.metrics, images=test.images)
    reached = {assign: np.minimum(grid, k - 1) for assign, grid in tokens.items()}
    lengths = None
    if placed is not None:
        stacked = np.stack([grid.ravel() for grid in reached.values()], axis=1)
        lengths = lengths_to_codes(placed, latents, metrics, stacked)
    rows: list[Row] = []
    for column, (assign, grid) in enumerate(tokens.items()):
        fields: Row = {
            "case": "quantized",
            "system": "ours",
            "decoder": "frozen",
            "codebook": codebook,
            "assign": assign,
        }
        fields |= {"codes": k, "codes_per_token": tokenizer.num_quantizers}
        valid = (grid < k).reshape(len(grid), -1).all(axis=1)
        if not valid.any():
            raise InputError(f"{codebook}, {assign}: expected images that the codes can reach, found none; use bridge.")
        quantized = tokenizer.dequantize(reached[assign]).reshape(-1, d)
        by_token = {
            "latent_error": token_scores.latent_errors(latents, quantized),
            "metric_error": token_scores.metric_errors(latents, quantized, metrics),
        }
        if lengths is not None:
            by_token["geodesic_error"] = lengths[:, column]
        by_image = {name: values.reshape(len(grid), -1).mean(axis=1)[valid] for name, values in by_token.items()}
        values = _paired(f"{codebook}, {assign}", test.images[valid], tokenizer.decode(grid[valid])) | by_image
        rows += [row(fields, name, found[np.isfinite(found)]) for name, found in values.items()]
        rows += [
            row(fields, "usage", token_scores.usage(grid[valid], k), int(valid.sum())),
            row(fields, "perplexity", token_scores.perplexity(grid[valid], k), int(valid.sum())),
        ]
    return rows, {assign: tokenizer.decode(grid[:SHOWN]) for assign, grid in reached.items()}


def score_likelihood(run: Run) -> list[Row]:
    """Nats per token of the Transformer on validation and test tokens, beside what uniform and unigram models need."""
    tokens, options, k = image_tokens.load(run), run.config.gpt, token_codes(run.config)
    rows = []
    for part, name in (("val", "validation"), ("test", "test")):
        found = nats(run, tokens, part).mean(axis=1)
        systems = {"ours": found, **frequency_nats(run, tokens, part)}
        fields: Row = {
            "case": "likelihood",
            "split": name,
            "codebook": options.codebook,
            "assign": options.assigner,
            "nat_weight": options.nat_weight,
            "codes": k,
        }
        rows += [
            row(fields | {"system": system}, "nats_per_token", value, len(found)) for system, value in systems.items()
        ]
    return rows


def nats(run: Run, tokens: Mapping[str, np.ndarray], part: str) -> Float[np.ndarray, "n t"]:
    """Nats of every token of a part under the run's Transformer, given the class where it knows classes."""
    model = networks.trained_gpt(run)
    graphdef, params = nnx.split(model)
    conditional = run.config.gpt.conditional

    @jax.jit
    def of_batch(batch, labels):
        return token_nats(nnx.merge(graphdef, params), batch, labels if conditional else None)

    return map_chunks(of_batch, tokens[part], tokens[f"{part}_labels"], chunk=sequences_of_pass(model.config))


def frequency_nats(run: Run, tokens: Mapping[str, np.ndarray], part: str) -> dict[str, float]:
    """Mean nats of a token of a part under models that know frequencies of training tokens, or nothing."""
    k = token_codes(run.config)
    return {
        "uniform": math.log(k),
        "unigram": token_scores.unigram_nats(tokens["train"], tokens[part], k),
        "unigram per position": token_scores.unigram_nats(tokens["train"], tokens[part], k, per_position=True),
    }


def codes_as_images(tokenizer: Tokenizer, test: Measured, count: int = 20) -> np.ndarray:
    """The codes that most test tokens are nearest to, each decoded from a grid that holds nothing else."""
    used = np.bincount(tokenizer.assign_latents(test.latents).ravel(), minlength=tokenizer.num_codes)
    best, shape = np.argsort(-used, kind="stable")[:count], tokenizer.token_shape
    return tokenizer.decode(np.broadcast_to(best.reshape(-1, *(1,) * len(shape)), (len(best), *shape)))


def _paired(label: str, images: np.ndarray, reconstructions: np.ndarray) -> dict[str, np.ndarray]:
    """PSNR, SSIM and LPIPS of every image."""
    with Progress(f"evaluate: {label}", len(images), "images") as progress:
        return {
            "psnr": scores.psnr(images, reconstructions),
            "ssim": scores.ssim(images, reconstructions),
            "lpips": scores.lpips(images, reconstructions, progress=progress),
        }


def _elbo(run: Run, vae: SpatialVAE, images: np.ndarray) -> dict[str, np.ndarray]:
    """Rate and bound of every image."""
    graphdef, params = nnx.split(vae)
    options = run.config.vae

    @jax.jit
    def score(noise, batch):
        elbo = negative_elbo(nnx.merge(graphdef, params), batch, options.noise_variance, noise)
        return elbo.nats, elbo.bits.mean(axis=(1, 2))

    nats, bits = map_chunks(score, posterior_noise(options, len(images)), images, chunk=SCORED)
    return {"nats_per_image": nats, "bits_per_token": bits}
