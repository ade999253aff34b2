"""A round of fine-tuning: tokens of the training images, and the decoder and codes trained on them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, PyTree, UInt8

from geovq.assignment.base import Codebook
from geovq.batching.chunks import map_chunks
from geovq.batching.plan import DEFAULT_PLAN
from geovq.cli.progress import Progress
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import BATCH
from geovq.geometry.measured import draw
from geovq.metric.batched import mean_metrics
from geovq.models.lpips_network import installed_weights, perceptual_distances
from geovq.numerics.additive import sum_codes
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import check_images
from train.config.options import FinetuneOptions
from train.data.intensities import to_intensities
from train.loop import loop
from train.loop.schedule import Schedule
from train.loop.task import GradientTask, Means, State
from train.run.blocks import in_blocks
from train.run.stage_record import Stage

Grids = Int[np.ndarray, "n h w"] | Int[np.ndarray, "n h w S"]
"""Tokens of images; with the axis S where a token has several codes."""

_Value = TypeVar("_Value")

_MEASURED = 200
"""Images whose metrics are measured again after a round."""


def assign_images(tokenizer: Tokenizer, images: np.ndarray, stage: Stage, name: str, label: str) -> Grids:
    """Tokens of images, kept block by block in a folder of the stage."""
    with Progress(label, len(images), "images") as progress:
        return in_blocks(
            stage.folder / name,
            lambda rows: tokenizer.encode(images[rows], progress=progress),
            len(images),
            progress,
            stage.pause,
        )


def value_of_round(values: Sequence[_Value], number: int) -> _Value:
    """What an option says for a round, counted from 1; the last value holds for all further rounds."""
    return values[min(number, len(values)) - 1]


def image_costs(
    options: FinetuneOptions, images: Float[Array, "n H W C"], decoded: Float[Array, "n H W C"]
) -> dict[str, Float[Array, " n"]]:
    """What fine-tuning lowers, of every image: "cost", intensity², which is "squared_error" and the weighed "lpips".

    LPIPS is there where it has a weight.
    """
    found = {"squared_error": jnp.sum((decoded - images) ** 2, axis=(1, 2, 3))}
    if options.lpips_weight:
        found["lpips"] = perceptual_distances(installed_weights(), images, decoded)
    return found | {"cost": found["squared_error"] + options.lpips_weight * found.get("lpips", 0.0)}


class FinetuneTask(GradientTask):
    """Decoder and codes on frozen tokens; the encoder stays."""

    def __init__(
        self,
        decode: Partial,
        codes: Float[np.ndarray, "S K d"],
        images: UInt8[np.ndarray, "n H W C"],
        tokens: Int[np.ndarray, "n h w S"],
        val_images: UInt8[np.ndarray, "m H W C"],
        val_tokens: Int[np.ndarray, "m h w S"],
        options: FinetuneOptions,
        schedule: Schedule,
    ):
        """The task.

        Args:
            decode: The decoder that the round starts from; it carries its parameters.
            codes: The codes that it starts from.
            images: Training images.
            tokens: Their tokens.
            val_images: Validation images.
            val_tokens: Their tokens.
            options: How it is trained.
            schedule: How long.
        """
        parameters, self._structure = jax.tree.flatten(decode)
        # On the host, because the loop's first step takes the memory of what is on the device.
        self.params = jax.tree.map(np.array, {"decoder": parameters, "codes": codes})
        super().__init__(self.params, schedule.adamw(options))
        self._images, self._tokens = images, tokens
        self._val_images, self._val_tokens = val_images, val_tokens
        self._options = options
        self._scores = jax.jit(self._costs)

    def batch(self, indices: np.ndarray) -> tuple[Any, ...]:
        """Tokens and images."""
        return self._tokens[indices], self._images[indices]

    def loss(self, params: PyTree, key: jax.Array, *batch: Any) -> tuple[jax.Array, Means]:
        """Mean cost of the images."""
        means = jax.tree.map(jnp.mean, self._costs(params, *batch))
        return means["cost"], means

    def validate(self, state: State) -> Mapping[str, float]:
        """Means of the costs, and PSNR, on the validation images."""
        found = map_chunks(
            lambda tokens, images: self._scores(state["params"], tokens, images),
            self._val_tokens,
            self._val_images,
            chunk=BATCH,
        )
        errors = found["squared_error"]
        means = {name: float(np.mean(values)) for name, values in found.items() if name != "cost"}
        psnr = float(np.mean(-10 * np.log10(errors / self._val_images[0].size)))
        return {"loss": float(np.mean(found["cost"])), **means, "psnr": psnr}

    def decoder(self, params: PyTree) -> Partial:
        """The decoder with these parameters."""
        return jax.tree.unflatten(self._structure, params["decoder"])

    def _costs(
        self, params: PyTree, tokens: Int[Array, "n h w S"], images: UInt8[Array, "n H W C"]
    ) -> dict[str, Float[Array, " n"]]:
        decoded = self.decoder(params)(sum_codes(params["codes"], tokens))
        return image_costs(self._options, to_intensities(images), decoded)


class Parts(NamedTuple):
    """Images that are trained on, and images that say when to stop."""

    train: UInt8[np.ndarray, "n H W C"]
    val: UInt8[np.ndarray, "m H W C"]


def train_round(
    options: FinetuneOptions,
    images: Parts,
    tokenizer: Tokenizer,
    stage: Stage,
    number: int,
    given: Mapping[str, Grids] | None = None,
) -> Tokenizer:
    """The tokenizer with decoder and codes trained on its own tokens, or on given tokens.

    Args:
        options: How.
        images: The images.
        tokenizer: With the decoder and the codes that the round starts from.
        stage: Keeps tokens and checkpoints in round-NUMBER/.
        number: Number of the round, from 1.
        given: Tokens of all "train" and "val" images, instead of the tokenizer's own.

    Returns:
        A tokenizer of the new decoder and codes, with mean metrics measured anew.
    """
    folder = stage.folder / f"round-{number}"
    train_images, val_images = images.train, images.val[: options.max_val_images]
    if given is None:
        if options.max_images and (tokenizer.assigner.needs_images or tokenizer.assigner.needs_metrics):
            train_images = draw(train_images, options.max_images, options.seed)
        tokens, val_tokens = (
            assign_images(tokenizer, of, stage, f"round-{number}/{part}", f"finetune: round {number}, {name} tokens")
            for part, name, of in (("train", "training", train_images), ("val", "validation", val_images))
        )
    else:
        tokens, val_tokens = given["train"], given["val"][: len(val_images)]
    schedule = Schedule.of(len(train_images), options)._replace(epochs=value_of_round(options.epochs, number))
    if tokenizer.num_quantizers == 1:
        tokens, val_tokens = tokens[..., None], val_tokens[..., None]
    codes = tokenizer.codebook.codes
    task = FinetuneTask(tokenizer.decoder, codes, train_images, tokens, val_images, val_tokens, options, schedule)
    loop.train(folder, f"finetune: round {number}", task, schedule, stage.pause)
    best: Any = loop.best_parameters(folder, task.params)
    decode, codes = task.decoder(jax.tree.map(jnp.asarray, best)), np.asarray(best["codes"])
    if options.codebook == "vqvae" or tokenizer.stride is not None:
        return Tokenizer.from_codes(tokenizer.encoder, decode, codes, train_images, assigner=tokenizer.assigner)
    return _measure(tokenizer, decode, codes, train_images)


def _measure(before: Tokenizer, decode: Partial, codes: Float[np.ndarray, "S K d"], images: np.ndarray) -> Tokenizer:
    """A tokenizer of another decoder and other codes, with its mean metrics."""
    some = np.asarray(before.encoder(check_images(draw(images, _MEASURED, 0))))
    metrics = mean_metrics(single(decode), some, plan=DEFAULT_PLAN).by_position
    codebook = Codebook(codes, metrics.astype(np.float32))
    return Tokenizer(before.encoder, decode, codebook, assigner=before.assigner, image_shape=before.image_shape)
