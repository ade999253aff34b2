"""A trained VAE and images -> any codebook by its name, with the statistics that assignments use."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from geovq.assignment.clusters import measure_kinds
from geovq.assignment.dispatch import Codebook
from geovq.batching.chunks import Progress
from geovq.codebook.codes import fit_codes, without_dead
from geovq.codebook.refine import refine_codes
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import encode_images
from geovq.geometry.measured import Geometry, draw
from geovq.geometry.placed_codes import code_field, place_codes
from geovq.medoids.search import Progress as MedoidProgress

REFINING_IMAGES = 600
"""Images whose reconstructions a `refined` codebook is moved by."""

KINDS_IMAGES = 8000
"""Images by which kinds of images are told and measured."""


class Recipe(NamedTuple):
    """Which codebook is wanted."""

    name: str = "whitened"
    """One of CODEBOOKS."""
    codes: int = 512
    """K, of each stage."""
    stages: int = 1
    """Codes of a token."""
    stacking: str = "residual"
    """residual or product, where a token has several."""
    seed: int = 0
    """Of every random choice."""


def fit_codebook(
    recipe: Recipe,
    decode: Callable,
    images: np.ndarray,
    latents: Float[np.ndarray, "n h w d"],
    geometry: Geometry,
    *,
    with_field: bool = False,
    progress: Progress | None = None,
    medoid_progress: MedoidProgress | None = None,
) -> Codebook:
    """The codebook that a recipe names.

    Args:
        recipe: What is wanted.
        decode: Decoder of batches.
        images: Training images (n, H, W, C), uint8 or floats in [0, 1]; only `refined` looks at some.
        latents: What the encoder made of them.
        geometry: The measured sample of the latents.
        with_field: Whether the codes are placed in the measured graph, for `geodesic` assignment.
        progress: Called while codes are refined, with the images done of each round.
        medoid_progress: Called by the search for medoids.

    Returns:
        Codes and statistics.

    Raises:
        InputError: A recipe that these latents do not allow.
    """
    flat = latents.reshape(-1, latents.shape[-1])
    codes = fit_codes(
        recipe.name,
        flat,
        geometry,
        recipe.codes,
        stages=recipe.stages,
        stacking=recipe.stacking,
        seed=recipe.seed,
        progress=medoid_progress,
    )
    if recipe.name == "refined":
        order = np.random.default_rng(recipe.seed).permutation(len(images))[:REFINING_IMAGES]
        some = images[order]
        scaled = some.astype(np.float32) / 255 if some.dtype == np.uint8 else some.astype(np.float32)
        refined = refine_codes(
            single(decode), scaled, latents[order], codes, geometry.position_metrics, progress=progress
        )
        codes = refined.codes if recipe.stages > 1 else without_dead(refined.codes, flat, geometry.mean_metric)
    field = code_field(place_codes(geometry, codes)) if with_field else None
    return Codebook(codes, geometry.position_metrics, field)


def with_kinds(
    codebook: Codebook,
    encode: Callable,
    decode: Callable,
    images: Float[np.ndarray, "n H W C"],
    *,
    at_most: int = KINDS_IMAGES,
    seed: int = 0,
    progress: Progress | None = None,
) -> Codebook:
    """The codebook with the kinds of images that `amortised` assignment needs.

    Args:
        codebook: Codes and statistics.
        encode: Encoder of batches.
        decode: Decoder of batches.
        images: Training images in [0, 1].
        at_most: So many of them, drawn at random, are measured.
        seed: Of the draw and of the kinds.
        progress: Called with the images done.
    """
    some = draw(images, at_most, seed)
    kinds = measure_kinds(
        single(decode),
        encode_images(encode, some),
        codebook.codes,
        codebook.position_metrics,
        seed=seed,
        progress=progress,
    )
    return codebook._replace(kinds=kinds)
