"""Scores of single images for benchmarks.tokenizer: a file for each cell, so that a killed study computes little again."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from geovq.batching.run import DEFAULT_PLAN
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import encode_images
from geovq.geometry.measured import draw
from geovq.geometry.placed_codes import CodeGraph, code_field, lengths_to_codes, place_codes
from geovq.metric.batched import token_metrics
from geovq.models.spatial_vae import callables
from geovq.scores import reconstruction as scores
from geovq.scores import tokens as token_scores
from geovq.storage import load_arrays, save_arrays
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import check_images
from train.run.folder import Run
from train.stages import inputs as stages
from train.stages import networks

SEED = 0
"""Of the draw of test images, the same for every system and seed."""

Arrays = dict[str, np.ndarray]


class TestImages(NamedTuple):
    """The test images that are scored."""

    images: Float[np.ndarray, "n H W C"]
    labels: Int[np.ndarray, " n"]

    @classmethod
    def drawn(cls, run: Run, count: int) -> "TestImages":
        """`count` of the test images, the same ones in every run of these images."""
        dataset = stages.images(run.config.data).dataset
        rows = draw(np.arange(len(dataset.test_images)), count, SEED)
        return cls(check_images(dataset.test_images[rows]), dataset.test_labels[rows])


VERSION = 1
"""Of what is computed: another one makes every cell again."""


@dataclasses.dataclass(frozen=True)
class Cells:
    """Computes cells, or reads those in the folder that were made from the same."""

    folder: pathlib.Path

    def get(self, name: str, made_from: Mapping[str, Any], compute: Callable[[], Arrays]) -> Arrays:
        """The arrays of a cell.

        Args:
            name: Of its file.
            made_from: Fingerprints and options that it depends on, JSON-serialisable; a file made from others is replaced.
            compute: Makes it.
        """
        path, label = self.folder / f"{name}.npz", {"version": VERSION, **made_from}
        if path.exists():
            arrays, meta = load_arrays(path)
            if meta == label:
                return arrays
        print(f"tokenizer: {name}", flush=True)
        save_arrays(path, arrays := compute(), label)
        return arrays


def image_scores(
    images: Float[np.ndarray, "n H W C"], reconstructions: Float[np.ndarray, "n H W C"], lpips_images: int
) -> Arrays:
    """PSNR and SSIM of every image, and LPIPS of the first."""
    return {
        "psnr": scores.psnr(images, reconstructions),
        "ssim": scores.ssim(images, reconstructions),
        "lpips": scores.lpips(images[:lpips_images], reconstructions[:lpips_images]),
        "image_error": ((images - reconstructions) ** 2).sum(axis=(1, 2, 3)),
    }


def continuous(run: Run, test: TestImages, *, noise: bool) -> Arrays:
    """Scores of the VAE itself, from posterior means, or from one sample of each posterior, and the KL bits of a token."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from geovq.batching.chunks import map_chunks
    from geovq.models.rate import token_bits

    graphdef, params = nnx.split(networks.trained_vae(run, test.images.shape[1:]))

    @jax.jit
    def reconstruct(batch, number):
        model = nnx.merge(graphdef, params)
        mean, logvar = model.encoder.posteriors(batch)
        keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(SEED), i))(number)
        drawn = jax.vmap(lambda key: jax.random.normal(key, mean.shape[1:]))(keys)
        latents = mean + jnp.exp(logvar / 2) * drawn if noise else mean
        return model.decoder(latents), token_bits(mean, logvar)

    decoded, bits = map_chunks(reconstruct, test.images, np.arange(len(test.images)), chunk=500)
    found = image_scores(test.images, np.clip(decoded, 0, 1), len(test.images))
    return found | {"bits_per_token": bits.mean(axis=(1, 2)), "bits_of_tokens": bits.ravel()}


class Measured(NamedTuple):
    """What a VAE makes of the test images, for errors in the measures of its latent space."""

    latents: Float[np.ndarray, "n h w d"]
    metrics: Float[np.ndarray, "n h w d d"]

    @classmethod
    def of(cls, run: Run, test: TestImages) -> "Measured":
        """Latents and exact metrics of the tokens of all test images."""
        encode, decode = callables(networks.trained_vae(run, test.images.shape[1:]))
        latents = encode_images(encode, test.images)
        return cls(latents, token_metrics(single(decode), latents, plan=DEFAULT_PLAN))


def quantized(
    tokenizer: Tokenizer,
    test: TestImages,
    lpips_images: int,
    *,
    measured: Measured | None = None,
    placed: CodeGraph | None = None,
    start: Int[np.ndarray, "n h w"] | None = None,
) -> Arrays:
    """Scores and tokens of a tokenizer.

    Args:
        tokenizer: With the assignment that is scored.
        test: The images.
        lpips_images: The first of them that LPIPS is taken of.
        measured: Latents and metrics by which tokens are measured; None for systems whose encoder is another.
        placed: The codes in the measured graph, for lengths of paths.
        start: Joint tokens, from which `decoded` assignment goes on.

    Returns:
        Arrays of n, and tokens.
    """
    if start is not None:
        tokens = tokenizer.improved(start, test.images)
    elif measured is None:
        tokens = tokenizer.encode(test.images)
    else:
        tokens = tokenizer.assign_latents(measured.latents, measured.metrics, images=test.images)
    found = image_scores(test.images, tokenizer.decode(tokens), lpips_images)
    found |= {"tokens": tokens, "k": np.array(tokenizer.k)}
    if measured is None:
        return found
    d, n = measured.latents.shape[-1], len(tokens)
    latents, metrics = measured.latents.reshape(-1, d), measured.metrics.reshape(-1, d, d)
    chosen = tokenizer.quantized(tokens).reshape(-1, d)
    by_token = {
        "latent_error": token_scores.latent_errors(latents, chosen),
        "metric_error": token_scores.metric_errors(latents, chosen, metrics),
    }
    if placed is not None:
        by_token["geodesic_error"] = lengths_to_codes(placed, latents, metrics, tokens.reshape(-1, 1))[:, 0]
    return found | {name: values.reshape(n, -1).mean(axis=1) for name, values in by_token.items()}


def in_graph(run: Run, tokenizer: Tokenizer) -> tuple[CodeGraph, Tokenizer]:
    """The tokenizer's codes in the run's measured graph, and the tokenizer that assigns along it."""
    placed = place_codes(stages.load_geometry(run), tokenizer.codes)
    return placed, tokenizer.replace(assign="geodesic", field=code_field(placed))
