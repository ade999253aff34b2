"""Where are a latent's neighbours: near in latents as they are, or by the mean metric? A study of `benchmarks.geometry`.

In latents that are multiplied by a root of the mean metric, Euclidean distance is the mean metric, and everything pulled back
from the image stays as it was: both ways are the same code on two autoencoders. Each is tried with the latents as they are, and
with one channel more, of noise that the decoder does not read.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

import geovq
from benchmarks.common.rows import Row, mean_row
from geovq.scores import psnr

MEASURED, CODES = 500, 256
RIDGE = 1e-4
"""Smallest eigenvalue of the mean metric that is kept, by the largest, so that latents can be taken back."""

Callables = tuple[Callable, Callable]


def study_frames(vae: Callables, train: np.ndarray, val: np.ndarray, seeds: Sequence[int]) -> list[Row]:
    """PSNR of tokens along the graph, with geodesic medoids as codes.

    Args:
        vae: Encoder and decoder of batches.
        train: Images that are measured, `MEASURED` of them at each seed.
        val: Images that are scored.
        seeds: Of the measured images and of the medoids.

    Returns:
        Means over images and seeds, and the difference between both ways.
    """
    rows: list[Row] = []
    for latents, functions in (("as they are", vae), ("with a channel of noise", with_noise(*vae, train[:100]))):
        mean_metric = geovq.measure(*functions, train[:MEASURED], statistics="means").statistics.mean_metric
        fields = {"case": "frames", "latents": latents, "codes": CODES}
        plain = _scores(f"latents {latents}, Euclidean neighbours", functions, train, val, seeds)
        seen = _scores(
            f"latents {latents}, neighbours by the mean metric",
            in_frame(*functions, root_of(mean_metric)),
            train,
            val,
            seeds,
        )
        rows += [
            mean_row(fields | {"neighbours": "euclidean"}, "psnr", plain),
            mean_row(fields | {"neighbours": "mean metric"}, "psnr", seen),
            mean_row(fields | {"neighbours": "mean metric", "peer": "euclidean"}, "psnr_difference", seen - plain),
        ]
    return rows


def _scores(
    label: str, vae: Callables, train: np.ndarray, val: np.ndarray, seeds: Sequence[int]
) -> Float[np.ndarray, " n"]:
    """PSNR of each scored image, its mean over seeds."""
    found = []
    for seed in seeds:
        tokenizer = geovq.Tokenizer.fit(
            *vae, train, num_codes=CODES, codebook="geodesic", assigner=geovq.Geodesic(), max_images=MEASURED, seed=seed
        )
        found.append(psnr(val, tokenizer.decode(tokenizer.encode(val))))
        print(f"{label}, seed {seed}: {found[-1].mean():.2f} dB", flush=True)
    return np.mean(found, axis=0)


def root_of(metric: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """A symmetric root of a metric, of eigenvalues not below `RIDGE` of the largest."""
    values, vectors = np.linalg.eigh(metric.astype(np.float64))
    values = np.maximum(values, RIDGE * values.max())
    return (vectors * np.sqrt(values)) @ vectors.T


def in_frame(encode: Callable, decode: Callable, root: Float[np.ndarray, "d d"]) -> Callables:
    """The same autoencoder, whose latents are multiplied by a root."""
    there, back = jnp.asarray(root, jnp.float32), jnp.asarray(np.linalg.inv(root), jnp.float32)
    return lambda images: encode(images) @ there, lambda latents: decode(latents @ back)


def with_noise(encode: Callable, decode: Callable, images: np.ndarray) -> Callables:
    """The same autoencoder with a channel more, as wide as the others, that the decoder does not read."""
    h, w, _ = jnp.shape(encode(images))[1:]
    weights = np.random.default_rng(0).integers(0, 64, (images[0].size, h * w)).astype(np.float32)
    width = float(np.sqrt(2) * np.std(encode(images)))

    def noisy(images):
        levels = jnp.round(255 * images.reshape(len(images), -1))
        noise = jnp.sin(
            jnp.matmul(levels, weights, precision="highest")
        )  # of whole numbers below 2^24, which are exact
        return jnp.concatenate([encode(images), width * noise.reshape(-1, h, w, 1)], axis=-1)

    return noisy, lambda latents: decode(latents[..., :-1])
