"""Tokenizer: a trained VAE's encoder and decoder, a codebook, and a way to assign tokens."""

import os
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
from jaxtyping import Float, Int

from geovq.assign import (
    NEEDS_METRICS,
    assign_euclidean,
    assign_geodesic,
    assign_local,
    assign_whitened,
)
from geovq.autoencoder import BATCH, check_autoencoder, decode_latents, encode_images
from geovq.checks import InputError, check_finite, check_images, check_points, check_tokens
from geovq.chunks import Progress
from geovq.codebook import fit_codes
from geovq.config import ASSIGNMENTS, CODEBOOKS
from geovq.decoders import single
from geovq.execution import REPEATABLE
from geovq.geometry import CodeField, code_field, measure, place_codes
from geovq.metric import token_metrics
from geovq.store import load_arrays, save_arrays

_KIND = "geovq.tokenizer"
_VERSION = 2
_PROBE_TOLERANCE = 0.02
"""Share of the largest value: well above what rounding does on another device, well below what another training does."""


class Tokenizer:
    """Images <-> grids of tokens. Made by `fit` or `load`; immutable."""

    def __init__(
        self,
        encode: Callable,
        decode: Callable,
        codes: Float[np.ndarray, "K d"],
        mean_metric: Float[np.ndarray, "d d"],
        *,
        assign: str,
        grid: Sequence[int],
        image_shape: Sequence[int],
        field: CodeField | None = None,
    ):
        """A tokenizer of given codes.

        Args:
            encode: Images (n, H, W, C) in [0, 1] to latents (n, h, w, d). Compile it yourself if it can be.
            decode: Latents (n, h, w, d) to images (n, H, W, C); differentiable, each image by itself.
            codes: (K, d).
            mean_metric: Mean of JᵀJ over the data (d, d); what `whitened` uses.
            assign: One of ASSIGNMENTS.
            grid: (h, w).
            image_shape: (H, W, C).
            field: The codes in the measured graph; what `geodesic` uses.

        Raises:
            InputError: Unknown or impossible assignment, codes that are not finite, or a decoder of another image shape.
        """
        _check_choice("assign", assign, ASSIGNMENTS)
        if assign == "geodesic" and field is None:
            raise InputError(
                "assign: geodesic expects codes placed in a graph, found none; fit with assign='geodesic'."
            )
        check_points("codes", codes)
        d = np.shape(codes)[1]
        if np.shape(mean_metric) != (d, d):
            raise InputError(
                f"mean_metric: expected shape {(d, d)}, found {np.shape(mean_metric)}; pass that of the codes."
            )
        self.codes = np.asarray(codes, np.float32)
        self.mean_metric = np.asarray(mean_metric, np.float32)
        self.assign = assign
        self.grid = tuple(grid)
        self.image_shape = tuple(image_shape)
        self.field = field
        self._encode = encode
        self._decode = decode
        check_autoencoder(encode, decode, np.zeros((1, *self.image_shape), np.float32), (*self.grid, d))

    @property
    def k(self) -> int:
        """Number of codes."""
        return len(self.codes)

    def replace(self, *, assign: str, field: CodeField | None = None) -> Self:
        """The same codes with another assignment.

        Args:
            assign: One of ASSIGNMENTS.
            field: The codes in the measured graph; needed by `geodesic` alone.

        Raises:
            InputError: Unknown assignment, or geodesic without a field.
        """
        return type(self)(
            self._encode,
            self._decode,
            self.codes,
            self.mean_metric,
            assign=assign,
            grid=self.grid,
            image_shape=self.image_shape,
            field=field,
        )

    @classmethod
    def fit(
        cls,
        encode: Callable,
        decode: Callable,
        images: np.ndarray,
        *,
        codebook: str = "kmeans",
        assign: str = "whitened",
        codes: int = 512,
        measured_images: int = 1000,
        neighbours: int = 16,
        components: str = "bridge",
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Self:
        """Turns a trained VAE into a tokenizer; its parameters stay as they are.

        Args:
            encode: Images (n, H, W, C) in [0, 1] to latents (n, h, w, d).
            decode: Latents (n, h, w, d) to images (n, H, W, C); a function that JAX can differentiate.
            images: Training images (n, H, W, C), uint8 or floats in [0, 1].
            codebook: One of CODEBOOKS; `kmeans` reconstructs best.
            assign: One of ASSIGNMENTS; `whitened` costs nothing, `local` is better and needs Jacobians at encoding.
            codes: K, the number of codes.
            measured_images: Images, drawn at random, whose tokens' metrics are computed and joined to the graph; about 0.1 s
                of one core an image.
            neighbours: Neighbours of a latent in that graph.
            components: "bridge" or "drop", see `geometry.measure`.
            seed: Of every random choice.
            progress: Called with the measured images done.

        Returns:
            The tokenizer.

        Raises:
            InputError: Images or callables that do not fit, or more codes than distinct latents.
        """
        images = check_images(images)
        _check_choice("codebook", codebook, CODEBOOKS)
        _check_choice("assign", assign, ASSIGNMENTS)
        check_autoencoder(encode, decode, images[:1])
        latents = encode_images(encode, images)
        geometry = measure(
            single(decode),
            latents,
            neighbours=neighbours,
            at_most=measured_images,
            seed=seed,
            components=components,
            progress=progress,
        )
        found = fit_codes(codebook, latents.reshape(-1, latents.shape[-1]), geometry, codes, seed=seed)
        field = code_field(place_codes(geometry, found)) if assign == "geodesic" else None
        return cls(
            encode,
            decode,
            found,
            geometry.mean_metric,
            assign=assign,
            grid=latents.shape[1:3],
            image_shape=images.shape[1:],
            field=field,
        )

    def encode(self, images: np.ndarray, progress: Progress | None = None) -> Int[np.ndarray, "n h w"]:
        """Tokens of images.

        Args:
            images: (n, H, W, C), uint8 or floats in [0, 1].
            progress: Called with the images done.

        Returns:
            int32 (n, h, w) in 0..K-1. Only with assign="geodesic" on a graph whose components were dropped, K marks a token
            that the codes cannot reach; `decode` refuses it and `token_data.keep_valid` drops its image.

        Raises:
            InputError: Images of another shape, dtype or range.
        """
        images = check_images(images, self.image_shape)
        return self.assign_latents(encode_images(self._encode, images), progress=progress)

    def assign_latents(
        self,
        latents: Float[np.ndarray, "n h w d"],
        metrics: Float[np.ndarray, "n h w d d"] | None = None,
        progress: Progress | None = None,
    ) -> Int[np.ndarray, "n h w"]:
        """Tokens of latents.

        Args:
            latents: (n, h, w, d).
            metrics: Metrics of the tokens where they are at hand; computed if the assignment needs them.
            progress: Called with the images done.

        Returns:
            int32 (n, h, w), as `encode`.

        Raises:
            InputError: Latents of another shape, or not finite.
        """
        wanted = (*self.grid, self.codes.shape[1])
        if latents.ndim != 4 or latents.shape[1:] != wanted or len(latents) == 0:
            raise InputError(f"latents: expected shape (n, {', '.join(map(str, wanted))}), found {latents.shape}.")
        check_finite("latents", latents)
        if metrics is not None and metrics.shape != (*latents.shape, wanted[-1]):
            raise InputError(f"metrics: expected one per token, {(*latents.shape, wanted[-1])}, found {metrics.shape}.")
        starts = range(0, len(latents), BATCH)  # the metrics of all images at once might not fit into memory
        blocks = [
            self._assign(latents[i : i + BATCH], None if metrics is None else metrics[i : i + BATCH], progress)
            for i in starts
        ]
        return np.concatenate(blocks)

    def decode(self, tokens: Int[np.ndarray, "n h w"]) -> Float[np.ndarray, "n H W C"]:
        """Images of tokens.

        Args:
            tokens: Integers (n, h, w) in 0..K-1.

        Returns:
            float32 (n, H, W, C), clipped to [0, 1].

        Raises:
            InputError: Tokens of another shape or outside 0..K-1, with their count and the first position.
        """
        tokens = np.asarray(tokens)
        if tokens.ndim != 3 or tokens.shape[1:] != self.grid or len(tokens) == 0:
            raise InputError(
                f"tokens: expected shape (n, {self.grid[0]}, {self.grid[1]}) with n of at least 1, found {tokens.shape}; "
                "reshape them to grids."
            )
        return decode_latents(self._decode, self.codes[check_tokens(tokens, self.k)])

    def save(self, path: str | os.PathLike) -> str:
        """Saves codes, statistics and options as one file with a checksum; the VAE is not part of it.

        Args:
            path: The `.npz` to write; replaced only when the new one is whole.

        Returns:
            SHA-256 of the content.

        Raises:
            InputError: The file cannot be written.
        """
        arrays = {"codes": self.codes, "mean_metric": self.mean_metric}
        arrays["probe_image"], arrays["probe_latents"] = self._probe()
        meta = {
            "kind": _KIND,
            "version": _VERSION,
            "assign": self.assign,
            "grid": self.grid,
            "image_shape": self.image_shape,
        }
        if self.field is not None:
            arrays |= {f"field.{name}": np.asarray(value) for name, value in self.field._asdict().items()}
        return save_arrays(path, arrays, meta)

    @classmethod
    def load(cls, path: str | os.PathLike, encode: Callable, decode: Callable) -> Self:
        """Loads what `save` wrote, verified; nothing is unpickled or executed.

        Args:
            path: The file.
            encode: The VAE's encoder, as for `fit`.
            decode: Its decoder.

        Returns:
            The tokenizer.

        Raises:
            InputError: The file is missing, truncated, changed, or not a tokenizer; or the callables do not fit it.
        """
        arrays, meta = load_arrays(path)
        if meta.get("kind") != _KIND or meta.get("version") != _VERSION:
            raise InputError(
                f"{path}: expected a tokenizer of version {_VERSION}, found {meta.get('kind') or 'a file of other arrays'} "
                f"{meta.get('version', '')}; pass what Tokenizer.save of this version wrote, or fit and save again."
            )
        parts = {name.removeprefix("field."): value for name, value in arrays.items() if name.startswith("field.")}
        neighbours = int(parts.pop("neighbours", 0))
        field = CodeField(**parts, neighbours=neighbours) if parts else None
        loaded = cls(
            encode,
            decode,
            arrays["codes"],
            arrays["mean_metric"],
            assign=meta["assign"],
            grid=meta["grid"],
            image_shape=meta["image_shape"],
            field=field,
        )
        for name, found, stored in zip(
            ("decoder", "encoder"), loaded._probe(), (arrays["probe_image"], arrays["probe_latents"]), strict=True
        ):
            difference = float(np.abs(found - stored).max() / max(1.0, np.abs(stored).max()))
            if difference > _PROBE_TOLERANCE:
                raise InputError(
                    f"{path}: expected the {name} that it was made with, found one whose output for the first code differs by "
                    f"{difference:.2g}; load the VAE that the tokenizer was fitted to."
                )
        return loaded

    def _probe(self) -> tuple[Float[np.ndarray, "1 H W C"], Float[np.ndarray, "1 h w d"]]:
        """What the decoder makes of the first code alone, and the encoder of that: tells one trained VAE from another."""
        image = self.decode(np.zeros((1, *self.grid), np.int32))
        return image, encode_images(self._encode, image)

    def _assign(self, latents: np.ndarray, metrics: np.ndarray | None, progress: Progress | None) -> np.ndarray:
        """Tokens (n, h, w) of one block."""
        d = latents.shape[-1]
        flat = latents.reshape(-1, d)
        if self.assign in NEEDS_METRICS:
            if metrics is None:
                metrics = token_metrics(single(self._decode), latents, plan=REPEATABLE, progress=progress)
            flat_metrics = metrics.reshape(-1, d, d)
            if self.field is not None and self.assign == "geodesic":
                tokens = assign_geodesic(flat, flat_metrics, self.field)
            else:
                tokens = assign_local(flat, self.codes, flat_metrics)
        else:
            if self.assign == "whitened":
                tokens = assign_whitened(flat, self.codes, self.mean_metric)
            else:
                tokens = assign_euclidean(flat, self.codes)
            if progress is not None:
                progress(len(latents))
        return tokens.reshape(latents.shape[:3])


def _check_choice(name: str, found: str, choices: tuple[str, ...]) -> None:
    if found not in choices:
        raise InputError(f"{name}: expected one of {', '.join(choices)}, found {found!r}; choose one of them.")
