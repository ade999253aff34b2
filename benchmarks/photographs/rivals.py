"""Quantizers that know nothing of the decoder: codes (S, K, d) whose sums stand for latents, which our assigners take, too."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from benchmarks.photographs.systems import Rate, RivalName
from geovq.numerics.additive import additive_codes
from geovq.validation import InputError

Latents = Float[np.ndarray, "n d"]
Tokens = Int[np.ndarray, "n S"]
Codes = Float[np.ndarray, "S K d"]

_SPANS = np.linspace(1, 12, 80)
"""Distances of the first and the last uniform level that are tried, in standard deviations of a channel."""

BEAM = 16
"""Partial sums that faiss's beam search keeps; 5 by default."""

_POINTS = 100_000
"""Latents that faiss trains on, as many as our k-means."""


def fit_rival(name: RivalName, latents: Latents, rate: Rate, seed: int) -> Codes:
    """Codes of a method at a rate, fitted to latents (n, d)."""
    return _RIVALS[name](latents, rate, seed)


def own_choice(name: RivalName, codes: Codes) -> Callable[[Latents], Tokens] | None:
    """How a method chooses among its codes; None for the nearest ones."""
    if name not in ("beam", "lsq"):
        return None
    quantizer = _quantizer(name, codes.shape)
    _faiss().copy_array_to_vector(codes.ravel(), quantizer.codebooks)
    quantizer.is_trained = True
    count, bits = len(codes), int(np.log2(codes.shape[1]))
    return lambda latents: _unpack(quantizer.compute_codes(np.ascontiguousarray(latents)), count, bits)


def _uniform(latents: Latents, rate: Rate, seed: int) -> Codes:
    """Equally distant levels for every channel, as int8 and FSQ have them, with the distance that fits the data best."""
    return _scalar(latents, rate, _uniform_levels)


def _quantile(latents: Latents, rate: Rate, seed: int) -> Codes:
    """Bins of equal counts for every channel, as TokenBridge (Wang et al. 2025) has them; a level is the mean of its bin."""
    return _scalar(latents, rate, _quantile_levels)


def _scalar(
    latents: Latents, rate: Rate, levels_of: Callable[[Float[np.ndarray, " n"], int], Float[np.ndarray, " L"]]
) -> Codes:
    """Levels for every channel by itself; a quantizer has one channel."""
    bits = allocate_bits(latents.var(axis=0), round(rate.bits))
    most = 2 ** int(bits.max())
    levels = [levels_of(channel, 2 ** int(b)) for channel, b in zip(latents.T, bits, strict=True)]
    groups = [np.pad(each, (0, most - len(each)), "edge")[:, None] for each in levels]  # the first of equals is chosen
    return additive_codes(groups)


def allocate_bits(variances: Float[np.ndarray, " d"], total: int) -> Int[np.ndarray, " d"]:
    """Whole bits of every channel: each bit goes where the squared error is largest, which it divides by four."""
    bits = np.zeros(len(variances), int)
    for _ in range(total):
        bits[np.argmax(variances / 4.0**bits)] += 1
    return bits


def _uniform_levels(channel: Float[np.ndarray, " n"], count: int) -> Float[np.ndarray, " L"]:
    around = (np.arange(count) - (count - 1) / 2) / count
    trials = [channel.mean() + span * channel.std() * around for span in _SPANS]
    return min(trials, key=lambda levels: float(((channel - _nearest(channel, levels)) ** 2).mean()))


def _quantile_levels(channel: Float[np.ndarray, " n"], count: int) -> Float[np.ndarray, " L"]:
    return np.array([part.mean() for part in np.array_split(np.sort(channel), count)])


def _nearest(channel: Float[np.ndarray, " n"], levels: Float[np.ndarray, " L"]) -> Float[np.ndarray, " n"]:
    """The level that is nearest to each value; levels rise."""
    return levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, channel)]


def _gaussian(latents: Latents, rate: Rate, seed: int) -> Codes:
    """Gaussian-Quant (Xu et al. 2025): codes drawn from a normal distribution, here the one of the latents' mean and variances.

    Channels are divided among the quantizers as evenly as they can be. Published autoencoders give no variance, so the
    nearest code is chosen.
    """
    rng, d = np.random.default_rng(seed), latents.shape[1]
    mean, spread = latents.mean(axis=0), latents.std(axis=0)
    draws = rng.standard_normal((rate.num_codes, d)) * spread + mean
    return additive_codes(np.array_split(draws, rate.num_quantizers, axis=1))


def _beam(latents: Latents, rate: Rate, seed: int) -> Codes:
    """Faiss's residual quantizer with beam search."""
    return _trained("beam", latents, rate, seed)


def _local_search(latents: Latents, rate: Rate, seed: int) -> Codes:
    """Faiss's local-search quantizer, LSQ++ (Martinez et al. 2018)."""
    return _trained("lsq", latents, rate, seed)


def _trained(name: RivalName, latents: Latents, rate: Rate, seed: int) -> Codes:
    shape = (rate.num_quantizers, rate.num_codes, latents.shape[1])
    quantizer = _quantizer(name, shape, seed)
    drawn = np.random.default_rng(seed).permutation(len(latents))[:_POINTS]
    quantizer.train(np.ascontiguousarray(latents[drawn]))
    return _faiss().vector_to_array(quantizer.codebooks).reshape(shape)


def _quantizer(name: RivalName, shape: tuple[int, ...], seed: int = 0) -> Any:
    count, num_codes, d = shape
    bits = int(np.log2(num_codes))
    if name == "beam":
        quantizer = _faiss().ResidualQuantizer(d, count, bits)
        quantizer.max_beam_size = BEAM
    else:
        quantizer = _faiss().LocalSearchQuantizer(d, count, bits)
        quantizer.random_seed, quantizer.nperts = seed, min(quantizer.nperts, count)
    return quantizer


def _unpack(packed: np.ndarray, count: int, bits: int) -> Tokens:
    """Numbers of so many bits each, the lowest bit first, out of bytes (n, bytes)."""
    unpacked = np.unpackbits(packed, axis=1, bitorder="little")[:, : count * bits].reshape(len(packed), count, bits)
    return (unpacked.astype(np.int32) << np.arange(bits)).sum(axis=2, dtype=np.int32)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise InputError(
            f"faiss: expected faiss-cpu to be installed, found: {error}; run pip install faiss-cpu, or leave out beam and "
            "lsq with --rivals."
        ) from error
    return faiss


_RIVALS: dict[RivalName, Callable[[Latents, Rate, int], Codes]] = {
    "uniform": _uniform,
    "quantile": _quantile,
    "gaussian": _gaussian,
    "beam": _beam,
    "lsq": _local_search,
}
