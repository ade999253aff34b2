"""The systems of benchmarks.tokenizer: how each is trained, at which size, and its tokenizer.

Every network has the sizes, the batches and the number of epochs of the VAE; fine-tuning comes on top. What is complete in the
run folder is not made again.
"""

import dataclasses
import pathlib
import shutil
from typing import TYPE_CHECKING, Literal, get_args

from geovq.codebook.names import CodebookName, CompositionName
from geovq.validation import InputError
from train.config.names import BaselineName
from train.config.options import PRESETS, BaselineOptions, CodebookOptions, Config, DataOptions, FinetuneOptions
from train.run.folder import Run

if TYPE_CHECKING:
    from geovq.assignment.base import Assigner
    from geovq.tokenizer.tokenizer import Tokenizer

CODEBOOKS: tuple[CodebookName, ...] = ("kmeans", "whitened", "metric", "refined", "euclidean", "geodesic")
Size = Literal["reduced", "full", "smoke"]
"""How much is measured: for two CPU cores, for an accelerator, or the digits, to try it."""

Part = Literal["vqvae", "finetuned", "frozen", "several", "gaussian", "fsq"]
PARTS: tuple[Part, ...] = get_args(Part)
"""The systems, in the order in which they are computed."""

HEADLINE = "refined"
"""The codebook that is compared with other systems; chosen on validation images."""

LEVELS = {512: (8, 8, 8), 1024: (8, 5, 5, 5), 16: (4, 4)}
"""FSQ's levels for K codes, from its paper; 8x5x5x5 is 1000."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long and how much."""

    preset: str
    """Of the images and the networks."""
    epochs: int
    """Of every network."""
    images: int
    """Test images, drawn once, on which every system is scored with every assignment."""
    lpips_images: int
    """The first of these that LPIPS scores where a row is not compared with other systems."""
    probes: int
    """Directions of `joint` assignment where a row is not compared with other systems; 0 = whole Jacobians."""
    compared_probes: int
    """Of the sketched assignment that is compared with the exact one."""
    num_codes: tuple[int, ...]
    seeds: tuple[int, ...]
    codebook: CodebookOptions
    finetune: FinetuneOptions


_REDUCED = Schedule(
    preset="quick",
    epochs=10,
    images=2000,
    lpips_images=500,
    probes=96,
    compared_probes=96,
    num_codes=(512, 1024),
    seeds=(0, 1, 2),
    codebook=CodebookOptions(codebooks=CODEBOOKS, max_images=1500),
    finetune=FinetuneOptions(
        codebook="metric",
        assigners=("whitened", "joint"),
        probes=96,
        max_images=8000,
        max_val_images=1000,
        rounds=2,
        epochs=(3, 8),
    ),
)

SIZES: dict[Size, Schedule] = {
    "reduced": _REDUCED,
    "full": dataclasses.replace(
        _REDUCED,
        images=10_000,
        lpips_images=10_000,
        probes=0,
        codebook=CodebookOptions(codebooks=CODEBOOKS, max_images=4000),
        finetune=FinetuneOptions(codebook="metric", assigners=("whitened", "joint"), rounds=4),
    ),
    "smoke": Schedule(
        preset="demo",
        epochs=1,
        images=24,
        lpips_images=12,
        probes=4,
        compared_probes=8,
        num_codes=(16,),
        seeds=(0,),
        codebook=CodebookOptions(codebooks=CODEBOOKS, max_images=40, num_neighbours=6),
        finetune=FinetuneOptions(
            codebook="metric",
            assigners=("whitened", "joint"),
            probes=4,
            max_images=64,
            max_val_images=32,
            rounds=2,
            epochs=(1,),
            batch_size=32,
        ),
    ),
}
"""reduced: two CPU cores. full: every row on all test images, for an accelerator. smoke: the digits, to try it."""


