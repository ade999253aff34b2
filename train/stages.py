"""What the stages share: the images, the trained models and the tokens of a run, read from its folder."""

import dataclasses
import functools
import os
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.sparse
from flax import nnx

from geovq.checkpoint import Checkpoints, tree_digest
from geovq.checks import InputError, check_images
from geovq.classifier import Classifier
from geovq.config import CODEBOOKS, GPTConfig, VAEConfig
from geovq.data import SOURCES, Dataset, fingerprint, load
from geovq.geometry import Geometry, code_field, place_codes
from geovq.gpt import GPT
from geovq.quantizers import MovingCodes, bounded, check_levels, grid_codes, new_codes
from geovq.store import read_json, save_arrays
from geovq.tokenizer import Tokenizer
from geovq.vae import SpatialVAE, callables
from train.config import DataOptions, token_codes
from train.run import Run, stored_config

GEOMETRY = "codebook/geometry.npz"
"""The measured latents, within the run folder."""


class Images(NamedTuple):
    """The images of a run."""

    dataset: Dataset
    sha256: str


@functools.lru_cache(maxsize=1)
def images(options: DataOptions) -> Images:
    """The images that the options name; read once per process."""
    dataset = load(options.dataset, options.data_dir or os.environ.get("GEOVQ_DATA") or None, options.split_seed)
    counts = f"{len(dataset.train_images):,} train, {len(dataset.val_images):,} validation, {len(dataset.test_images):,} test"
    print(f"data: {options.dataset}, {counts}", flush=True)
    return Images(dataset, fingerprint(dataset))


def class_names(run: Run) -> tuple[str, ...]:
    """Names of the run's classes, without reading its images."""
    return SOURCES[run.config.data.dataset].class_names


def new_vae(run: Run, image_shape: tuple[int, ...]) -> SpatialVAE:
    """The run's VAE with its initial parameters."""
    options = run.config.vae
    height, width, channels = image_shape
    config = VAEConfig((height, width, channels), options.grid, options.latent_dim, options.width, options.max_width)
    return SpatialVAE(config, jax.random.key(options.seed))


def trained_vae(run: Run, image_shape: tuple[int, ...]) -> SpatialVAE:
    """The run's trained VAE.

    Raises:
        InputError: The stage is not complete, or its checkpoint is damaged.
    """
    vae = new_vae(run, image_shape)
    nnx.update(vae, _trained(run, "vae", nnx.state(vae)))
    return vae


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
    model = new_baseline(run, image_shape)
    codes = new_codes(options.codes, model.config.latent_dim) if options.system == "vqvae" else ()
    found = _trained(run, "baseline", {"network": nnx.state(model), "codes": codes})
    nnx.update(model, found["network"])
    return model, found["codes"] if options.system == "vqvae" else None


def new_gpt(run: Run) -> GPT:
    """The run's Transformer with its initial parameters."""
    options = run.config.gpt
    config = GPTConfig(
        codes=token_codes(run.config),
        grid=run.config.vae.grid,
        classes=len(class_names(run)) if options.conditional else 0,
        layers=options.layers,
        width=options.width,
        heads=options.heads,
        dropout=options.dropout,
        class_dropout=options.class_dropout if options.conditional else 0.0,
        bfloat16=options.bfloat16,
    )
    return GPT(config, rngs=nnx.Rngs(options.seed))


def trained_gpt(run: Run) -> GPT:
    """The run's trained Transformer.

    Raises:
        InputError: The stage is not complete, or its checkpoint is damaged.
    """
    gpt = new_gpt(run)
    nnx.update(gpt, _trained(run, "gpt", nnx.state(gpt)))
    return gpt


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
    return found.state["best"]


def new_classifier(run: Run, image_shape: tuple[int, ...]) -> Classifier:
    """The run's classifier with its initial parameters."""
    options = run.config.classifier
    return Classifier(image_shape[2], len(class_names(run)), options.width, jax.random.key(options.seed))


