"""The runs of the generation study: what each system trains. What is complete in the run folder is not made again."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.generation.schedules import Schedule
from benchmarks.generation.systems import EXPERIMENTS, ONCE, PREDICTED, REPLICATED, System
from benchmarks.tokenizer.systems import Tokenizers, start_from
from geovq.validation import InputError
from train.config.options import PRESETS, FinetuneOptions, GPTOptions, tokenizer_stages
from train.run.folder import Run

if TYPE_CHECKING:
    from geovq.tokenizer.tokenizer import Tokenizer

LPIPS_WEIGHT = 20.0
"""Weight of LPIPS where a decoder is fine-tuned with one; chosen on validation images by benchmarks.perceptual."""

NAT_WEIGHT = 0.1
"""Weight of a nat where tokens have one; benchmarks.entropy compares some on validation images."""


class Trained(NamedTuple):
    """A trained Transformer, and the decoder of its samples."""

    system: System
    seed: int
    run: Run
    """With the Transformer, its tokens, and the tokenizer that has made them."""
    tuned: Run | None
    """With the fine-tuned decoder; None where the tokenizer's own is used."""

    def tokenizer(self) -> "Tokenizer":
        """What decodes the tokens."""
        from train.stages import tokenizers

        if self.tuned is not None:
            return tokenizers.load_finetuned(self.tuned.folder)
        return tokenizers.of_gpt(self.run, "euclidean")  # decoding is the same for all assigners

    def made_by(self, *stages: str) -> dict[str, str]:
        """Fingerprints of the tokenizer, of the fine-tuning if there is one, and of more stages of the run."""
        found = {name: self.run.fingerprint(name) for name in (*tokenizer_stages(self.run.config), *stages)}
        return found if self.tuned is None else found | {"finetune": self.tuned.fingerprint("finetune")}


