"""What the stages share: the images, the trained models and the tokens of a run, read from its folder."""

import functools
import os
import pathlib
from typing import NamedTuple

import jax
import numpy as np
import scipy.sparse
from flax import nnx

from geovq.checkpoint import Checkpoints, tree_digest
from geovq.checks import InputError, check_tokens
from geovq.config import GPTConfig, VAEConfig
from geovq.data import Dataset, fingerprint, load
from geovq.geometry import Geometry, code_field, place_codes
from geovq.gpt import GPT
from geovq.store import load_arrays, save_arrays
from geovq.token_data import keep_valid
from geovq.tokenizer import Tokenizer
from geovq.vae import SpatialVAE, callables
from train.config import DataOptions
from train.progress import Progress
from train.run import Run


class Images(NamedTuple):
    """The images of a run."""

    dataset: Dataset
    sha256: str


def images(options: DataOptions) -> Images:
    """The images that the options name; read once per process."""
    return _images(options)


@functools.lru_cache(maxsize=1)
def _images(options: DataOptions) -> Images:
    dataset = load(options.dataset, options.data_dir or os.environ.get("GEOVQ_DATA") or None, options.split_seed)
    counts = f"{len(dataset.train_images):,} train, {len(dataset.val_images):,} validation, {len(dataset.test_images):,} test"
    print(f"data: {options.dataset}, {counts}", flush=True)
    return Images(dataset, fingerprint(dataset))


def new_vae(run: Run, data: Images) -> SpatialVAE:
    """The run's VAE with its initial parameters."""
    options = run.config.vae
    shape = data.dataset.train_images.shape[1:]
    config = VAEConfig(shape, options.grid, options.latent_dim, options.width, options.max_width)
    return SpatialVAE(config, jax.random.key(options.seed))


def trained_vae(run: Run, data: Images) -> SpatialVAE:
    """The run's trained VAE.

    Raises:
        InputError: The stage is not complete, or its checkpoint is damaged.
    """
    vae = new_vae(run, data)
    nnx.update(vae, _trained(run, "vae", nnx.state(vae)))
    return vae


def new_gpt(run: Run, data: Images) -> GPT:
    """The run's Transformer with its initial parameters."""
    options, classes = run.config.gpt, len(data.dataset.class_names)
    h, w = run.config.vae.grid
    config = GPTConfig(
        codes=run.config.codebook.codes,
        length=h * w,
        classes=classes if options.conditional else 0,
        layers=options.layers,
        width=options.width,
        heads=options.heads,
        dropout=options.dropout,
    )
    return GPT(config, rngs=nnx.Rngs(options.seed))


def trained_gpt(run: Run, data: Images) -> GPT:
    """The run's trained Transformer.

    Raises:
        InputError: The stage is not complete, or its checkpoint is damaged.
    """
    gpt = new_gpt(run, data)
    nnx.update(gpt, _trained(run, "gpt", nnx.state(gpt)))
    return gpt


def _trained(run: Run, stage: str, like: nnx.State) -> nnx.State:
    """The best parameters of a trained network, held against the fingerprint that was recorded when it was finished."""
    recorded = run.outputs(stage)[f"{stage}/checkpoints"]
    folder = run.folder / stage
    with Checkpoints(folder / "checkpoints") as checkpoints:
        found = checkpoints.restore({"best": like})
    if found is None or tree_digest(found.state["best"]) != recorded:
        raise InputError(
            f"{folder}/checkpoints: expected the parameters that training ended with, found others or none; remove "
            f"{folder}/stage.json and run `python -m train.{stage} --run {run.folder}`: training goes on from what is whole."
        )
    return found.state["best"]


def load_geometry(path: pathlib.Path) -> Geometry:
    """What `save_geometry` wrote."""
    arrays, meta = load_arrays(path)
    n = len(arrays["nodes"])
    graphs = {
        name: scipy.sparse.csr_array(
            (arrays.pop(f"{name}.data"), arrays.pop(f"{name}.indices"), arrays.pop(f"{name}.indptr")), shape=(n, n)
        )
        for name in ("straight", "geodesic")
    }
    return Geometry(**arrays, **graphs, neighbours=meta["neighbours"])


def save_geometry(path: pathlib.Path, geometry: Geometry) -> str:
    """Saves the measured latents as one file; returns its digest."""
    arrays: dict[str, np.ndarray] = {}
    for name, value in geometry._asdict().items():
        if scipy.sparse.issparse(value):
            arrays |= {f"{name}.{part}": getattr(value, part) for part in ("data", "indices", "indptr")}
        elif name != "neighbours":
            arrays[name] = value
    return save_arrays(path, arrays, {"neighbours": geometry.neighbours})


def tokenizer(run: Run, data: Images, codebook: str, assign: str) -> Tokenizer:
    """A tokenizer of the run: one of its codebooks with one of the assignments.

    Raises:
        InputError: The run has no such codebook, or there is no such assignment.
    """
    available = run.config.codebook.codebooks
    if codebook not in available:
        raise InputError(f"codebook: expected one that the run has ({', '.join(available)}), found {codebook!r}.")
    encode, decode = callables(trained_vae(run, data))
    stored = Tokenizer.load(run.folder / "codebook" / f"{codebook}.npz", encode, decode)
    field = None
    if assign == "geodesic":
        field = code_field(place_codes(load_geometry(run.folder / "codebook/geometry.npz"), stored.codes))
    return stored.replace(assign=assign, field=field)


def save_tokens(run: Run, data: Images) -> None:
    """Tokens of all images as gpt/tokens.npz; images with tokens that no code can be reached from are left out."""
    options = run.config.gpt
    chosen = tokenizer(run, data, options.codebook, options.assign)
    arrays: dict[str, np.ndarray] = {}
    for part in ("train", "val", "test"):
        found, labels = getattr(data.dataset, f"{part}_images"), getattr(data.dataset, f"{part}_labels")
        with Progress(f"gpt: {part} tokens ({options.codebook}, {options.assign})", len(found), "images") as progress:
            grids = chosen.encode(found, progress)
        kept, kept_labels, lost = keep_valid(grids.reshape(len(grids), -1), labels, chosen.k)
        arrays |= {part: kept, f"{part}_labels": np.asarray(kept_labels)}
        if lost:
            print(
                f"gpt: {lost:,} of {len(grids):,} {part} images have tokens without a code and are left out", flush=True
            )
    save_arrays(run.folder / "gpt/tokens.npz", arrays, {"codebook": options.codebook, "assign": options.assign})


def load_tokens(run: Run) -> dict[str, np.ndarray]:
    """Tokens (n, t) and labels (n,) of the run's images: train, train_labels, val, val_labels, test, test_labels.

    Raises:
        InputError: The file is damaged, or holds tokens outside 0..K-1.
    """
    arrays, _ = load_arrays(run.folder / "gpt/tokens.npz")
    for part in ("train", "val", "test"):
        check_tokens(arrays[part], run.config.codebook.codes)
    return arrays


def class_number(label: str, names: tuple[str, ...]) -> int:
    """Number of a class by its name, in any case.

    Raises:
        InputError: There is none of that name; the message lists them.
    """
    found = [i for i, name in enumerate(names) if name.lower() == label.strip().lower()]
    if not found:
        raise InputError(f"label: expected one of {', '.join(names)}, found {label!r}.")
    return found[0]