def trained_classifier(run: Run, image_shape: tuple[int, ...]) -> tuple[Classifier, float]:
    """The run's trained classifier and its accuracy on the test images.

    Raises:
        InputError: The stage is not complete, or its checkpoint is damaged.
    """
    classifier = new_classifier(run, image_shape)
    nnx.update(classifier, _trained(run, "classifier", nnx.state(classifier)))
    return classifier, read_json(run.folder / "classifier/accuracy.json")["rows"][0]["value"]


def save_geometry(run: Run, geometry: Geometry) -> None:
    """Saves the measured latents as codebook/geometry.npz."""
    arrays: dict[str, np.ndarray] = {}
    numbers: dict[str, float] = {}
    for name, value in geometry._asdict().items():
        if scipy.sparse.issparse(value):
            arrays |= {f"{name}.{part}": getattr(value, part) for part in ("data", "indices", "indptr")}
        elif isinstance(value, np.ndarray):
            arrays[name] = value
        else:
            numbers[name] = value
    save_arrays(run.folder / GEOMETRY, arrays, numbers)


def load_geometry(run: Run) -> Geometry:
    """What `save_geometry` wrote.

    Raises:
        InputError: The file is missing, damaged or another.
    """
    arrays, meta = run.read("codebook", GEOMETRY)
    n = len(arrays["nodes"])
    graphs = {
        name: scipy.sparse.csr_array(
            (arrays.pop(f"{name}.data"), arrays.pop(f"{name}.indices"), arrays.pop(f"{name}.indptr")), shape=(n, n)
        )
        for name in ("straight", "geodesic")
    }
    fields: dict[str, Any] = arrays | graphs | meta
    if set(fields) != set(Geometry._fields):
        raise InputError(
            f"{run.folder / GEOMETRY}: expected {', '.join(Geometry._fields)}, found {', '.join(sorted(fields))}; it is of "
            f"another version: remove {run.folder / 'codebook'} and run `python -m train.codebook --run {run.folder}`."
        )
    return Geometry(**fields)


def tokenizer(run: Run, codebook: str, assign: str) -> Tokenizer:
    """A tokenizer of the run: one of its codebooks with one of the assignments.

    Raises:
        InputError: The run has no such codebook, or its files are damaged or others.
    """
    path = f"codebook/{codebook}.npz"
    built = [name for name in CODEBOOKS if f"codebook/{name}.npz" in run.outputs("codebook")]
    if codebook not in built:
        raise InputError(f"codebook: expected one that {run.folder} has ({', '.join(built)}), found {codebook!r}.")
    _, meta = run.read("codebook", path)
    encode, decode = callables(trained_vae(run, meta["image_shape"]))
    stored = Tokenizer.load(run.folder / path, encode, decode)
    if assign == "geodesic" and stored.codes.ndim == 2:
        return stored.replace(assign=assign, field=code_field(place_codes(load_geometry(run), stored.codes)))
    return _assigning(run, stored, assign)


def load_tokenizer(folder: str | os.PathLike, codebook: str = "kmeans", assign: str = "whitened") -> Tokenizer:
    """A tokenizer from a run folder, its VAE included; needs no images but for amortised assignment, which measures some.

    Args:
        folder: The run folder, with complete stages vae and codebook.
        codebook: One of those that the run built.
        assign: One of ASSIGNMENTS.

    Returns:
        The tokenizer.

    Raises:
        InputError: No such folder or codebook, an unknown assignment, or damaged files.
    """
    return tokenizer(_stored_run(folder), codebook, assign)


def _stored_run(folder: str | os.PathLike) -> Run:
    config = stored_config(pathlib.Path(folder))
    if config is None:
        raise InputError(f"{folder}: expected a run folder, found no config.json in it; check the path.")
    return Run(pathlib.Path(folder), config)


def untuned(run: Run, images: np.ndarray) -> tuple[SpatialVAE, Tokenizer]:
    """The VAE and the tokenizer that the run's fine-tuning starts from.

    Args:
        run: With the complete stages that it needs.
        images: Training images.

    Raises:
        InputError: A stage is not complete, or its files are damaged or others.
    """
    if run.config.finetune.codebook == "vqvae":
        vae, codes = trained_baseline(run, images.shape[1:])
        return vae, _of_baseline(run, vae, codes, images)
    return trained_vae(run, images.shape[1:]), tokenizer(run, run.config.finetune.codebook, "whitened")


