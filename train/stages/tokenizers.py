"""The tokenizers of a run: of its codebooks, of its fine-tuning, and of a baseline."""

import os

import numpy as np

from geovq.assignment.amortised import Amortised
from geovq.assignment.geodesic import Geodesic
from geovq.assignment.nearest import Nearest
from geovq.codebook.names import CODEBOOKS
from geovq.models.fsq import bound, grid_codes
from geovq.models.spatial_vae import SpatialVAE, callables
from geovq.models.vq import MovingCodes
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError, check_images
from train.config.assigners import make_assigner
from train.data.datasets import SOURCES
from train.run.folder import Run, stored_run
from train.stages import inputs, networks


def of_codebook(run: Run, codebook: str, assigner: str, probes: int = 0) -> Tokenizer:
    """A tokenizer of the run: one of its codebooks with one of the assigners.

    Raises:
        InputError: The run has no such codebook, or its files are damaged or others.
    """
    path = f"codebook/{codebook}.npz"
    built = [name for name in CODEBOOKS if f"codebook/{name}.npz" in run.outputs("codebook")]
    if codebook not in built:
        raise InputError(f"codebook: expected one that {run.folder} has ({', '.join(built)}), found {codebook!r}.")
    _, meta = run.read("codebook", path)
    encode, decode = callables(networks.trained_vae(run, tuple(meta["image_shape"])))
    stored = Tokenizer.load(run.folder / path, encode, decode)
    return _with_assigner(run, stored, assigner, probes)


def load_tokenizer(folder: str | os.PathLike, codebook: str = "kmeans", assigner: str = "whitened") -> Tokenizer:
    """A tokenizer from a run folder, its VAE included; reads no images, except for amortised, which measures some.

    Args:
        folder: The run folder, with complete stages vae and codebook.
        codebook: One of the codebooks that the run built.
        assigner: One of train.config.names.ASSIGNERS.

    Returns:
        The tokenizer.

    Raises:
        InputError: No such folder or codebook, an unknown assigner, or damaged files.
    """
    return of_codebook(stored_run(folder), codebook, assigner)


def before_finetuning(run: Run, images: np.ndarray) -> Tokenizer:
    """The tokenizer that the run's fine-tuning starts from.

    Args:
        run: With the complete stages that it needs.
        images: Training images.

    Raises:
        InputError: A stage is not complete, or its files are damaged or others.
    """
    if run.config.finetune.codebook == "vqvae":
        return _of_baseline(run, *networks.trained_baseline(run, images.shape[1:]), images)
    return of_codebook(run, run.config.finetune.codebook, "whitened")


def load_finetuned(folder: str | os.PathLike, assigner: str = "whitened", probes: int = 0) -> Tokenizer:
    """The fine-tuned tokenizer of a run, its VAE included; reads no images, except for amortised, which measures some.

    Args:
        folder: The run folder, with the complete stages finetune and vae, or baseline if that is what was fine-tuned.
        assigner: One of train.config.names.ASSIGNERS but geodesic, whichever it was trained on.
        probes: Products that a Jacobian is sketched by; 0 = exact.

    Returns:
        The tokenizer.

    Raises:
        InputError: No such folder, an unknown assigner, or damaged files.
    """
    return _finetuned(stored_run(folder), assigner, probes)


def _finetuned(run: Run, assigner: str, probes: int = 0) -> Tokenizer:
    path = "finetune/tokenizer.npz"
    shape = tuple(run.read("finetune", path)[1]["image_shape"])
    of_baseline = run.config.finetune.codebook == "vqvae"
    vae = networks.trained_baseline(run, shape)[0] if of_baseline else networks.trained_vae(run, shape)
    stored = Tokenizer.load(run.folder / path, *callables(vae))
    return _with_assigner(run, stored, assigner, probes)


def _with_assigner(run: Run, tokenizer: Tokenizer, name: str, probes: int) -> Tokenizer:
    """The tokenizer with an assigner, whose statistics are measured on the run's training images or its graph."""
    assigner = make_assigner(name, probes)
    if isinstance(assigner, Amortised):
        images = inputs.images(run.config.data).dataset.train_images
        return tokenizer.replace(assigner=assigner, images=images)
    if isinstance(assigner, Geodesic):
        return tokenizer.replace(assigner=assigner, geometry=inputs.load_geometry(run))
    return tokenizer.replace(assigner=assigner)


def load_baseline(folder: str | os.PathLike, images: np.ndarray, assigner: str = "euclidean") -> Tokenizer:
    """The tokenizer of a baseline that was trained end to end, with any of our assigners.

    Args:
        folder: The run folder, with the complete stage baseline.
        images: Some training images, on which mean metrics are measured.
        assigner: One of train.config.names.ASSIGNERS but geodesic; it was trained with euclidean.

    Returns:
        The tokenizer.

    Raises:
        InputError: No such folder, an unknown assigner, or damaged files.
    """
    run = stored_run(folder)
    images = check_images(images, SOURCES[run.config.data.dataset].image_shape)
    tokenizer = _of_baseline(run, *networks.trained_baseline(run, images.shape[1:]), images)
    return tokenizer.replace(assigner=make_assigner(assigner), images=images)


def of_gpt(run: Run, assigner: str, probes: int = 0) -> Tokenizer:
    """The tokenizer whose tokens the run's Transformer is trained on, with any assigner.

    Raises:
        InputError: A stage is not complete, or its files are damaged or others.
    """
    codebook = run.config.gpt.codebook
    if codebook == "finetuned":
        return _finetuned(run, assigner, probes)
    if codebook == "baseline":
        images = inputs.images(run.config.data).dataset.train_images
        tokenizer = _of_baseline(run, *networks.trained_baseline(run, images.shape[1:]), images)
        return tokenizer.replace(assigner=make_assigner(assigner, probes), images=images)
    return of_codebook(run, codebook, assigner, probes)


def _of_baseline(run: Run, model: SpatialVAE, codes: MovingCodes | None, images: np.ndarray) -> Tokenizer:
    """The tokenizer of a trained baseline, with the assigner that it was trained with."""
    encode, decode = callables(model)
    if codes is not None:
        return Tokenizer.from_codes(encode, decode, np.asarray(codes.codes), images, assigner=Nearest())
    levels = run.config.baseline.levels
    return Tokenizer.from_codes(
        lambda batch: bound(encode(batch), levels), decode, grid_codes(levels), images, assigner=Nearest()
    )
