"""A small convolutional classifier, whose features tell images apart for `geovq.scores.sets`.

What Fréchet distances and the like say depends on the features: Inception, whose features are the usual choice, has never seen a
28 x 28 picture of a boot. This classifier is trained on the very classes; its accuracy belongs beside every number.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from geovq.models.spatial_vae import Down

FEATURES = 128
"""Features of an image."""


@dataclasses.dataclass(frozen=True)
class ClassifierConfig:
    """Sizes of a Classifier."""

    channels: int
    """Channels of an image."""
    classes: int
    """Number of classes."""
    width: int = 32
    """Channels at half the image's resolution; twice as many at a quarter, and FEATURES at an eighth."""


class Classifier(nnx.Module):
    """Images -> features -> logits of classes. Nothing depends on the rest of the batch."""

    def __init__(self, config: ClassifierConfig, *, rngs: nnx.Rngs):
        """Initial weights."""
        widths = (config.channels, config.width, 2 * config.width, FEATURES)
        self.down = nnx.List([Down(a, b, 2, rngs=rngs) for a, b in itertools.pairwise(widths)])
        self.norms = nnx.List([nnx.LayerNorm(b, rngs=rngs) for b in widths[1:]])
        self.head = nnx.Linear(FEATURES, config.classes, rngs=rngs)
        self.dropout = nnx.Dropout(0.1)

    def features(self, images: Float[Array, "n H W C"]) -> Float[Array, "n f"]:
        """Features of images in [0, 1]: means over all positions of the last layer, each image normalised."""
        *norms, last = self.norms
        x = images
        for down, norm in zip(self.down[:-1], norms, strict=True):
            x = norm(down(x))
        return last(nnx.silu(self.down[-1](x)).mean(axis=(1, 2)))

    def __call__(
        self, images: Float[Array, "n H W C"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n classes"]:
        """Logits of images in [0, 1]; the key draws the dropout, None switches it off."""
        return self.head(self.dropout(self.features(images), deterministic=key is None, rngs=key))


def augment(images: Float[Array, "n H W C"], key: PRNGKeyArray, *, shift: int, mirror: bool) -> Float[Array, "n H W C"]:
    """Images, each mirrored or not, and moved by up to `shift` pixels with black coming in.

    Args:
        images: In [0, 1].
        key: Draws mirrors and shifts.
        shift: Pixels at most, in either direction.
        mirror: Whether half of the images are mirrored, left for right.
    """
    n, height, width, _ = images.shape
    key_mirror, key_row, key_column = jax.random.split(key, 3)
    chosen = jax.random.bernoulli(key_mirror, shape=(n, 1, 1, 1)) & mirror
    padded = jnp.pad(jnp.where(chosen, images[:, :, ::-1], images), ((0, 0), (shift, shift), (shift, shift), (0, 0)))
    rows, columns = (jax.random.randint(k, (n,), 0, 2 * shift + 1) for k in (key_row, key_column))
    crop = jax.vmap(lambda image, i, j: jax.lax.dynamic_slice(image, (i, j, 0), (height, width, image.shape[2])))
    return crop(padded, rows, columns)
