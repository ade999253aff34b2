"""Tokenizer: a trained VAE's encoder and decoder, a codebook, and an assigner of tokens."""

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, Self, overload

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float, Int

from geovq.assignment.base import Assigner, Codebook, Inputs, Training, check_assigner, check_measured
from geovq.batching.chunks import Progress
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.codebook.names import CodebookName, CompositionName
from geovq.codebook.recipe import Recipe
from geovq.decoder.adapters import as_partial, single
from geovq.decoder.autoencoder import check_codes, decode_latents, encode_images
from geovq.decoder.sizes import Sizes, find_sizes
from geovq.geometry.measured import Geometry
from geovq.numerics.additive import sum_codes
from geovq.tokenizer.checks import as_code_costs, as_codebook, as_grids, as_latents, as_start, some_latents, token_shape
from geovq.tokenizer.cost import Cost, tokenizer_cost
from geovq.tokenizer.defaults import MAX_TOKENS, Probes
from geovq.tokenizer.file import Source, describe_assigner, load_tokenizer, save_tokenizer
from geovq.tokenizer.fingerprint import check_fingerprint, fingerprint_vae
from geovq.tokenizer.fitting import Options, fit_images, fit_measured
from geovq.tokenizer.given_codes import measure_codes
from geovq.tokenizer.images import as_crop, as_image_shape, as_pixels, check_images_of
from geovq.tokenizer.lists import assign_list, decode_list, dequantize_list, encode_list
from geovq.tokenizer.measured import Measured
from geovq.tokenizer.parts import Parts, Vae, assemble
from geovq.validation import as_array, as_sizes, check_images, check_seed, is_list_of_arrays