@dataclasses.dataclass(frozen=True)
class Generation:
    """Where the runs are, from which images, and on which schedule."""

    folder: pathlib.Path
    data_dir: str | None
    schedule: Schedule

    @property
    def tokenizers(self) -> Tokenizers:
        """Tokenizers of the VAEs whose bits are held, and of the VQ-VAEs."""
        return Tokenizers(self.folder, self.data_dir, self.schedule.tokenizer, ())

    def tokenizers_of(self, system: System) -> Tokenizers:
        """Tokenizers of the VAEs with the system's β; a β that is fixed has one codebook and a folder of its own."""
        if system.noise_variance is None or system.codebook == "baseline":
            return self.tokenizers
        codebook = dataclasses.replace(self.schedule.tokenizer.codebook, codebooks=(system.codebook,))
        return dataclasses.replace(
            self.tokenizers,
            folder=self.folder / f"beta-{system.noise_variance:g}-{system.codebook}",
            schedule=dataclasses.replace(self.schedule.tokenizer, codebook=codebook),
            noise_variance=system.noise_variance,
        )

    @property
    def fixed_seeds(self) -> dict[str, int]:
        """The seeds that all systems share."""
        tokenizer = self.schedule.tokenizer
        return {
            "classifier": PRESETS[tokenizer.preset].classifier.seed,
            "codebook": tokenizer.codebook.seed,
            "fine-tuning": tokenizer.finetune.seed,
        }

    def classifier(self) -> Run:
        """The trained classifier, in whose features all images are compared."""
        from train.stages import classifier

        preset = PRESETS[self.schedule.tokenizer.preset]
        data = dataclasses.replace(preset.data, data_dir=self.data_dir)
        run = Run(self.folder / "classifier", dataclasses.replace(preset, data=data))
        classifier.run(run)
        return run

    def has(self, system: System, seed: int) -> bool:
        """Whether this system is trained for this seed."""
        return system in REPLICATED or seed == self.schedule.seeds[0] or self.schedule.whole

    def check_seeds(self, systems: Mapping[str, System], seeds: tuple[int, ...]) -> None:
        """Refuses a system that has none of these seeds on this schedule.

        Raises:
            InputError: With the seeds that it has.
        """
        for name, system in systems.items():
            if not any(self.has(system, seed) for seed in seeds):
                raise InputError(
                    f"seeds: expected {self.schedule.seeds[0]}, the only one of {name} on this schedule, found "
                    f"{', '.join(map(str, seeds))}; change --seeds or leave {name} out."
                )

    def tokenizer_seed(self, seed: int) -> int:
        """The seed of the networks whose tokens the Transformer of a seed is trained on."""
        return seed if self.schedule.whole else self.schedule.seeds[0]

    def trained(self, system: System, seed: int) -> "Trained":
        """The system's Transformer, over tokens that another may have been trained on before, and its decoder."""
        from train.stages import gpt

        made = self._tokenizer(system, seed)
        config = dataclasses.replace(made.config, gpt=self.options(system, seed))
        run = Run(self.folder / f"gpt-{system.transformer}-{seed}", config)
        start_from(made, run, tokenizer_stages(config))
        prior = None if system.prior is None else self.trained(system.prior, self.tokenizer_seed(seed)).run
        gpt.run(run, self.with_tokens(system, seed, run), prior)
        return Trained(system, seed, run, self._tuned(system, seed, run))

    def with_tokens(self, system: System, seed: int, run: Run) -> Run | None:
        """Another run of the folder that has the same tokens already, of any schedule; None if there is none.

        Seeds of Transformers share tokens where they share tokenizers. Long training has other training images where the others
        have a part of them.

        Args:
            system: Whose tokens are wanted.
            seed: Of its Transformer.
            run: Where they are wanted.
        """
        alike = dict.fromkeys(
            other.transformer
            for other in (*REPLICATED, *ONCE, *EXPERIMENTS.values(), *PREDICTED)
            if other.tokens == system.tokens and self._images(other) == self._images(system)
        )
        seeds = [s for s in self.schedule.seeds if self.tokenizer_seed(s) == self.tokenizer_seed(seed)]
        folders = (self.folder / f"gpt-{name}-{s}" for name in alike for s in seeds)
        found = (folder for folder in folders if folder != run.folder and (folder / "gpt/tokens.npz").exists())
        return next((Run(folder, run.config) for folder in found), None)

    def options(self, system: System, seed: int) -> GPTOptions:
        """Of the system's Transformer."""
        options = dataclasses.replace(
            self.schedule.gpt,
            codebook=system.codebook,
            assigner=system.assign,
            probes=self.schedule.probes.get(system.assign, 0),
            max_images=self._images(system),
            nat_weight=NAT_WEIGHT if system.entropy else 0.0,
            conditional=system.conditional,
            start=system.start,
            epochs=self.schedule.epochs_of(system),
            seed=seed,
        )
        return dataclasses.replace(options, layers=8, width=512, heads=8) if system.large else options

    def tuning(self, system: System) -> FinetuneOptions:
        """How a decoder is fine-tuned on the system's tokens."""
        return dataclasses.replace(
            self.schedule.tokenizer.finetune,
            codebook="vqvae" if system.codebook == "baseline" else system.codebook,
            lpips_weight=LPIPS_WEIGHT if system.decoder == "perceptual" else 0.0,
        )

    def _images(self, system: System) -> int:
        """Training images of its Transformer, at most; 0 for all."""
        return 0 if system.training == "long" else self.schedule.gpt.max_images

    def _tuned(self, system: System, seed: int, tokens_of: Run) -> Run | None:
        """A run whose decoder and codes are fine-tuned on the system's tokens; None where its own decoder is used."""
        if system.decoder == "own":
            return None
        name = f"{system.decoder}-{system.tokens}-{self.tokenizer_seed(seed)}"
        return self.tokenizers.tuned_otherwise(name, self._tokenizer(system, seed), self.tuning(system), tokens_of)

    def _tokenizer(self, system: System, seed: int) -> Run:
        seed, codes = self.tokenizer_seed(seed), self.schedule.num_codes or system.num_codes
        if system.codebook == "baseline":
            return self.tokenizers.baseline("vqvae", codes, seed)
        return self.tokenizers_of(system).ours(codes, seed)