def load_finetuned(folder: str | os.PathLike, assign: str = "whitened", probes: int | None = None) -> Tokenizer:
    """The fine-tuned tokenizer of a run, its VAE included; needs no images but for amortised assignment, which measures some.

    Args:
        folder: The run folder, with the complete stages finetune and vae, or baseline if that is what was fine-tuned.
        assign: One of ASSIGNMENTS but geodesic, whichever it was trained on.
        probes: As for a new tokenizer.

    Returns:
        The tokenizer.

    Raises:
        InputError: No such folder, an unknown assignment, or damaged files.
    """
    return _finetuned(_stored_run(folder), assign, probes)


def _finetuned(run: Run, assign: str, probes: int | None = None) -> Tokenizer:
    path = "finetune/tokenizer.npz"
    shape = run.read("finetune", path)[1]["image_shape"]
    of_baseline = run.config.finetune.codebook == "vqvae"
    vae = trained_baseline(run, shape)[0] if of_baseline else trained_vae(run, shape)
    stored = Tokenizer.load(run.folder / path, *callables(vae)).replace(assign="whitened", probes=probes)
    return _assigning(run, stored, assign)


def _assigning(run: Run, tokenizer: Tokenizer, assign: str) -> Tokenizer:
    """The tokenizer with an assignment for which it may have to see training images."""
    if assign == "amortised":
        return tokenizer.amortised(images(run.config.data).dataset.train_images)
    return tokenizer.replace(assign=assign)


def load_baseline(folder: str | os.PathLike, images: np.ndarray, assign: str = "euclidean") -> Tokenizer:
    """The tokenizer of a baseline that was trained end to end, with any of our assignments.

    Args:
        folder: The run folder, with the complete stage baseline.
        images: Some training images, from which assignments take their mean metrics.
        assign: One of ASSIGNMENTS but geodesic; euclidean is the one that it was trained with.

    Returns:
        The tokenizer.

    Raises:
        InputError: No such folder, an unknown assignment, or damaged files.
    """
    run = _stored_run(folder)
    return _baseline(run, check_images(images, SOURCES[run.config.data.dataset].image_shape), assign)


def _baseline(run: Run, images: np.ndarray, assign: str) -> Tokenizer:
    tokenizer = _of_baseline(run, *trained_baseline(run, images.shape[1:]), images)
    return tokenizer.amortised(images) if assign == "amortised" else tokenizer.replace(assign=assign)


def modelled(run: Run, assign: str) -> Tokenizer:
    """The tokenizer whose tokens the run's Transformer is trained on, with any assignment.

    Raises:
        InputError: A stage is not complete, or its files are damaged or others.
    """
    codebook = run.config.gpt.codebook
    if codebook == "finetuned":
        return _finetuned(run, assign)
    if codebook == "baseline":
        return _baseline(run, images(run.config.data).dataset.train_images, assign)
    return tokenizer(run, codebook, assign)


def _of_baseline(run: Run, model: SpatialVAE, codes: MovingCodes | None, images: np.ndarray) -> Tokenizer:
    """The tokenizer of a trained baseline, with the assignment that it was trained with."""
    encode, decode = callables(model)
    if codes is not None:
        return Tokenizer.from_codes(encode, decode, np.asarray(codes.codes), images, assign="euclidean")
    levels = run.config.baseline.levels
    return Tokenizer.from_codes(
        lambda batch: bounded(encode(batch), levels), decode, grid_codes(levels), images, assign="euclidean"
    )


def class_number(label: str, names: tuple[str, ...]) -> int:
    """Number of a class by its name, in any case.

    Raises:
        InputError: There is none of that name; the message lists them.
    """
    found = [i for i, name in enumerate(names) if name.lower() == label.strip().lower()]
    if not found:
        raise InputError(f"label: expected one of {', '.join(names)}, found {label!r}.")
    return found[0]
