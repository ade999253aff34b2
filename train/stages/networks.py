"""The networks of a run: with initial parameters, or trained."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from geovq.models.config import GPTConfig, VAEConfig
from geovq.models.fsq import check_levels
from geovq.models.gpt import GPT
from geovq.models.spatial_vae import SpatialVAE
from geovq.models.vq import MovingCodes, initial_codes
from geovq.storage.records import read_record
from geovq.validation import InputError
from train.config.options import token_codes
from train.run.checkpoint import Checkpoints, tree_digest
from train.run.fingerprint import intact
from train.run.folder import Run
from train.stages import inputs
from train.stages.classifier_network import Classifier, ClassifierConfig


def new_vae(run: Run, image_shape: tuple[int, ...]) -> SpatialVAE:
    """The run's VAE with its initial parameters."""
    options = run.config.vae
    height, width, channels = image_shape
    config = VAEConfig((height, width, channels), options.grid, options.latent_dim, options.width, options.max_width)
    return SpatialVAE(config, rngs=nnx.Rngs(options.seed))


def trained_vae(run: Run, image_shape: tuple[int, ...]) -> SpatialVAE:
    """The run's trained VAE.

    Raises:
        InputError: The stage is not complete, or its checkpoint is damaged.
    """
    graphdef, like = _untrained(lambda: new_vae(run, image_shape))
    return nnx.merge(graphdef, _trained(run, "vae", like))


def new_baseline(run: Run, image_shape: tuple[int, ...]) -> SpatialVAE:
    """The run's baseline with its initial parameters: the VAE's networks; FSQ has a latent number for every level.

    Raises:
        InputError: Impossible sizes or levels.
    """
    levels = run.config.baseline.levels
    if run.config.baseline.system == "vqvae":
        return new_vae(run, image_shape)
    check_levels(levels)
    vae = dataclasses.replace(run.config.vae, latent_dim=len(levels))
    return new_vae(Run(run.folder, dataclasses.replace(run.config, vae=vae)), image_shape)


def trained_baseline(run: Run, image_shape: tuple[int, ...]) -> tuple[SpatialVAE, MovingCodes | None]:
    """The run's trained baseline, and the codes that a VQ-VAE has.

    Raises:
        InputError: The stage is not complete, or its checkpoint is damaged.
    """
    options = run.config.baseline
    graphdef, like = _untrained(lambda: new_baseline(run, image_shape))
    codes = initial_codes(options.num_codes, run.config.vae.latent_dim) if options.system == "vqvae" else ()
    found = _trained(run, "baseline", {"network": like, "codes": codes})
    return nnx.merge(graphdef, found["network"]), found["codes"] if options.system == "vqvae" else None


def new_gpt(run: Run) -> GPT:
    """The run's Transformer with initial weights as in GPT-2."""
    return GPT(_gpt_config(run), rngs=nnx.Rngs(run.config.gpt.seed))


def _gpt_config(run: Run) -> GPTConfig:
    """Sizes of the Transformer over the tokens of the run's own images."""
    options = run.config.gpt
    return GPTConfig(
        num_codes=token_codes(run.config),
        grid=run.config.vae.grid,
        classes=len(inputs.class_names(run)) if options.conditional else 0,
        layers=options.layers,
        width=options.width,
        heads=options.heads,
        dropout=options.dropout,
        class_dropout=options.class_dropout if options.conditional else 0.0,
        bfloat16=options.bfloat16,
        rotary=options.rotary,
        rematerialize=options.rematerialize,
    )


def trained_gpt(run: Run, config: GPTConfig | None = None) -> GPT:
    """The run's trained Transformer.

    Args:
        run: The run.
        config: Its sizes, where it was trained on other tokens than those of the run's own images.

    Raises:
        InputError: The stage is not complete, or its checkpoint is damaged.
    """
    sizes = _gpt_config(run) if config is None else config
    graphdef, like = _untrained(lambda: GPT(sizes, rngs=nnx.Rngs(0)))
    return nnx.merge(graphdef, _trained(run, "gpt", like))


def _untrained(make: Callable[[], nnx.Module]) -> tuple[Any, Any]:
    """The structure of a network, and its parameters' shapes in the place of values, which would take seconds to draw."""
    return nnx.split(nnx.eval_shape(make))


def _trained(run: Run, stage: str, like: Any) -> Any:
    """The best parameters of a trained network, in the structure of `like`, held against the fingerprint that was recorded."""
    recorded = run.outputs(stage)[f"{stage}/checkpoints"]
    folder = run.folder / stage / "checkpoints"
    with Checkpoints(folder) as checkpoints:
        found = checkpoints.restore({"best": like})
    if found is None or tree_digest(found.state["best"]) != recorded:
        raise InputError(
            f"{folder}: expected the parameters that training ended with, found others or none; run `python -m "
            f"train.{stage} --run {run.folder}`: training goes on from the newest checkpoint that is whole."
        )
    return jax.tree.map(jnp.asarray, found.state["best"])


def new_classifier(run: Run, image_shape: tuple[int, ...]) -> Classifier:
    """The run's classifier with its initial parameters."""
    options = run.config.classifier
    config = ClassifierConfig(image_shape[2], len(inputs.class_names(run)), options.width)
    return Classifier(config, rngs=nnx.Rngs(options.seed))


def trained_classifier(run: Run, image_shape: tuple[int, ...]) -> tuple[Classifier, float]:
    """The run's trained classifier and its accuracy on the test images.

    Raises:
        InputError: The stage is not complete, or its checkpoint or accuracy is not what was recorded.
    """
    graphdef, like = _untrained(lambda: new_classifier(run, image_shape))
    classifier = nnx.merge(graphdef, _trained(run, "classifier", like))
    name = "classifier/accuracy.json"
    path = run.folder / name
    if not intact(path, run.outputs("classifier")[name]):
        raise InputError(
            f"{path}: expected the accuracy that was measured, found another or none; move {path.parent} away and run "
            "train.classifier again."
        )
    return classifier, read_record(path)["rows"][0]["value"]
