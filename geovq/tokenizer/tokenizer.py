"""Tokenizer: a trained VAE's encoder and decoder, a codebook, and a way to assign tokens."""

import os
from collections.abc import Callable, Sequence
from typing import Literal, Self

import numpy as np
from jaxtyping import Float, Int

from geovq.assignment.dispatch import NEEDS_METRICS, Codebook, assign, check_assignment, check_name
from geovq.assignment.greedy import SWEEPS, assign_decoded
from geovq.assignment.nearest import assign_euclidean
from geovq.batching.chunks import Progress
from geovq.batching.run import DEFAULT_PLAN, Plan
from geovq.codebook.codes import check_recipe
from geovq.codebook.fit import KINDS_IMAGES, Recipe, fit_codebook, with_kinds
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import BATCH, check_autoencoder, decode_latents, encode_images
from geovq.geometry.measured import draw, measure
from geovq.geometry.placed_codes import CodeField
from geovq.metric.batched import mean_metrics
from geovq.numerics.additive import as_quantizers, sum_codes
from geovq.tokenizer.checks import check_grids, check_images_of, check_latents, check_prices, check_probes, check_start
from geovq.tokenizer.file import load_tokenizer, save_tokenizer
from geovq.validation import InputError, check_finite, check_images, check_whole

_PROBE_TOLERANCE = 0.02
"""Share of the largest value: well above what rounding does on another device, well below what another training does."""


