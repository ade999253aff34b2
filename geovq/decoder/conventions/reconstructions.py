"""Whether reconstructions are of the images that were given, or would be in another convention of intensities."""

import warnings

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float

from geovq.decoder.conventions.adaptation import ConventionWarning
from geovq.decoder.conventions.repairs import INPUTS, LATENTS, OUTPUTS, Values
from geovq.decoder.conventions.roundtrip import call
from geovq.validation import InputError

_REFUSED = 2.0
"""Times the error of another convention from which ours is refused: 3 dB. Chance and weak decoders do not lead that far."""

_DOUBTED = 1.05
"""The same for a warning: 0.2 dB. A decoder of [-1, 1] also reconstructs images in [0, 1], which are part of its range: TAESD so
changed loses 0.6 dB. A decoder of [0, 1] loses 9 dB if it is called with images in [-1, 1]."""

_EXPLAINED = 0.5
"""Share of the images' variance that a convention has to explain; a decoder that explains less shows no convention."""

_GOOD = 0.75
"""Share of the variance from which no further inputs are tried; TAESD explains 0.85."""

_STRETCHED, _SUSPECT = 2.0, 1.2
"""Times the error that the best contrast and brightness leave, from which a warning says so, and from which scales of latents are
tried. Right conventions have 1.00 (TAESD), 1.02 (TAESD3) and 1.05 (TAEF1); wrong scales of Stable Diffusion 3 and FLUX on the
last two have 1.1 to 3.4."""

_NEGLIGIBLE = 0.05
"""Share of the variance: a contrast that changes less is right."""

_NOTICED = 0.01
"""Share of the variance by which another convention has to lower the error: what is smaller is rounding, or a decoder's noise."""

_PERMUTED = {"as BGR", "with width before height"}
"""Conventions that only move intensities: what is the same in both functions does no harm."""

_UNLIKE = 0.5
"""Likeness below which reconstructions that are worse than plain colours are of something else."""


def check_reconstructions(
    encode: Partial,
    decode: Partial,
    images: Float[np.ndarray, "n H W C"],
    latents: Float[np.ndarray, "n h w d"],
    decoded: Float[np.ndarray, "n H W C"],
) -> None:
    """Checks that no other convention of intensities fits the images far better.

    Args:
        encode: The encoder.
        decode: The decoder.
        images: Some of the user's, in [0, 1].
        latents: Of these.
        decoded: From these.

    Raises:
        InputError: Another convention has less than half of the error, or less error and intensities are far from [0, 1].

    Warns:
        ConventionWarning: Another convention or another contrast fits better, intensities are far from [0, 1], or
            reconstructions are unlike the images.
    """
    found = _errors(images, latents, decoded, encode, decode)
    best = min(found, key=lambda key: found[key])
    error, least, variance = found[Values()], found[best], _variance(images)
    strange = decoded.min() < -1 or decoded.max() > 2
    better = error > max(least * _DOUBTED, least + _NOTICED * variance)
    if least < (1 - _EXPLAINED) * variance and better:
        repair = best.repair()
        wrong = (
            f"reconstructions: expected decode(encode(images)) to be the images, found {_decibels(error)}, and "
            f"{_decibels(least)} if {repair.wrong}; use {repair.source()}"
        )
        if strange or least * _REFUSED < error:
            raise InputError(f"{wrong}.")
        warning = f"{wrong}, if that is so."
    elif strange:
        warning = (
            f"decode: expected intensities in [0, 1], found values in [{decoded.min():g}, {decoded.max():g}]; say which by "
            "geovq.adapt(encode, decode, range=...), or rescale in the decoder, for metrics and errors are in its units."
        )
    else:
        warning = _describe_contrast(images, decoded, error, variance) or _describe_unlike(
            images, decoded, error, variance
        )
    if warning:
        warnings.warn(warning, ConventionWarning, stacklevel=4)


