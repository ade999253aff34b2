"""Scores of a set of generated images against a set of real ones, in the features of a network.

Features are (n, f), one row an image. The network decides what the scores mean, so a table has to name it. All scores depend on
n: compare sets of equal size, and show two sets of real images as the floor.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.neighbors import NearestNeighbors

from geovq.numerics.linalg import eigen_root
from geovq.scores.intervals import Interval, check_resampling, holding
from geovq.validation import InputError, check_points, check_seed, check_whole


class Closeness(NamedTuple):
    """Scores of single images; means over them are the scores of the set."""

    precision: Bool[np.ndarray, " n"]
    """Whether a generated image lies among the real ones: within the k-th neighbour's distance of one of them."""
    recall: Bool[np.ndarray, " m"]
    """Whether a real image lies among the generated ones."""
    density: Float[np.ndarray, " n"]
    """Number of real images within whose k-th neighbour's distance a generated one lies, divided by k."""
    coverage: Bool[np.ndarray, " m"]
    """Whether a generated image lies within a real one's k-th neighbour's distance."""


def closeness(
    real: Float[np.ndarray, "m f"], generated: Float[np.ndarray, "n f"], num_neighbours: int = 5
) -> Closeness:
    """Precision, recall, density and coverage of every image.

    Args:
        real: Features of real images.
        generated: Features of generated ones.
        num_neighbours: A ball around an image reaches to this neighbour (k-th) in its own set, without itself.

    Returns:
        The scores of single images.

    Raises:
        InputError: Features that do not fit, or no more images than neighbours.

    Source: Kynkäänniemi, Karras, Laine, Lehtinen & Aila, "Improved precision and recall metric for assessing generative
    models", NeurIPS 2019; Naeem, Oh, Uh, Choi & Yoo, "Reliable fidelity and diversity metrics for generative models", ICML 2020.
    """
    real, generated = _check_features(real, generated)
    most = min(len(real), len(generated)) - 1
    check_whole("num_neighbours", num_neighbours, 1, most, remedy="take fewer than there are images")
    centre = real.mean(axis=0)  # numbers that are small beside their differences round less
    real, generated = real - centre, generated - centre
    slack = _ROUNDING * max(_squared_norms(real).max(), _squared_norms(generated).max())
    of_real, of_generated = (_squared_radii(features, num_neighbours) + slack for features in (real, generated))
    precision, density = np.zeros(len(generated), bool), np.zeros(len(generated))
    recall, coverage = np.zeros(len(real), bool), np.zeros(len(real), bool)
    block = max(1, _NUMBERS // len(real))
    for start in range(0, len(generated), block):
        rows = slice(start, start + block)
        squares = _squared_distances(generated[rows], real)
        inside = squares <= of_real[None]
        precision[rows], density[rows] = inside.any(axis=1), inside.sum(axis=1) / num_neighbours
        coverage |= inside.any(axis=0)
        recall |= (squares <= of_generated[rows, None]).any(axis=0)
    return Closeness(precision, recall, density, coverage)


_NUMBERS = 1 << 23
"""Distances that are held at once."""


_ROUNDING = 1e-12
"""Share of the largest squared norm by which squared distances may differ and still be a tie: copies are as far as they are."""


def _squared_norms(a: Float[np.ndarray, "n f"]) -> Float[np.ndarray, " n"]:
    return (a**2).sum(axis=1)


def _squared_distances(a: Float[np.ndarray, "n f"], b: Float[np.ndarray, "m f"]) -> Float[np.ndarray, "n m"]:
    return _squared_norms(a)[:, None] + _squared_norms(b)[None] - 2 * a @ b.T


def _squared_radii(features: Float[np.ndarray, "n f"], num_neighbours: int) -> Float[np.ndarray, " n"]:
    """Squared distance of every row to its k-th neighbour, itself not counted."""
    found, block = np.empty(len(features)), max(1, _NUMBERS // len(features))
    for start in range(0, len(features), block):
        rows = np.arange(start, min(start + block, len(features)))
        squares = _squared_distances(features[rows], features)
        squares[rows - start, rows] = np.inf
        found[rows] = np.partition(squares, num_neighbours - 1, axis=1)[:, num_neighbours - 1]
    return found


def frechet_distance(real: Float[np.ndarray, "m f"], generated: Float[np.ndarray, "n f"]) -> float:
    """Fréchet distance of the Gaussians with the means and covariances of two sets: ‖μ−μ'‖² + tr(Σ + Σ' − 2(ΣΣ')^½).

    Args:
        real: Features of real images.
        generated: Features of generated ones.

    Returns:
        The squared distance, as is usual, in squared features; 0 for equal moments. It is biased upwards, the more so the fewer
        images there are.

    Raises:
        InputError: Features that do not fit, or a set of one image.

    Source: Heusel, Ramsauer, Unterthiner, Nessler & Hochreiter, "GANs trained by a two time-scale update rule converge to a local
    Nash equilibrium", NeurIPS 2017 (with Inception features); Dowson & Landau 1982.
    """
    real, generated = _check_features(real, generated)
    return _frechet(*_moments(real), *_moments(generated))


def frechet_interval(
    real: Float[np.ndarray, "m f"],
    generated: Float[np.ndarray, "n f"],
    n_resamples: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The Fréchet distance with a bootstrap interval over the generated images; the real ones are what they are.

    Resampled sets have fewer distinct images and with them a larger bias, so the interval is that of the differences from their
    mean, around the distance itself.

    Args:
        real: Features of real images.
        generated: Features of generated ones.
        n_resamples: Times that n images are drawn again with replacement, at least 1.
        seed: Of the draws.
        level: Probability that the interval is to cover, in (0, 1).

    Returns:
        The distance and its interval.

    Raises:
        InputError: As `frechet_distance`, no resamples, or a level outside (0, 1).
    """
    check_resampling(n_resamples, level, seed)
    real, generated = _check_features(real, generated)
    of_real = _moments(real)
    found = _frechet(*of_real, *_moments(generated))
    rng = np.random.default_rng(seed)
    drawn = (generated[rng.integers(len(generated), size=len(generated))] for _ in range(n_resamples))
    draws = np.array([_frechet(*of_real, *_moments(features)) for features in drawn])
    low, high = np.quantile(draws - draws.mean(), [(1 - level) / 2, (1 + level) / 2])
    return holding(found, max(0.0, found + float(low)), found + float(high))


def _moments(features: Float[np.ndarray, "n f"]) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, "f f"]]:
    return features.mean(axis=0), np.atleast_2d(np.cov(features.T))


def _frechet(mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray) -> float:
    # tr (ΣΣ')^½ is the sum of the roots of the eigenvalues of Σ^½ Σ' Σ^½, which is symmetric.
    root = eigen_root(covariance)
    cross = np.linalg.eigvalsh(root @ other_covariance @ root)
    gap = float(((mean - other_mean) ** 2).sum())
    spread = np.trace(covariance) + np.trace(other_covariance) - 2 * np.sqrt(np.maximum(cross, 0)).sum()
    return gap + max(0.0, float(spread))  # the roots of eigenvalues that are zero but for rounding add up


def kernel_distances(
    real: Float[np.ndarray, "m f"],
    generated: Float[np.ndarray, "n f"],
    subsets: int = 100,
    size: int = 1000,
    seed: int = 0,
) -> Float[np.ndarray, " subsets"]:
    """Kernel inception distance of random subsets: unbiased squared MMD with the kernel (xᵀy / f + 1)³.

    Args:
        real: Features of real images.
        generated: Features of generated ones.
        subsets: Draws of `size` images from either set.
        size: Of a subset, at least 2; fewer where there are fewer images.
        seed: Of the draws.

    Returns:
        One distance a subset; may be below 0. Their mean is the score.

    Raises:
        InputError: Features that do not fit, or impossible subsets.

    Source: Bińkowski, Sutherland, Arbel & Gretton, "Demystifying MMD GANs", ICLR 2018.
    """
    real, generated = _check_features(real, generated)
    check_whole("subsets", subsets, most=1_000_000)
    check_whole("size", size, 2)
    check_seed(seed)
    size, rng = min(size, len(real), len(generated)), np.random.default_rng(seed)
    found = []
    for _ in range(subsets):
        x, y = (features[rng.choice(len(features), size, replace=False)] for features in (real, generated))
        same = sum((kernel.sum() - np.trace(kernel)) / (size * (size - 1)) for kernel in (_kernel(x, x), _kernel(y, y)))
        found.append(same - 2 * _kernel(x, y).mean())
    return np.array(found)


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


class Nearest(NamedTuple):
    """The training images that are nearest to others."""

    distances: Float[np.ndarray, " n"]
    """Euclidean."""
    indices: Int[np.ndarray, " n"]
    """Rows of the training images."""


def nearest_training(train: Float[np.ndarray, "m f"], rows: Float[np.ndarray, "n f"]) -> Nearest:
    """The nearest training image of every row. Where many samples are nearer than nearly all test images, a model has memorised.

    Args:
        train: Features or pixels of the training images, one or more.
        rows: Those of samples, or of test images for comparison, one or more.

    Returns:
        Distances and rows of the training images.

    Raises:
        InputError: Features that do not fit.
    """
    train, rows = _check_features(train, rows, names=("train", "rows"), least=1)
    indices = (
        NearestNeighbors(n_neighbors=1, algorithm="brute").fit(train).kneighbors(rows, return_distance=False)[:, 0]
    )
    return Nearest(np.linalg.norm(train[indices] - rows, axis=1), indices)


def _check_features(
    first: np.ndarray, second: np.ndarray, names: tuple[str, str] = ("real", "generated"), least: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of features as float64.

    Raises:
        InputError: Not (n, f), different f, too few rows, NaN or infinity.
    """
    first, second = (
        check_points(name, features).astype(np.float64) for name, features in zip(names, (first, second), strict=True)
    )
    if first.shape[1] != second.shape[1] or min(len(first), len(second)) < least:
        raise InputError(
            f"{' and '.join(names)}: expected features (n, f) of at least {least} images with the same f, found {first.shape} "
            f"and {second.shape}; take both from one network."
        )
    return first, second