class Tokenizer:
    """Images <-> grids of tokens. Made by `fit`, `from_codes` or `load`; immutable."""

    def __init__(
        self,
        encode: Callable,
        decode: Callable,
        codebook: Codebook,
        *,
        assign: str,
        image_shape: Sequence[int],
        probes: int | None = None,
    ):
        """A tokenizer of given codes.

        Args:
            encode: Images (n, H, W, C) in [0, 1] to latents (n, h, w, d). Compile it yourself if it can be.
            decode: Latents (n, h, w, d) to images (n, H, W, C); differentiable, each image by itself.
            codebook: Codes (K, d), or stages (S, K, d), and the statistics of the data: mean metrics (h, w, d, d), whose shape
                is the token grid's, and, for `geodesic`, the codes in the measured graph.
            assign: One of ASSIGNMENTS.
            image_shape: (H, W, C).
            probes: Products that a Jacobian is sketched by: random probes of the image for `local` and `geodesic`, the leading
                directions of the latents for `joint` and `decoded`, where a third of t·d may lose nothing; None for exact ones.

        Raises:
            InputError: Unknown or impossible assignment, codes that are not finite, or a decoder of another image shape.
        """
        codes, metrics = np.asarray(codebook.codes), np.asarray(codebook.position_metrics, np.float32)
        as_quantizers(codes)
        d = codes.shape[-1]
        if metrics.ndim != 4 or metrics.shape[2:] != (d, d):
            raise InputError(
                f"position_metrics: expected shape (h, w, {d}, {d}), found {metrics.shape}; pass those of the codes."
            )
        check_finite("position_metrics", metrics)
        check_probes(probes)
        self.codebook = Codebook(codes.astype(np.float32), metrics, codebook.field, codebook.kinds)
        check_assignment(assign, self.codebook)
        self.assign = assign
        self.image_shape = tuple(image_shape)
        self.probes = probes
        self._encode = encode
        self._decode = decode
        check_autoencoder(encode, decode, np.zeros((1, *self.image_shape), np.float32), (*self.grid, d))

    @property
    def codes(self) -> Float[np.ndarray, "..."]:
        """(K, d), or (S, K, d) where tokens have several codes."""
        return self.codebook.codes

    @property
    def mean_metric(self) -> Float[np.ndarray, "d d"]:
        """Mean of JᵀJ over the data: what `whitened` uses."""
        return self.codebook.mean_metric

    @property
    def k(self) -> int:
        """Number of codes, of each stage."""
        return self.codebook.k

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w)."""
        return self.codebook.grid

    @property
    def token_shape(self) -> tuple[int, ...]:
        """Shape of the tokens of an image: (h, w), or (h, w, S) where tokens have several codes."""
        return self.codebook.token_shape

    def replace(
        self, *, assign: str, field: CodeField | None = None, probes: int | Literal["same"] | None = "same"
    ) -> Self:
        """The same codes with another assignment.

        Args:
            assign: One of ASSIGNMENTS.
            field: The codes in the measured graph, if there is none yet; needed by `geodesic` alone.
            probes: As for a new tokenizer; "same" keeps them.

        Raises:
            InputError: Unknown assignment, geodesic without a field, or amortised without kinds, see `Tokenizer.amortised`.
        """
        return type(self)(
            self._encode,
            self._decode,
            self.codebook if field is None else self.codebook._replace(field=field),
            assign=assign,
            image_shape=self.image_shape,
            probes=self.probes if probes == "same" else probes,
        )

    @classmethod
    def fit(
        cls,
        encode: Callable,
        decode: Callable,
        images: np.ndarray,
        *,
        codebook: str = "whitened",
        assign: str = "joint",
        codes: int = 512,
        stages: int = 1,
        stacking: str = "residual",
        measured_images: int = 1000,
        neighbours: int = 16,
        components: str = "bridge",
        probes: int | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Self:
        """Turns a trained VAE into a tokenizer; its parameters stay as they are.

        Args:
            encode: Images (n, H, W, C) in [0, 1] to latents (n, h, w, d).
            decode: Latents (n, h, w, d) to images (n, H, W, C); a function that JAX can differentiate.
            images: Training images (n, H, W, C), uint8 or floats in [0, 1].
            codebook: One of CODEBOOKS; `refined` reconstructs best and takes some minutes more.
            assign: One of ASSIGNMENTS. `whitened` costs nothing at encoding; `joint` reconstructs far better and needs the image
                and two Jacobians of the decoder for each, see `probes`.
            codes: K, the number of codes, of each stage.
            stages: Codes of a token.
            stacking: "residual" or "product", where a token has several codes, see `geovq.numerics.additive`.
            measured_images: Images, drawn at random, whose tokens' metrics are computed and joined to the graph; about 0.05 s
                of one core an image.
            neighbours: Neighbours of a latent in that graph.
            components: "bridge" or "drop", see `geometry.measure`.
            probes: As for a new tokenizer; the measured images' metrics are sketched by as many, too.
            seed: Of every random choice.
            progress: Called with the measured images done. For `amortised`, `KINDS_IMAGES` more are measured afterwards.

        Returns:
            The tokenizer.

        Raises:
            InputError: Images or callables that do not fit, or more codes than distinct latents.
        """
        images = check_images(images)
        for name, value in (("stages", stages), ("measured_images", measured_images), ("neighbours", neighbours)):
            check_whole(name, value)
        check_whole("seed", seed, 0)
        check_name(assign, stages)
        check_probes(probes)
        check_autoencoder(encode, decode, images[:1])
        latents = encode_images(encode, images)
        check_recipe(codebook, codes, stages, stacking, latents.shape[-1])
        geometry = measure(
            single(decode),
            latents,
            num_neighbours=neighbours,
            max_images=measured_images,
            probes=probes,
            seed=seed,
            components=components,
            progress=progress,
        )
        recipe = Recipe(codebook, codes, stages, stacking, seed)
        found = fit_codebook(recipe, decode, images, latents, geometry, with_field=assign == "geodesic")
        if assign == "amortised":
            found = with_kinds(found, encode, decode, images, seed=seed)
        return cls(encode, decode, found, assign=assign, image_shape=images.shape[1:], probes=probes)

    @classmethod
    def from_codes(
        cls,
        encode: Callable,
        decode: Callable,
        codes: Float[np.ndarray, "..."],
        images: np.ndarray,
        *,
        assign: str = "joint",
        measured_images: int = 200,
        probes: int | None = None,
        seed: int = 0,
    ) -> Self:
        """A tokenizer of codes that were trained elsewhere, such as a VQ-VAE's with its encoder and decoder.

        Args:
            encode: Images (n, H, W, C) in [0, 1] to latents (n, h, w, d), before they are quantized.
            decode: Quantized latents (n, h, w, d) to images.
            codes: (K, d), or stages (S, K, d) whose sums are decoded.
            images: Some training images, whose mean metrics `whitened` and `joint` need; their number may be small.
            assign: One of ASSIGNMENTS but geodesic.
            measured_images: So many of the images, drawn at random, are measured; for `amortised` more, see `amortised`.
            probes: As for a new tokenizer.
            seed: Of the draw.

        Returns:
            The tokenizer.

        Raises:
            InputError: Images, callables or codes that do not fit.
        """
        images = check_images(images)
        check_whole("measured_images", measured_images)
        check_whole("seed", seed, 0)
        check_name(assign, np.ndim(codes) - 1)
        if assign == "geodesic":
            raise InputError(
                "assign: expected another than geodesic, which needs the graph that `fit` makes, found geodesic."
            )
        check_probes(probes)
        check_autoencoder(encode, decode, images[:1])
        latents = encode_images(encode, draw(images, measured_images, seed))
        if np.shape(codes)[-1:] != latents.shape[-1:]:
            raise InputError(
                f"codes: expected {latents.shape[-1]} dimensions, those of the latents, found shape {np.shape(codes)}."
            )
        quantized = sum_codes(stages := as_quantizers(codes), _nearest(latents, stages))
        # Where the decoder is used is at the codes, and one of a VQ-VAE has seen nothing else.
        metrics = mean_metrics(single(decode), quantized, plan=DEFAULT_PLAN).by_position
        codebook = Codebook(codes, metrics)
        if assign == "amortised":
            codebook = with_kinds(codebook, encode, decode, images, seed=seed)
        return cls(encode, decode, codebook, assign=assign, image_shape=images.shape[1:], probes=probes)

    def amortised(
        self,
        images: np.ndarray,
        *,
        measured_images: int = KINDS_IMAGES,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Self:
        """The same codes with `amortised` assignment: most of what `joint` gains, at the cost of some encodings.

        Args:
            images: Training images (n, H, W, C), uint8 or floats in [0, 1].
            measured_images: So many of them, drawn at random, tell what kinds of images there are; a minute for 8,000.
            seed: Of the draw and of the kinds.
            progress: Called with the images done.

        Raises:
            InputError: Images of another shape, dtype or range.
        """
        images = check_images(images, self.image_shape)
        check_whole("measured_images", measured_images)
        check_whole("seed", seed, 0)
        codebook = with_kinds(
            self.codebook, self._encode, self._decode, images, at_most=measured_images, seed=seed, progress=progress
        )
        return type(self)(
            self._encode, self._decode, codebook, assign="amortised", image_shape=self.image_shape, probes=self.probes
        )

    def encode(
        self,
        images: np.ndarray,
        progress: Progress | None = None,
        *,
        start: Int[np.ndarray, "n h w"] | None = None,
        prices: Float[np.ndarray, "n h w K"] | None = None,
        plan: Plan = DEFAULT_PLAN,
    ) -> Int[np.ndarray, "n h w"]:
        """Tokens of images.

        Args:
            images: (n, H, W, C), uint8 or floats in [0, 1].
            progress: Called with the images done.
            start: Tokens that `amortised`, `joint` or `decoded` go on with; those of `whitened` if none are given.
            prices: For `amortised` and `joint`: what every code of every token costs beside its image's squared error,
                intensity². See `geovq.tokenizer.entropy_constrained`.
            plan: How much at once and on which devices the decoder is run, for assignments that run it.

        Returns:
            int32 (n, h, w) in 0..K-1, or (n, h, w, S) where tokens have several codes. Only with assign="geodesic" on a graph
            whose components were dropped, K marks a token that the codes cannot reach; `decode` refuses it and
            `token_data.keep_valid` drops its image.

        Raises:
            InputError: Images of another shape, dtype or range; tokens or prices that do not fit them or the assignment.
        """
        images = check_images(images, self.image_shape)
        return self.assign_latents(
            encode_images(self._encode, images), images=images, progress=progress, start=start, prices=prices, plan=plan
        )

    def assign_latents(
        self,
        latents: Float[np.ndarray, "n h w d"],
        metrics: Float[np.ndarray, "n h w d d"] | None = None,
        progress: Progress | None = None,
        *,
        images: Float[np.ndarray, "n H W C"] | None = None,
        start: Int[np.ndarray, "n h w"] | None = None,
        prices: Float[np.ndarray, "n h w K"] | None = None,
        plan: Plan = DEFAULT_PLAN,
    ) -> Int[np.ndarray, "n h w"]:
        """Tokens of latents.

        Args:
            latents: (n, h, w, d).
            metrics: Metrics of the tokens where they are at hand; computed if the assignment needs them.
            progress: Called with the images done.
            images: What the latents are of, in [0, 1]; needed by `amortised`, `joint` and `decoded`.
            start: As for `encode`.
            prices: As for `encode`.
            plan: As for `encode`.

        Returns:
            int32, as `encode`.

        Raises:
            InputError: Latents of another shape, or not finite; images that are missing or of another shape; tokens or prices
                that do not fit them or the assignment.
        """
        check_latents(latents, metrics, self.codebook)
        n = len(latents)
        images = None if images is None else check_images_of(images, self.image_shape, n)
        start = None if start is None else check_start(start, self.assign, self.codebook, n)
        prices = None if prices is None else check_prices(prices, self.assign, self.codebook, n)

        def block(rows: slice) -> np.ndarray:
            return assign(
                self.assign,
                self._decode,
                self.codebook,
                latents[rows],
                None if images is None else images[rows],
                metrics=None if metrics is None else metrics[rows],
                start=None if start is None else start[rows],
                prices=None if prices is None else prices[rows],
                probes=self.probes,
                plan=plan,
                progress=progress,
            )

        # The metrics of all images at once might not fit into memory; what needs none is faster in one go.
        size = BATCH if self.assign in NEEDS_METRICS else n
        return np.concatenate([block(slice(i, i + size)) for i in range(0, n, size)])

    def improved(
        self,
        tokens: Int[np.ndarray, "n h w"],
        images: np.ndarray,
        progress: Progress | None = None,
        *,
        sweeps: int = SWEEPS,
        plan: Plan = DEFAULT_PLAN,
    ) -> Int[np.ndarray, "n h w"]:
        """Tokens after more sweeps of candidates tried through the decoder, whatever the assignment that made them.

        Args:
            tokens: Integers in 0..K-1, as `encode` returns them.
            images: What they are of, (n, H, W, C), uint8 or floats in [0, 1].
            progress: Called with the images done.
            sweeps: Times that every token is tried at most.
            plan: As for `encode`.

        Returns:
            int32, of the same shape; no image is worse.

        Raises:
            InputError: Tokens or images that do not fit.
        """
        check_whole("sweeps", sweeps)
        tokens = check_grids(tokens, self.codebook)
        images = check_images_of(images, self.image_shape, len(tokens), "grid of tokens")
        return assign_decoded(
            single(self._decode),
            images,
            tokens,
            self.codes,
            self.codebook.position_metrics,
            sweeps=sweeps,
            plan=plan,
            progress=progress,
        )

    def decode(self, tokens: Int[np.ndarray, "n h w"]) -> Float[np.ndarray, "n H W C"]:
        """Images of tokens.

        Args:
            tokens: Integers in 0..K-1, (n, h, w), or (n, h, w, S) where tokens have several codes.

        Returns:
            float32 (n, H, W, C), clipped to [0, 1].

        Raises:
            InputError: Tokens of another shape or outside 0..K-1, with their count and the first position.
        """
        return decode_latents(self._decode, self.quantized(check_grids(tokens, self.codebook)))

    def quantized(self, tokens: Int[np.ndarray, "n h w"]) -> Float[np.ndarray, "n h w d"]:
        """Latents of tokens: their codes, or the sums of their codes. Tokens are not checked."""
        return self.codes[tokens] if self.codes.ndim == 2 else sum_codes(self.codes, tokens)

    def save(self, path: str | os.PathLike, *, decoder: bool = False) -> str:
        """Saves codes, statistics and options as one file with a checksum.

        Args:
            path: The `.npz` to write; replaced only when the new one is whole.
            decoder: Whether the decoder's parameters go with them, as they should after fine-tuning: all that its function
                carries, which for one made by `from_nnx` are those of the whole module.

        Returns:
            SHA-256 of the content.

        Raises:
            InputError: The file cannot be written, or the decoder is a function that carries no parameters.
        """
        options = {"assign": self.assign, "image_shape": self.image_shape, "probes": self.probes}
        return save_tokenizer(path, self.codebook, self._probe(), options, self._decode if decoder else None)

    @classmethod
    def load(cls, path: str | os.PathLike, encode: Callable, decode: Callable) -> Self:
        """Loads what `save` wrote, verified; nothing is unpickled or executed.

        Args:
            path: The file.
            encode: The VAE's encoder, as for `fit`.
            decode: Its decoder. Where the file holds a decoder's parameters, one of the same network with any parameters.

        Returns:
            The tokenizer.

        Raises:
            InputError: The file is missing, truncated, changed, or not a tokenizer; or the callables do not fit it.
        """
        codebook, probe, options, decode = load_tokenizer(path, decode)
        named = {name: options[name] for name in ("assign", "image_shape", "probes")}
        loaded = cls(encode, decode, codebook, **named)
        found = loaded._probe()
        for name, of in (("decoder", "image"), ("encoder", "latents")):
            difference = float(np.abs(found[of] - probe[of]).max() / max(1.0, np.abs(probe[of]).max()))
            if difference > _PROBE_TOLERANCE:
                raise InputError(
                    f"{path}: expected the {name} that it was made with, found one whose output for the first code differs by "
                    f"{difference:.2g}; load the VAE that the tokenizer was fitted to."
                )
        return loaded

    def _probe(self) -> dict[str, np.ndarray]:
        """What the decoder makes of the first code alone, and the encoder of that: tells one trained VAE from another."""
        image = self.decode(np.zeros((1, *self.token_shape), np.int32))
        return {"image": image, "latents": encode_images(self._encode, image)}


def _nearest(latents: np.ndarray, stages: np.ndarray) -> np.ndarray:
    tokens = assign_euclidean(latents.reshape(-1, latents.shape[-1]), stages)
    return tokens.reshape(*latents.shape[:3], len(stages))
