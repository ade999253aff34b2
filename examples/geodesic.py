"""From one image to another: along a straight line of latents, and along a geodesic of the decoder.

    python -m examples.geodesic                      # a minute -> geodesic.png
    python -m examples.geodesic --steps 50           # a trial

The geodesic is the path on which the decoded image changes least in all. Both paths are walked so that each step changes the
image by as much as the others.
"""

import argparse
import pathlib

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from examples.common import digits, save_rows
from examples.own_autoencoder import trained_autoencoder
from geovq import from_nnx, single
from geovq.metric import find_geodesics

POINTS = 33
"""Of a path."""

FRAMES = 9
"""Of a film strip."""


def decode_flat(decode: Partial, z: Float[Array, " td"]) -> Float[Array, "H W C"]:
    """The image of a grid of latents that is one vector."""
    return decode(z.reshape(4, 4, -1))


def even_frames(images: Float[np.ndarray, "s H W C"], count: int) -> Float[np.ndarray, "c H W C"]:
    """Some images of a path, each as far from the one before as the others are from theirs."""
    steps = np.linalg.norm(np.diff(images.reshape(len(images), -1), axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)])
    return images[[int(np.abs(along - at).argmin()) for at in np.linspace(0, along[-1], count)]]


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Trains an autoencoder, finds geodesics between three pairs of digits, prints mean lengths, and draws the first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=1500, help="of training (1500)")
    parser.add_argument("--iterations", type=int, default=200, help="of the optimiser of paths (200)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("geodesic.png"), help="the picture")
    options = parser.parse_args(arguments)
    module = trained_autoencoder(options.steps)
    images, labels = digits()
    pairs = [(np.flatnonzero(labels == a)[0], np.flatnonzero(labels == b)[0]) for a, b in ((0, 1), (3, 5), (4, 7))]
    encode, decode = from_nnx(module, "encode"), from_nnx(module, "decode")
    ends = np.asarray(encode(images[np.array(pairs).ravel()])).reshape(len(pairs), 2, -1)

    straight = np.linspace(ends[:, 0], ends[:, 1], POINTS, axis=1)  # (pairs, points, numbers of a grid)
    geodesics = find_geodesics(Partial(decode_flat, single(decode)), straight, iterations=options.iterations)

    films, lengths = {}, {}
    for name, paths in (("straight line", straight), ("geodesic", geodesics.paths)):
        decoded = np.asarray(decode(paths.reshape(-1, 4, 4, ends.shape[-1] // 16)))
        decoded = decoded.reshape(len(pairs), POINTS, -1)
        lengths[name] = float(np.linalg.norm(np.diff(decoded, axis=1), axis=2).sum(axis=1).mean())
        films[name] = even_frames(decoded[0].reshape(POINTS, 8, 8, 1), FRAMES)
    for name, value in lengths.items():
        print(f"{name:>13}: the image changes by {value:.3f} in all")
    save_rows(options.out, films)
    return lengths


if __name__ == "__main__":
    main()