@dataclasses.dataclass(frozen=True)
class Tokenizers:
    """Where the runs are, from which images, on which schedule, and what of it."""

    folder: pathlib.Path
    data_dir: str | None
    schedule: Schedule
    parts: tuple[Part, ...]
    noise_variance: float | None = None
    """The VAE's β, which stays; None: a β that moves and holds the KL bits at those of a code, at every position."""

    def vae(self, seed: int) -> Run:
        """The trained continuous VAE of a seed."""
        from train.stages import vae

        run = Run(self.folder / f"vae-{seed}", self._config(seed))
        vae.run(run)
        return run

    def ours(self, k: int, seed: int) -> Run:
        """That VAE with its codebooks of K codes."""
        from train.stages import codebook

        trained, run = self.vae(seed), self._ours(k, seed)
        start_from(trained, run, ("vae",))
        codebook.run(run)
        return run

    def tuned(self, k: int, seed: int) -> Run:
        """The same with its decoder fine-tuned."""
        from train.stages import finetune

        run = self.ours(k, seed)
        finetune.run(run)
        return run

    def tuned_otherwise(self, name: str, made: Run, options: FinetuneOptions, tokens_of: Run | None = None) -> Run:
        """The tokenizer of a run, fine-tuned with these options in a folder of this name; on a Transformer's tokens if given."""
        from train.stages import finetune

        run = Run(self.folder / name, dataclasses.replace(made.config, finetune=options))
        start_from(made, run, ("baseline",) if options.codebook == "vqvae" else ("vae", "codebook"))
        finetune.run(run, tokens_of)
        return run

    def baseline(self, system: BaselineName, k: int, seed: int) -> Run:
        """A trained VQ-VAE or FSQ of K codes."""
        from train.stages import baseline

        config = self._config(seed)
        options = dataclasses.replace(config.baseline, system=system, num_codes=k)
        if system == "fsq":
            options = dataclasses.replace(options, num_codes=BaselineOptions.num_codes, levels=LEVELS[k])
        run = Run(self.folder / f"{system}-{k}-{seed}", dataclasses.replace(config, baseline=options))
        baseline.run(run)
        return run

    def tuned_vqvae(self, k: int, seed: int) -> Run:
        """A trained VQ-VAE whose decoder and codes are fine-tuned as ours are."""
        from train.stages import finetune

        trained = self.baseline("vqvae", k, seed)
        options = dataclasses.replace(self.schedule.finetune, codebook="vqvae")
        run = Run(trained.folder, dataclasses.replace(trained.config, finetune=options))
        finetune.run(run)
        return run

    def _ours(self, k: int, seed: int) -> Run:
        codebook = dataclasses.replace(self.schedule.codebook, num_codes=k)
        config = dataclasses.replace(self._config(seed), codebook=codebook, finetune=self.schedule.finetune)
        return Run(self.folder / f"ours-{k}-{seed}", config)

    def _config(self, seed: int) -> Config:
        preset = PRESETS[self.schedule.preset]
        data = dataclasses.replace(preset.data, data_dir=self.data_dir)
        vae = dataclasses.replace(preset.vae, seed=seed, epochs=self.schedule.epochs)
        if self.noise_variance is not None:
            vae = dataclasses.replace(vae, bits=0, noise_variance=self.noise_variance)
        return dataclasses.replace(preset, data=data, vae=vae)


def check_data(data: DataOptions) -> None:
    """Refuses options of the images: a benchmark's schedule decides everything but their folder.

    Raises:
        InputError: Another option than the folder was given.
    """
    if dataclasses.replace(data, data_dir=None) != DataOptions():
        raise InputError(
            f"data: expected the images of the benchmark's schedule, found other options, {data}; give --data-dir alone."
        )


def start_from(made: Run, run: Run, copied: tuple[str, ...]) -> None:
    """Copies some stages of another run into one that has no folder yet.

    Raises:
        InputError: It has a folder, whose copy of a stage is not what the other has by now.
    """
    if not run.folder.exists():
        unfinished = run.folder.with_name(f".{run.folder.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        shutil.copy(made.folder / "config.json", unfinished)
        for name in copied:
            shutil.copytree(made.folder / name, unfinished / name)
        unfinished.rename(run.folder)
    for name in copied:
        if run.fingerprint(name) != made.fingerprint(name):
            raise InputError(
                f"{run.folder}: expected {name} as in {made.folder}, from which it was copied, found another; move {run.folder} "
                "away to make it anew."
            )


def gaussian(run: Run, k: int, seed: int, assigner: "Assigner") -> "Tokenizer":
    """Post-hoc Gaussian quantization (Xu et al. 2025): K codes drawn from the VAE's prior, nothing fitted."""
    import numpy as np

    from geovq.models.spatial_vae import callables
    from geovq.tokenizer.tokenizer import Tokenizer
    from train.stages import inputs, networks

    images = inputs.images(run.config.data).dataset.train_images
    codes = np.random.default_rng(seed).standard_normal((k, run.config.vae.latent_dim)).astype(np.float32)
    return Tokenizer.from_codes(
        *callables(networks.trained_vae(run, images.shape[1:])), codes, images, assigner=assigner
    )


def two_codes(run: Run, k: int, seed: int, composition: CompositionName) -> "Tokenizer":
    """A tokenizer of two whitened codes for every token."""
    from geovq.assignment import Codebook, Whitened
    from geovq.codebook.fit import fit_codes
    from geovq.codebook.recipe import Recipe
    from geovq.decoder.autoencoder import encode_images
    from geovq.models.spatial_vae import callables
    from geovq.tokenizer.tokenizer import Tokenizer
    from geovq.validation import check_images
    from train.stages import inputs, networks

    images = check_images(inputs.images(run.config.data).dataset.train_images)
    encode, decode = callables(networks.trained_vae(run, images.shape[1:]))
    latents, geometry = encode_images(encode, images), inputs.load_geometry(run)
    flat = latents.reshape(-1, latents.shape[-1])
    codes = fit_codes(Recipe("whitened", k, 2, composition, seed), flat, geometry)
    codebook = Codebook(codes, geometry.position_metrics)
    return Tokenizer(encode, decode, codebook, assigner=Whitened(), image_shape=images.shape[1:])
