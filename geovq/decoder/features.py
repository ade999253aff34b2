"""Decoders with features: what the eye sees of an image, beside its pixels, in one metric."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.tree_util import Partial
from jaxtyping import Float

from geovq.decoder.adapters import AnyArray, Decoder, as_partial
from geovq.validation import InputError


def with_features(decode: Decoder, features: Callable, weight: float) -> Partial:
    """Decoder of an image and of its features, whose squared distances add up: ‖x − y‖² + weight·‖φ(x) − φ(y)‖².

    Every metric, length and geodesic of this library takes it as it is. With `geovq.models.lpips_network.perceptual_features` the
    second part is LPIPS.

    Args:
        decode: One latent to one image (H, W, C).
        features: One image to an array, or a tree of arrays; differentiable.
        weight: Intensity² for a unit of squared distance between features, at least 0.

    Returns:
        One latent to the image and its features times √weight.

    Raises:
        InputError: A weight that is negative or not finite.
    """
    if not (isinstance(weight, int | float) and 0 <= weight < math.inf):
        raise InputError(f"weight: expected a finite number of at least 0, found {weight!r}; change it.")
    return Partial(_with_features, as_partial(decode), as_partial(features, "features"), math.sqrt(weight))


def _with_features(
    decode: Decoder, features: Callable, scale: Float[AnyArray, ""] | float, latent: AnyArray
) -> tuple[Any, Any]:
    image = decode(latent)
    return image, jax.tree.map(lambda leaf: scale * leaf, features(image))
