"""A round of fine-tuning: tokens of the training images, and the decoder and codes trained on them."""

from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from geovq.assignment.dispatch import NEEDS_IMAGES, NEEDS_METRICS, Codebook
from geovq.batching.chunks import map_chunks
from geovq.batching.run import DEFAULT_PLAN
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import BATCH
from geovq.geometry.measured import draw
from geovq.metric.batched import mean_metrics
from geovq.models.spatial_vae import SpatialVAE, callables
from geovq.numerics.additive import as_quantizers, sum_codes
from geovq.scores.lpips_network import installed_weights, perceptual_distances
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import check_images
from train.config.options import FinetuneOptions
from train.data.datasets import Dataset
from train.loop import loop, steps
from train.loop.progress import Progress
from train.run.blocks import in_blocks
from train.run.stage_record import Stage

_Value = TypeVar("_Value")

_MEASURED = 200
"""Images whose metrics are measured again after a round."""


def assigned(tokenizer: Tokenizer, images: np.ndarray, stage: Stage, name: str, label: str) -> Int[np.ndarray, "n h w"]:
    """Tokens of images, kept block by block in a folder of the stage."""
    with Progress(label, len(images), "images") as progress:
        return in_blocks(
            stage.folder / name,
            lambda rows: tokenizer.encode(images[rows], progress),
            len(images),
            progress,
            stage.pause,
        )


def of_round(values: tuple[_Value, ...], number: int) -> _Value:
    """What an option says for a round, counted from 1; the last value holds for all further rounds."""
    return values[min(number, len(values)) - 1]


def image_costs(
    options: FinetuneOptions, images: Float[Array, "n H W C"], decoded: Float[Array, "n H W C"]
) -> dict[str, Float[Array, " n"]]:
    """What fine-tuning lowers, of every image: "cost", intensity², which is "squared_error" and the price of "lpips".

    LPIPS is there where it has a price.
    """
    found = {"squared_error": jnp.sum((decoded - images) ** 2, axis=(1, 2, 3))}
    if options.perceptual:
        found["lpips"] = perceptual_distances(installed_weights(), images, decoded)
    return found | {"cost": found["squared_error"] + options.perceptual * found.get("lpips", 0.0)}


def trained_round(
    options: FinetuneOptions,
    data: Dataset,
    vae: SpatialVAE,
    tokenizer: Tokenizer,
    stage: Stage,
    number: int,
    given: Mapping[str, Int[np.ndarray, "n h w"]] | None = None,
) -> tuple[SpatialVAE, Tokenizer]:
    """The VAE and the tokenizer with decoder and codes trained on the tokenizer's own tokens, or on those given.

    Args:
        options: How.
        data: The images.
        vae: With the decoder that the round starts from.
        tokenizer: Of that VAE.
        stage: Keeps tokens and checkpoints in round-NUMBER/.
        number: Of the round, from 1.
        given: Tokens of all "train" and "val" images, instead of the tokenizer's own.

    Returns:
        The VAE with the new decoder, and its tokenizer of the new codes, with mean metrics measured anew.
    """
    folder = stage.folder / f"round-{number}"
    images, val_images = data.train_images, data.val_images[: options.val_images]
    if given is None:
        if options.images and tokenizer.assign in NEEDS_METRICS + NEEDS_IMAGES:
            images = draw(images, options.images, options.seed)
        tokens, val_tokens = (
            assigned(tokenizer, of, stage, f"round-{number}/{part}", f"finetune: round {number}, {name} tokens")
            for part, name, of in (("train", "training", images), ("val", "validation", val_images))
        )
    else:
        tokens, val_tokens = given["train"], given["val"][: len(val_images)]
    parts: Any = nnx.split(vae, _is_decoder, ...)
    graphdef, decoder, rest = parts
    schedule = steps.Schedule.of(len(images), options)._replace(epochs=of_round(options.epochs, number))
    one_code = tokenizer.codes.ndim == 2

    def costs(params, tokens, batch):
        target = batch.astype(jnp.float32) / 255
        latents = sum_codes(params["codes"], tokens[..., None] if one_code else tokens)
        return image_costs(options, target, nnx.merge(graphdef, params["decoder"], rest).decode(latents))

    def loss(params, key, tokens, batch):
        means = jax.tree.map(jnp.mean, costs(params, tokens, batch))
        return means["cost"], means

    score = jax.jit(costs)

    def validate(state):
        found = map_chunks(lambda t, x: score(state["params"], t, x), val_tokens, val_images, chunk=BATCH)
        errors = found["squared_error"]
        means = {name: np.mean(values) for name, values in found.items() if name != "cost"}
        return {"loss": np.mean(found["cost"]), **means, "psnr": np.mean(-10 * np.log10(errors / val_images[0].size))}

    # On the host, for the loop's first step takes the memory of what is on the device.
    params = jax.tree.map(np.array, {"decoder": decoder, "codes": as_quantizers(tokenizer.codes)})
    optimizer = steps.adamw(schedule, options.learning_rate, options.weight_decay)
    model = steps.Model(
        *steps.by_gradient(params, loss, optimizer), lambda rows: (tokens[rows], images[rows]), validate
    )
    loop.train(folder, f"finetune: round {number}", model, schedule, stage.pause)
    best: Any = loop.best_parameters(folder, params)
    trained = nnx.merge(graphdef, best["decoder"], rest)
    codes = np.asarray(best["codes"])[0] if one_code else np.asarray(best["codes"])
    if options.codebook == "vqvae":
        made = Tokenizer.from_codes(
            *callables(trained), codes, images, assign=tokenizer.assign, probes=tokenizer.probes
        )
        return trained, made
    return trained, _measured(trained, codes, tokenizer, images)


def _is_decoder(path: tuple[Any, ...], _: Any) -> bool:
    """Whether a parameter of a SpatialVAE belongs to its decoder."""
    return path[0] in ("first", "up")


def _measured(vae: SpatialVAE, codes: np.ndarray, before: Tokenizer, images: np.ndarray) -> Tokenizer:
    """A tokenizer of the VAE and codes, with its mean metrics."""
    encode, decode = callables(vae)
    some = np.asarray(encode(check_images(draw(images, _MEASURED, 0))))
    metrics = mean_metrics(single(decode), some, plan=DEFAULT_PLAN).by_position
    return Tokenizer(
        encode,
        decode,
        Codebook(codes, metrics),
        assign=before.assign,
        image_shape=before.image_shape,
        probes=before.probes,
    )