def _describe_contrast(images: np.ndarray, decoded: np.ndarray, error: float, variance: float) -> str:
    """A warning if another contrast and brightness would cut the error much; else nothing."""
    factor, offset, least = _stretch(images, decoded)
    if max(least, _NEGLIGIBLE * variance) * _STRETCHED >= error or least >= (1 - _EXPLAINED) * variance:
        return ""
    return (
        f"reconstructions: expected the contrast and the brightness of the images, found {_decibels(error)}, and "
        f"{_decibels(least)} for {factor:.3g} * decode(encode(images)) {'-' if offset < 0 else '+'} {abs(offset):.3g}; check how "
        "the VAE scales images and latents (geovq.adapt)."
    )


def _describe_unlike(images: np.ndarray, decoded: np.ndarray, error: float, variance: float) -> str:
    """A warning if reconstructions are worse than plain colours and unlike the images; else nothing."""
    if error <= variance or _likeness(images, decoded) >= _UNLIKE:
        return ""
    return (
        f"reconstructions: expected decode(encode(images)) to be like the images, found {_decibels(error)}, less than their "
        "mean colours have; check that the VAE is trained, and how it scales images and latents (geovq.adapt)."
    )


def _errors(
    images: np.ndarray, latents: np.ndarray, decoded: np.ndarray, encode: Partial, decode: Partial
) -> dict[Values, float]:
    """Mean squared error in each convention; further ones are only tried where the likeliest explain little."""
    skipped = set() if images.shape[-1] == 3 else {"as BGR"}
    skipped |= set() if images.shape[1] == images.shape[2] else {"with width before height"}

    def errors(values: Values, found: np.ndarray) -> dict[Values, float]:
        wanted = OUTPUTS.keys() - skipped - ({values.taken} & _PERMUTED)  # the same turn on both sides changes nothing
        every = {None: found} | {name: change(found) for name, change in OUTPUTS.items() if name in wanted}
        return {
            values._replace(given=given): float(np.mean((np.clip(y, 0, 1) - images) ** 2)) for given, y in every.items()
        }

    def errors_of(values: Values) -> dict[Values, float]:
        first = encode if values.taken is None else INPUTS[values.taken](encode)
        second = decode if values.latents is None else LATENTS[values.latents](decode)
        try:
            found = latents if values.taken is None else call("encode", first, images)
            return errors(values, call("decode", second, found)) if found.shape == latents.shape else {}
        except Exception:  # the caller's functions may refuse such images in any way
            return {}

    likeliest, *others = (Values(taken=name) for name in INPUTS if name not in skipped)
    found = errors(Values(), decoded) | errors_of(likeliest)
    best = min(found, key=lambda values: found[values])
    variance = _variance(images)
    doubted = found[best] > (1 - _GOOD) * variance or best.given in _PERMUTED
    if doubted:
        for values in others:
            found |= errors_of(values)
    if doubted or max(_stretch(images, decoded)[2], _NEGLIGIBLE * variance) * _SUSPECT < found[Values()]:
        for name in LATENTS:
            found |= errors_of(Values(latents=name))
    return found


def _stretch(images: np.ndarray, decoded: np.ndarray) -> tuple[float, float, float]:
    """Least squares of the images on their reconstructions: contrast, brightness, and the mean squared error that is left."""
    x, y = (np.asarray(each, np.float64) for each in (images, decoded))
    factor = float(((x - x.mean()) * (y - y.mean())).mean() / max(1e-30, y.var()))
    offset = float(x.mean() - factor * y.mean())
    return factor, offset, float(np.mean((factor * y + offset - x) ** 2))


def _variance(images: np.ndarray) -> float:
    """Mean squared error of each image's mean colour."""
    return float(np.mean((images - images.mean(axis=(1, 2), keepdims=True)) ** 2))


def _likeness(images: np.ndarray, decoded: np.ndarray) -> float:
    """Correlation of the images and their reconstructions without their mean colours, less where their contrasts differ."""
    x, y = (each - each.mean(axis=(1, 2), keepdims=True) for each in (images, decoded))
    return float((x * y).mean() / max(1e-30, (x**2).mean(), (y**2).mean()))


def _decibels(error: float) -> str:
    return f"{-10 * np.log10(max(error, 1e-10)):.1f} dB"
