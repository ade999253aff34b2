"""The mean metric of a decoder that noise has smoothed: what a step does to the image on average, if steps are large.

Quantization moves all tokens of a grid, and often far. Then the mean of JᵀJ at the encoder's latents misleads: much of it is
how the Jacobian varies from one latent to the next, which a step across many of them does not feel. The image's mean response
to steps is that of the smoothed decoder D_σ(Z) = E D(Z + ε), with noise ε of the size of the quantization errors. Its Jacobian
E J(Z + ε) is the best linear fit to D in this noise (Stein's lemma; Bussgang 1952), and (E J)ᵀ(E J) is its pullback metric. As
the noise vanishes it is JᵀJ, and for a linear decoder it always is.
"""

import numpy as np
from jaxtyping import Float, Num

from geovq.batching.chunks import Progress
from geovq.batching.plan import DEFAULT_PLAN, Plan, settle
from geovq.decoder.adapters import Decoder
from geovq.metric.batched import check_grids, sketches
from geovq.numerics.linalg import eigen_root
from geovq.validation import InputError, as_array, check_real, check_seed, check_whole

MOST_DRAWS = 10_000
"""Of the noise for one grid, which are in memory together."""


def smoothed_metric(
    decode: Decoder,
    grids: Num[np.ndarray, "n h w d"],
    covariance: Float[np.ndarray, "d d"],
    *,
    draws: int = 4,
    probes: int = 4,
    seed: int = 0,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Float[np.ndarray, "d d"]:
    """Mean over all tokens of (E J)ᵀ(E J), the expectation over noise that is added to all tokens of a grid.

    The products of Jacobians at different draws of the noise estimate it without bias, by the same random probes of each: the
    products of each with itself, whose mean is that of JᵀJ at noisy latents, are left out. It takes `draws` x `probes`
    reverse-mode products a grid.

    Args:
        decode: Takes one grid (h, w, d) to one image of any shape, in intensity units.
        grids: Latents (n, h, w, d). A few thousand tokens are enough.
        covariance: Of the noise of a token, Gaussian and independent of the other tokens'; that of quantization errors.
        draws: Of the noise for each grid, at least 2 and at most `MOST_DRAWS`.
        probes: Random probes of each grid.
        seed: Of the noise and the probes, both different for every grid and independent of the other grids.
        plan: How much at once and on which devices.
        progress: Called after every grid.

    Returns:
        Symmetric positive semi-definite (d, d), intensity² per latent²: negative eigenvalues of the estimate count as 0.

    Raises:
        InputError: Latents or a covariance of another shape, fewer than two draws, or a decoder that has no metric there.
    """
    grids = check_grids(grids)
    check_whole("probes", probes)
    check_whole("draws", draws, 2, MOST_DRAWS)
    check_seed(seed)
    root = _noise_root(covariance, grids.shape[-1])
    plan = plan._replace(passes=min(settle(plan).passes, draws * probes))  # a call takes the draws of one grid
    total = np.zeros(root.shape)
    for number, grid in enumerate(grids):
        rng = np.random.default_rng((seed, number))
        noisy = grid + (rng.standard_normal((draws, *grid.shape)) @ root).astype(grids.dtype)
        found = sketches(decode, noisy, probes=probes, seed=int(rng.integers(2**31)), plan=plan)
        total += cross_products(found.reshape(draws, -1, grid.shape[-1])) / grid[..., 0].size
        if progress is not None:
            progress(1)
    values, vectors = np.linalg.eigh(total / len(grids))
    return ((vectors * np.maximum(values, 0)) @ vectors.T).astype(grids.dtype)


def cross_products(factors: Float[np.ndarray, "m r d"]) -> Float[np.ndarray, "d d"]:
    """Mean of FᵢᵀFⱼ over all ordered pairs of different factors (r, d), in float64; symmetric."""
    m, factors = len(factors), factors.astype(np.float64)
    together = factors.sum(axis=0)
    own = np.einsum("mri,mrj->ij", factors, factors)
    return (together.T @ together - own) / (m * (m - 1))


def _noise_root(covariance: Float[np.ndarray, "d d"], d: int) -> Float[np.ndarray, "d d"]:
    """R with RR = covariance.

    Raises:
        InputError: No finite covariance of d dimensions.
    """
    covariance = as_array("covariance", covariance)
    if covariance.shape != (d, d):
        raise InputError(
            f"covariance: expected shape ({d}, {d}) for latents of {d} dimensions, found {covariance.shape}; pass that of "
            "their quantization errors."
        )
    return eigen_root(check_real("covariance", covariance))
