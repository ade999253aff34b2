"""Decoders with noise: deterministic decoders whose pullback metric is the expected metric of a random one.

For an image D(z) = μ(z) + σ(z)·ε with independent unit noise ε, E[JᵀJ] = JμᵀJμ + JσᵀJσ (Tosi, Hauberg, Vellido & Lawrence 2014,
"Metrics for Probabilistic Geometries"; for VAEs Arvanitidis, Hansen & Hauberg 2018, "Latent Space Oddity"). For an ensemble of M
decoders it is the mean of their metrics (Syrota, Moreno-Muñoz & Hauberg 2024, "Decoder ensembling for learned latent
geometries"). Both are the metric of one larger image: mean and deviation side by side, or all members' images over √M. So every
kernel, exact or sketched, and every length takes these decoders as they are.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array

from geovq.decoder.adapters import AnyArray, Decoder, as_partial
from geovq.validation import InputError


def with_deviation(mean: Decoder, deviation: Decoder) -> Partial:
    """Decoder whose metric is E[JᵀJ] = JμᵀJμ + JσᵀJσ.

    A length along it grows where the deviation changes, so shortest paths avoid the borders of the data. That needs a
    deviation that grows away from the data; a plain network's need not.

    Args:
        mean: One latent to the mean image.
        deviation: One latent to the standard deviation of every intensity, as many as the mean has: of a head that gives
            the logarithm of the variance, `lambda z: jnp.exp(0.5 * logvar(z))`.

    Returns:
        One latent to both. Called with another number of deviations than intensities, it raises an InputError.
    """
    return Partial(_both, as_partial(mean), as_partial(deviation))


def _both(mean: Decoder, deviation: Decoder, latent: AnyArray) -> tuple[Any, Any]:
    images, deviations = mean(latent), deviation(latent)
    wanted, found = (sum(jnp.size(leaf) for leaf in jax.tree.leaves(tree)) for tree in (images, deviations))
    if wanted != found:
        raise InputError(
            f"deviation: expected one for each of {wanted} intensities, found {found}; broadcast it to the image: a shared one "
            "counts once for every intensity."
        )
    return images, deviations


def ensemble(members: Sequence[Decoder]) -> Partial:
    """Decoder whose metric is the mean of its members' metrics, E[JᵀJ] over a member drawn at random.

    Args:
        members: Decoders of one latent, such as the same network trained from several seeds; M >= 1.

    Returns:
        One latent to all images, each over √M, in float32 at least. It moves as far as its members do in root mean square.

    Raises:
        InputError: No members.
    """
    if not members:
        raise InputError("ensemble: expected at least one decoder, found none.")
    return Partial(_members, tuple(map(as_partial, members)))


def _members(members: tuple[Decoder, ...], latent: AnyArray) -> list[Any]:
    def scale(image: AnyArray) -> Array:
        # √M rounded to bfloat16 would change every metric.
        wide = jnp.promote_types(jnp.result_type(image), jnp.float32)
        return jnp.asarray(image, wide) / math.sqrt(len(members))

    return [jax.tree.map(scale, member(latent)) for member in members]
