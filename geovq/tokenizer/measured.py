"""Measured: what any codebook of a VAE is fitted from, with at most a few crops of its images, as one file."""

import dataclasses
import os
from collections.abc import Callable
from typing import Self

import numpy as np
from jaxtyping import Float, UInt8

from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.decoder.autoencoder import check_codes
from geovq.geometry.arrays import from_arrays, to_arrays
from geovq.geometry.measured import Geometry, Statistics
from geovq.storage.arrays import load_arrays, save_arrays
from geovq.tokenizer.fingerprint import check_fingerprint, fingerprint_vae
from geovq.validation import InputError, as_sizes, check_pixels, check_points, refusing

_KIND = "geovq.measured"
_VERSION = 1
_FIELDS = ("latents", "probe.image", "probe.latents")
"""Arrays of every file, in which the fingerprint is called probe."""


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """What `geovq.measure` found out about a VAE and some images, for `Tokenizer.from_measured`."""

    latents: Float[np.ndarray, "n d"]
    """Latents of the images, at most 100,000 of them, drawn at random, for k-means."""
    statistics: Statistics
    """Mean metrics, metrics of tokens, and the graph, as far as they were measured."""
    image_shape: tuple[int, ...]
    """(H, W, C) of the images."""
    latent_shape: tuple[int, ...]
    """(h, w, d) of their latents."""
    crops: UInt8[np.ndarray, "m a b C"] | None
    """Of large grids, some crops of the images in random order, by which the metric of quantization steps is chosen."""
    fingerprint: dict[str, np.ndarray]
    """What the VAE makes of a grid of the first latent, by which it is known again."""

    @property
    def geometry(self) -> Geometry | None:
        """The graph of measured tokens, for `Tokenizer.replace(assigner=Geodesic(), geometry=...)`; None without one."""
        return self.statistics if isinstance(self.statistics, Geometry) else None

    def save(self, path: str | os.PathLike) -> str:
        """Saves all of it as one file with a checksum.

        Args:
            path: The `.npz` to write; replaced only when the new one is whole.

        Returns:
            SHA-256 of the content.

        Raises:
            InputError: The file cannot be written.
        """
        arrays, numbers = to_arrays(self.statistics)
        if self.crops is not None:
            arrays["crops"] = self.crops
        arrays |= {"latents": self.latents} | {f"probe.{name}": value for name, value in self.fingerprint.items()}
        shapes = {"image_shape": self.image_shape, "latent_shape": self.latent_shape}
        return save_arrays(path, arrays, {"kind": _KIND, "version": _VERSION, "numbers": numbers, **shapes})

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Loads what `save` wrote, verified; nothing is unpickled or executed.

        Raises:
            InputError: The file is missing, truncated, changed, or of another kind or version.
        """
        arrays, meta = load_arrays(path)
        if meta.get("kind") != _KIND or meta.get("version") != _VERSION:
            raise InputError(
                f"{path}: expected measurements of version {_VERSION}, found {meta.get('kind') or 'a file of other arrays'} "
                f"{meta.get('version', '')}; pass what Measured.save of this version wrote, or measure and save again."
            )
        with refusing(str(path), "measurements", "restore them from a copy, or measure and save again"):
            latents, image, encoded = (arrays.pop(name) for name in _FIELDS)
            crops = arrays.pop("crops", None)
            found = cls(
                check_points("latents", latents),
                from_arrays(arrays, meta["numbers"]),
                as_sizes("image_shape", meta["image_shape"]),
                as_sizes("latent_shape", meta["latent_shape"]),
                crops,
                {"image": image, "latents": encoded},
            )
            found._check_sizes()
            return found

    def _check_sizes(self) -> None:
        """Refuses what does not fit together."""
        channels = self.latents.shape[-1], self.latent_shape[-1], len(self.statistics.mean_metric)
        if len({*channels}) != 1:
            raise InputError(
                f"measurements: expected latents of as many channels everywhere, found {channels}; measure again."
            )
        if self.crops is not None:
            check_pixels(self.crops, name="crops")

    def check_vae(self, encode: Callable, decode: Callable, *, plan: Plan = DEFAULT_PLAN) -> None:
        """Checks that a VAE is the one that was measured; the plan bounds the memory of its functions.

        Raises:
            InputError: Functions that do not fit, or of another VAE.
        """
        ends = grids_of(self.latents[[0, -1]], self.latent_shape)
        check_codes(encode, decode, ends, self.image_shape)
        found = fingerprint_vae(encode, decode, ends[:1], plan)
        check_fingerprint(found, self.fingerprint, "measured", "pass the VAE that was measured, or measure this one")


def grids_of(latents: Float[np.ndarray, "n d"], latent_shape: tuple[int, ...]) -> Float[np.ndarray, "n h w d"]:
    """A grid of each latent, which all its tokens have."""
    d = latents.shape[-1]
    return np.ascontiguousarray(np.broadcast_to(latents.reshape(-1, 1, 1, d), (len(latents), *latent_shape)))


def check_measurements(measured: Measured) -> None:
    """Refuses what is not of `geovq.measure`.

    Raises:
        InputError: With what was found.
    """
    if not isinstance(measured, Measured):
        raise InputError(
            f"measured: expected what geovq.measure returns, found {type(measured).__name__}; measure the images first."
        )