class Tokenizer:
    """Images <-> grids of tokens. Made by `fit`, `from_codes` or `load`; immutable.

    Where the VAE is convolutional, images may have any height and width that its `stride` divides, and lists of images any sizes.
    """

    def __init__(
        self,
        encode: Callable,
        decode: Callable,
        codebook: Codebook,
        *,
        assigner: Assigner,
        image_shape: Sequence[int],
    ):
        """A tokenizer of given codes.

        Args:
            encode: Images (n, H, W, C) in [0, 1] to latents (n, h, w, d). Compile it yourself if it can be.
            decode: Latents (n, h, w, d) to images (n, H, W, C); differentiable, each image by itself.
            codebook: Codes (S, K, d), and mean metrics (h, w, d, d), for the token grids of one image size. With the mean metric
                of all positions, (1, 1, d, d), images of any size are taken where the VAE is convolutional.
            assigner: How codes are chosen, with its statistics if it needs any.
            image_shape: (H, W, C) of images that the VAE takes.

        Raises:
            InputError: No assigner, one whose statistics are missing, codes that are not finite, or a decoder of another image
                shape.
        """
        encode, decode, codebook = as_partial(encode, "encode"), as_partial(decode, "decode"), as_codebook(codebook)
        positions, d = codebook.position_metrics.shape[:2], codebook.codes.shape[-1]
        vae = Vae(encode, decode, find_sizes(encode, decode, as_sizes("image_shape", image_shape), positions, d), d)
        check_assigner(assigner, codebook.num_quantizers, any_size=vae.any_size)
        check_measured(assigner, codebook)
        check_codes(encode, decode, some_latents(codebook, vae.sizes.grid), vae.sizes.image_shape)
        self._parts = Parts(vae, codebook, assigner)

    @classmethod
    def _of(cls, parts: Parts) -> Self:
        """A tokenizer of parts that were checked before."""
        made = cls.__new__(cls)
        made._parts = parts
        return made

    def __repr__(self) -> str:
        """Codes and assigner in one line, and sizes in another."""
        count, (height, width, channels) = self.num_quantizers, self.image_shape
        codes = f"{self.num_codes} codes" if count == 1 else f"{count} x {self.num_codes} codes"
        others = "no other size"
        if self.stride is not None:
            others = "also every height and width that the stride "
            others += f"{self.stride[0]} divides" if len({*self.stride}) == 1 else "{}x{} divides".format(*self.stride)
        return (
            f"<Tokenizer: {codes} of {self.codebook.codes.shape[-1]} numbers, assigner {describe_assigner(self.assigner)};\n"
            f" images {height}x{width}x{channels} <-> tokens {'x'.join(map(str, self.token_shape))}, {others}>"
        )

    @property
    def codebook(self) -> Codebook:
        """Codes (S, K, d) and mean metrics."""
        return self._parts.codebook

    @property
    def assigner(self) -> Assigner:
        """How codes are chosen, with its statistics."""
        return self._parts.assigner

    @property
    def sizes(self) -> Sizes:
        """Sizes of images and grids of tokens that it takes."""
        return self._parts.vae.sizes

    @property
    def encoder(self) -> Partial:
        """Images (n, H, W, C) in [0, 1] to latents (n, h, w, d)."""
        return self._parts.vae.encode

    @property
    def decoder(self) -> Partial:
        """Latents (n, h, w, d) to images (n, H, W, C), with its parameters: those of the file, where it held some."""
        return self._parts.vae.decode

    @property
    def codes(self) -> Float[np.ndarray, "K d"] | Float[np.ndarray, "S K d"]:
        """(K, d), or (S, K, d) where tokens have several codes."""
        return self.codebook.codes[0] if self.num_quantizers == 1 else self.codebook.codes

    @property
    def mean_metric(self) -> Float[np.ndarray, "d d"]:
        """Mean of JᵀJ over the data, or with large grids the metric of quantization steps, intensity²: what `Whitened` uses."""
        return self.codebook.mean_metric

    @property
    def num_codes(self) -> int:
        """K, of each quantizer."""
        return self.codebook.num_codes

    @property
    def num_quantizers(self) -> int:
        """S, the codes of a token."""
        return self.codebook.num_quantizers

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(H, W, C) of the images that it was made for; with a `stride`, one size of many."""
        return self.sizes.image_shape

    @property
    def stride(self) -> tuple[int, int] | None:
        """Height and width of a token in pixels, where images of every size that they divide are taken; else None."""
        return self.sizes.stride

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of an image of `image_shape`."""
        return self.sizes.grid

    @property
    def token_shape(self) -> tuple[int, ...]:
        """Shape of the tokens of an image of `image_shape`: (h, w), or (h, w, S) where tokens have several codes."""
        return token_shape(self.codebook, self.grid)

    @classmethod
    def fit(
        cls,
        encode: Callable,
        decode: Callable,
        images: np.ndarray,
        *,
        num_codes: int = 512,
        codebook: CodebookName = "whitened",
        assigner: Assigner | None = None,
        num_quantizers: int = 1,
        composition: CompositionName = "residual",
        max_images: int | None = None,
        max_tokens: int = MAX_TOKENS,
        num_neighbours: int = 16,
        components: str = "bridge",
        probes: Probes = "auto",
        seed: int = 0,
        plan: Plan = DEFAULT_PLAN,
        progress: Progress | None = None,
    ) -> Self:
        """Turns a trained VAE into a tokenizer; its parameters stay as they are.

        It measures what the codebook and the assigner need, and fits the codes. To fit several codebooks, call `geovq.measure`
        once and `from_measured` for each.

        Where grids are large, see `geovq.measure`, the codebooks `kmeans` and `whitened` have the metric of their quantization
        steps in the place of the mean metric: `geovq.codebook.fit_step_metric` chooses it by crops of the images.

        Args:
            encode: Images (n, H, W, C) in [0, 1] to latents (n, h, w, d).
            decode: Latents (n, h, w, d) to images (n, H, W, C); a function that JAX can differentiate.
            images: Training images (n, H, W, C), uint8 or floats in [0, 1].
            num_codes: K, of each quantizer.
            codebook: One of `geovq.codebook.CODEBOOKS`; `refined` reconstructs best and takes some minutes more.
            assigner: `Whitened()` costs nothing at encoding; `Joint()` reconstructs far better and needs two Jacobians of the
                decoder for each image. Statistics that it needs are measured. None takes `Joint()` where latents have at most 113
                channels or a grid at most 1,024 numbers, h·w·d, and else `Joint(probes=256)`.
            num_quantizers: S, the codes of a token.
            composition: "residual" or "product", where a token has several codes, see `geovq.numerics.additive`.
            max_images: Images at most, drawn at random, that are measured; this, `max_tokens`, `num_neighbours`, `components` and
                `probes` are as for `geovq.measure`, which says how many images of which size are enough.
            max_tokens: Tokens at most whose own metrics are kept.
            num_neighbours: Neighbours of a latent in the graph.
            components: "bridge" or "drop".
            probes: Random probes by which metrics are sketched; None for exact ones; "auto" for exact ones of small grids.
            seed: Of every random choice.
            plan: How much at once and on which devices the decoder is run.
            progress: Called with the images done: as they are encoded, and again in every step that measures them.

        Returns:
            The tokenizer.

        Raises:
            InputError: Images or callables that do not fit, or more codes than distinct latents.
        """
        recipe = Recipe(codebook, num_codes, num_quantizers, composition, seed)
        options = Options(max_images, max_tokens, num_neighbours, components, probes, seed, plan, progress)
        return cls._of(fit_images(encode, decode, images, recipe, assigner, options))

    @classmethod
    def from_measured(
        cls,
        encode: Callable,
        decode: Callable,
        measured: Measured,
        *,
        num_codes: int = 512,
        codebook: CodebookName = "whitened",
        assigner: Assigner | None = None,
        num_quantizers: int = 1,
        composition: CompositionName = "residual",
        images: np.ndarray | None = None,
        seed: int = 0,
        plan: Plan = DEFAULT_PLAN,
        progress: Progress | None = None,
    ) -> Self:
        """A tokenizer from what `geovq.measure` found out about a VAE: any codebook and number of codes, measured once.

        Args:
            encode: The encoder that was measured, as for `fit`.
            decode: The decoder that was measured.
            measured: What `geovq.measure` returned, or `Measured.load` read.
            num_codes: As for `fit`.
            codebook: As for `fit`.
            assigner: As for `fit`.
            num_quantizers: As for `fit`.
            composition: As for `fit`.
            images: Training images of the measured size, for the codebook `refined` and for `Amortised`; others need none.
            seed: Of the codes, and of what the assigner draws.
            plan: How much at once and on which devices the decoder is run.
            progress: Called with the images done, where there are images to look at; crops are such images, too.

        Returns:
            The tokenizer that `fit` makes of the same images and seed.

        Raises:
            InputError: Another VAE than was measured, options that do not fit, more codes than distinct latents, or a codebook
                or an assigner for which too little was measured or images are missing.
        """
        recipe = Recipe(codebook, num_codes, num_quantizers, composition, seed)
        return cls._of(fit_measured(encode, decode, measured, recipe, assigner, images, plan, progress))

    @classmethod
    def from_codes(
        cls,
        encode: Callable,
        decode: Callable,
        codes: Float[np.ndarray, "..."],
        images: np.ndarray,
        *,
        assigner: Assigner | None = None,
        max_images: int = 200,
        probes: Probes = "auto",
        seed: int = 0,
        plan: Plan = DEFAULT_PLAN,
        progress: Progress | None = None,
    ) -> Self:
        """A tokenizer of codes that were trained elsewhere, such as a VQ-VAE's with its encoder and decoder.

        Where grids are large, see `geovq.measure`, it has the metric of quantization steps to these codes in the place of
        the mean metric: `geovq.codebook.fit_step_metric` chooses it by crops of the images.

        Args:
            encode: Images (n, H, W, C) in [0, 1] to latents (n, h, w, d), before they are quantized.
            decode: Quantized latents (n, h, w, d) to images.
            codes: (K, d), or (S, K, d) of which a token gets one code each, whose sum is decoded. Pass the codes of a residual VQ
                as they are; `geovq.numerics.additive_codes` makes them of a grouped VQ, `geovq.models.channel_codes` of FSQ.
            images: Some training images, whose mean metrics `Whitened` and `Joint` need; their number may be small.
            assigner: Any but `Geodesic`, which needs the graph that `fit` makes. None chooses as `fit` does.
            max_images: Images at most, drawn at random, that are measured; `Amortised` has a number of its own.
            probes: Random probes of every image by which mean metrics are sketched; None for exact ones. "auto" takes exact ones
                where a grid has at most 1,024 numbers and its Jacobian at most 2²². Else it takes images of 2²¹ pixels at most,
                but at least 16, and 1 to 16 probes of each.
            seed: Of the draw and the probes.
            plan: How much at once and on which devices the decoder is run.
            progress: Called with the images done: as they are encoded, and again in every step that measures them.

        Returns:
            The tokenizer.

        Raises:
            InputError: Images, callables, codes or an assigner that do not fit.
        """
        return cls._of(measure_codes(encode, decode, codes, images, assigner, max_images, probes, seed, plan, progress))

    def replace(
        self,
        *,
        assigner: Assigner,
        images: np.ndarray | None = None,
        geometry: Geometry | None = None,
        seed: int = 0,
        plan: Plan = DEFAULT_PLAN,
        progress: Progress | None = None,
    ) -> Self:
        """The same codes with another assigner.

        Args:
            assigner: Any; statistics that it needs and does not have are measured.
            images: Training images (n, H, W, C), from which `Amortised` measures its clusters: a minute for 8,000.
            geometry: The measured graph in which `Geodesic` places the codes, `geometry` of what `geovq.measure` returns.
            seed: Of what is drawn and clustered.
            plan: How much at once and on which devices the decoder is run.
            progress: Called with the images done.

        Raises:
            InputError: No assigner, or one whose statistics are missing without images or geometry to measure them from.
        """
        check_seed(seed)
        check_assigner(assigner, self.num_quantizers, any_size=self.stride is not None)
        if images is not None:
            images = as_array("images", images)  # the drawn ones are checked where they are measured
            check_images(images[:1] if images.ndim else images, self.image_shape)
        training = Training(self._parts.vae.encode, images, geometry, seed)
        return self._of(assemble(self._parts.vae, self.codebook, assigner, training, plan, progress))

    @overload
    def encode(
        self,
        images: np.ndarray,
        *,
        start: Int[np.ndarray, "..."] | None = ...,
        code_costs: Float[np.ndarray, "..."] | None = ...,
        pad: bool = ...,
        plan: Plan = ...,
        progress: Progress | None = ...,
    ) -> Int[np.ndarray, "n h w"] | Int[np.ndarray, "n h w S"]: ...

    @overload
    def encode(
        self,
        images: Sequence[np.ndarray],
        *,
        start: Sequence[np.ndarray] | None = ...,
        code_costs: Sequence[np.ndarray] | None = ...,
        pad: bool = ...,
        plan: Plan = ...,
        progress: Progress | None = ...,
    ) -> list[np.ndarray]: ...

    def encode(
        self,
        images: Any,
        *,
        start: Any = None,
        code_costs: Any = None,
        pad: bool = False,
        plan: Plan = DEFAULT_PLAN,
        progress: Progress | None = None,
    ) -> Any:
        """Tokens of images.

        Args:
            images: (n, H, W, C), uint8 or floats in [0, 1]. Or a list or tuple of images (H, W, C) of one dtype, which may have
                different sizes; those of one size are encoded together, a bounded number at a time.
            start: Tokens that `Amortised`, `Joint` or `Greedy` go on with, as this returns them. Without them `Greedy` starts
                with its `initial` assigner, the others with `Whitened`.
            code_costs: For `Amortised` and `Joint`: what every code of every token costs beside its image's squared error,
                intensity², of the shape of the tokens with K at the end; for a list of images a list. See
                `geovq.tokenizer.entropy_constrained`.
            pad: Whether images whose sides the `stride` does not divide are padded: the last rows and columns are
                repeated. What was added counts as part of the image for every assigner. `decode` crops it with `image_shape`.
            plan: How much at once and on which devices the decoder is run, for assigners that run it.
            progress: Called with the images done.

        Returns:
            int32 (n, h, w) in 0..K-1, or (n, h, w, S) where tokens have several codes; for a list of images the list of their
            tokens (h, w) or (h, w, S). Only with `Geodesic` on a graph whose components were dropped, K marks a token that the
            codes cannot reach; `decode` refuses it and `geovq.models.token_data.keep_valid` drops its image.

        Raises:
            InputError: Images of another shape, dtype or range than are taken; tokens or costs that do not fit them or the
                assigner.
        """
        if is_list_of_arrays(images):
            encode = functools.partial(self.encode, pad=pad, plan=plan, progress=progress)
            return encode_list(encode, self._parts, images, {"start": start, "code_costs": code_costs}, pad=pad)
        vae, images = self._parts.vae, as_pixels(images, self.sizes, pad=pad)
        vae.check_size(images.shape[1:])
        latents = encode_images(vae.encode, images, plan=plan)
        looked_at = images if self.assigner.needs_images else None
        return self.assign_latents(
            latents, images=looked_at, start=start, code_costs=code_costs, plan=plan, progress=progress
        )

    @overload
    def assign_latents(
        self,
        latents: Float[np.ndarray, "n h w d"],
        *,
        metrics: Float[np.ndarray, "n h w d d"] | None = ...,
        images: np.ndarray | None = ...,
        start: Int[np.ndarray, "..."] | None = ...,
        code_costs: Float[np.ndarray, "..."] | None = ...,
        plan: Plan = ...,
        progress: Progress | None = ...,
    ) -> Int[np.ndarray, "n h w"] | Int[np.ndarray, "n h w S"]: ...

    @overload
    def assign_latents(
        self,
        latents: Sequence[np.ndarray],
        *,
        metrics: Sequence[np.ndarray] | None = ...,
        images: Sequence[np.ndarray] | None = ...,
        start: Sequence[np.ndarray] | None = ...,
        code_costs: Sequence[np.ndarray] | None = ...,
        plan: Plan = ...,
        progress: Progress | None = ...,
    ) -> list[np.ndarray]: ...

    def assign_latents(
        self,
        latents: Any,
        *,
        metrics: Any = None,
        images: Any = None,
        start: Any = None,
        code_costs: Any = None,
        plan: Plan = DEFAULT_PLAN,
        progress: Progress | None = None,
    ) -> Any:
        """Tokens of latents.

        Args:
            latents: (n, h, w, d), or a list of latents (h, w, d) of different sizes; the other arguments are lists then, too.
            metrics: Metrics of the tokens where they are at hand; computed if the assigner needs them.
            images: What the latents are of, uint8 or floats in [0, 1]; needed by `Amortised`, `Joint` and `Greedy`. Padded, if
                they were when they were encoded.
            start: As for `encode`.
            code_costs: As for `encode`.
            plan: As for `encode`.
            progress: Called with the images done.

        Returns:
            int32, as `encode`.

        Raises:
            InputError: Latents of another shape, or not finite; images that are missing or of another shape; tokens or costs
                that do not fit them or the assigner.
        """
        if is_list_of_arrays(latents):
            assign = functools.partial(self.assign_latents, plan=plan, progress=progress)
            given = {"metrics": metrics, "images": images, "start": start, "code_costs": code_costs}
            return assign_list(assign, self._parts, latents, given)
        latents, metrics = as_latents(latents, metrics, self.codebook, self.sizes.only_grid)
        n, grid = len(latents), latents.shape[1:3]
        inputs = Inputs(
            latents,
            None if images is None else check_images_of(images, self.sizes.image_of(grid), n),
            metrics,
            None if start is None else as_start(start, self.assigner, self.codebook, n, grid),
            None if code_costs is None else as_code_costs(code_costs, self.assigner, self.codebook, n, grid),
        )
        tokens = self.assigner(single(self._parts.vae.decode), self.codebook, inputs, plan=plan, progress=progress)
        return tokens.reshape(n, *token_shape(self.codebook, grid))

    @overload
    def decode(
        self,
        tokens: Int[np.ndarray, "n h w"] | Int[np.ndarray, "n h w S"],
        *,
        image_shape: Sequence[int] | None = ...,
        plan: Plan = ...,
    ) -> Float[np.ndarray, "n H W C"]: ...

    @overload
    def decode(
        self, tokens: Sequence[np.ndarray], *, image_shape: Sequence[Sequence[int]] | None = ..., plan: Plan = ...
    ) -> list[np.ndarray]: ...

    def decode(self, tokens: Any, *, image_shape: Any = None, plan: Plan = DEFAULT_PLAN) -> Any:
        """Images of tokens.

        Args:
            tokens: Integers in 0..K-1, (n, h, w), or (n, h, w, S) where tokens have several codes. Or a list of the tokens (h, w)
                or (h, w, S) of images of different sizes.
            image_shape: (H, W) of images that were padded, to which the decoded ones are cropped; for a list of tokens a list of
                sizes, one for each. A third number, channels, is not looked at.
            plan: How much memory the decoder may take.

        Returns:
            float32 (n, H, W, C), clipped to [0, 1]; for a list of tokens the list of their images (H, W, C).

        Raises:
            InputError: Tokens of another shape or outside 0..K-1, with their count and the first position, or a size that is not
                that of an image with these tokens.
        """
        if is_list_of_arrays(tokens):
            return decode_list(functools.partial(self.decode, plan=plan), self._parts, tokens, image_shape)
        vae, latents = self._parts.vae, self.dequantize(tokens)
        decoded = self.sizes.image_of(latents.shape[1:])
        height, width = decoded[:2] if image_shape is None else as_crop(image_shape, decoded, self.sizes)
        vae.check_size(decoded)
        return decode_latents(vae.decode, latents, plan=plan)[:, :height, :width]

    @overload
    def dequantize(
        self, tokens: Int[np.ndarray, "n h w"] | Int[np.ndarray, "n h w S"]
    ) -> Float[np.ndarray, "n h w d"]: ...

    @overload
    def dequantize(self, tokens: Sequence[np.ndarray]) -> list[np.ndarray]: ...

    def dequantize(self, tokens: Any) -> Any:
        """Latents of tokens: their codes, or the sums of their codes; arguments and errors as for `decode`."""
        if is_list_of_arrays(tokens):
            return dequantize_list(self.dequantize, self._parts, tokens)
        return sum_codes(self.codebook.codes, as_grids(tokens, self.codebook, self.sizes.only_grid))

    def save(
        self,
        path: str | os.PathLike,
        *,
        decoder: bool = False,
        autoencoder: Source | None = None,
        plan: Plan = DEFAULT_PLAN,
    ) -> str:
        """Saves codes, the assigner with its statistics, and options as one file with a checksum.

        Args:
            path: The `.npz` to write; replaced only when the new one is whole.
            decoder: Whether the decoder's parameters go with them, as they should after fine-tuning: all that its function
                carries, which for one made by `from_nnx` are those of the whole module.
            autoencoder: Where its weights are, and their checksum, for programs that load both.
            plan: How much memory encoder and decoder may take for one image, by which `load` knows the VAE again.

        Returns:
            SHA-256 of the content.

        Raises:
            InputError: The file cannot be written, the decoder is a function that carries no parameters, or the assigner is not
                one of this library.
        """
        decode = self._parts.vae.decode if decoder else None
        fingerprint = self._fingerprint(plan)
        return save_tokenizer(path, self.codebook, self.assigner, self.image_shape, fingerprint, decode, autoencoder)

    @classmethod
    def load(cls, path: str | os.PathLike, encode: Callable, decode: Callable, *, plan: Plan = DEFAULT_PLAN) -> Self:
        """Loads what `save` wrote, verified; nothing is unpickled or executed.

        Args:
            path: The file.
            encode: The VAE's encoder, as for `fit`.
            decode: Its decoder. Where the file holds a decoder's parameters, one of the same network with any parameters.
            plan: As for `save`.

        Returns:
            The tokenizer.

        Raises:
            InputError: The file is missing, truncated, changed, or not a tokenizer; or the callables do not fit it.
        """
        stored = load_tokenizer(path, as_partial(decode, "decode"))
        loaded = cls(encode, stored.decode, stored.codebook, assigner=stored.assigner, image_shape=stored.image_shape)
        found, remedy = loaded._fingerprint(plan), "load the VAE that the tokenizer was fitted to"
        check_fingerprint(found, stored.fingerprint, str(path), remedy)
        return loaded

    def cost(self, image_shape: Sequence[int] | None = None, *, plan: Plan = DEFAULT_PLAN) -> Cost:
        """What it costs to encode one image: passes through the decoder, bytes at once, and an estimate of seconds.

        Args:
            image_shape: (H, W, C) that `encode` takes; None for that of the images it was fitted to.
            plan: As for `encode`.

        Raises:
            InputError: Another shape, or an image that does not fit in the plan's memory.
        """
        shape = self.image_shape if image_shape is None else as_image_shape(image_shape, self.sizes)
        self._parts.vae.check_size(shape)
        return tokenizer_cost(self._parts, shape, plan)

    def _fingerprint(self, plan: Plan) -> dict[str, np.ndarray]:
        """What the VAE makes of the first code alone."""
        first = self.dequantize(np.zeros((1, *self.token_shape), np.int32))
        return fingerprint_vae(self._parts.vae.encode, self._parts.vae.decode, first, plan)
