"""The tokens that benchmarks.generation trains Transformers on, and those runs.

VAEs, codebooks, fine-tuned decoders and VQ-VAEs are those of benchmarks.tokenizer; what is complete in the run folder is not
made again.
"""

import dataclasses
import pathlib
from typing import Any, Literal

from benchmarks.tokenizer_systems import SCHEDULES as TOKENIZER_SCHEDULES
from benchmarks.tokenizer_systems import Study, begun_as
from geovq.config import AssignmentName, CodebookName, StartName
from train.config import PRESETS, GPTOptions, tokenizer_stages
from train.run import Run

PERCEPTUAL = 20.0
"""Price of LPIPS where a decoder is fine-tuned with one; chosen on validation images by benchmarks.perceptual."""


@dataclasses.dataclass(frozen=True)
class System:
    """Tokens, and the Transformer over them."""

    codebook: CodebookName | Literal["finetuned", "baseline"]
    assign: AssignmentName
    vqvae: bool = False
    """Whether what is fine-tuned is a VQ-VAE."""
    perceptual: float = 0.0
    """Price of LPIPS in the fine-tuning of the decoder."""
    conditional: bool = True
    start: StartName = "codes"
    """Initial rows of the Transformer's tokens."""
    codes: int = 512
    large: bool = False
    """Whether the Transformer is the original study's large one: 8 layers, 512 channels, 8 heads."""
    epochs: int = 100
    """Of the Transformer, on the full schedule."""

    @property
    def name(self) -> str:
        """Of its run folder and its rows."""
        parts = ["vqvae"] if self.vqvae or self.codebook == "baseline" else []
        parts += [] if self.codebook == "baseline" else [self.codebook]
        parts += ["perceptual"] if self.perceptual else []
        parts += [self.assign]
        parts += [] if self.conditional else ["unconditional"]
        parts += ["random"] if self.start == "random" else []
        parts += ["large"] if self.large else []
        return "-".join(parts if self.codes == 512 else [*parts, str(self.codes)])

    @property
    def fields(self) -> dict[str, Any]:
        """What its rows say of it."""
        of_vqvae = self.vqvae or self.codebook == "baseline"
        return {
            "system": "vqvae" if of_vqvae else "ours",
            "tokens": self.name,
            "codebook": self.codebook,
            "assign": self.assign,
            "decoder": {"finetuned": "finetuned", "baseline": "end-to-end"}.get(self.codebook, "frozen"),
            "perceptual": self.perceptual,
            "conditional": self.conditional,
            "start": self.start,
        }


REPLICATED = (
    System("euclidean", "euclidean"),
    System("geodesic", "geodesic"),
    System("finetuned", "whitened"),
    System("finetuned", "whitened", conditional=False),
    System("finetuned", "joint"),
    System("finetuned", "joint", perceptual=PERCEPTUAL),
    System("baseline", "euclidean"),
)
"""Those that benchmarks.generation compares, over all seeds."""

ONCE = (
    System("finetuned", "whitened", start="random"),
    System("finetuned", "amortised"),
    System("metric", "whitened"),
    System("metric", "amortised"),
    System("metric", "joint"),
    System("baseline", "joint"),
    System("finetuned", "whitened", vqvae=True),
    System("finetuned", "joint", vqvae=True),
)
"""Those that stand beside them, trained for the first seed alone on the reduced schedule."""

SYSTEMS = (*REPLICATED, *ONCE)
"""All of benchmarks.generation."""

EXPERIMENTS = {
    "1 Euclidean medoids": System("euclidean", "euclidean", conditional=False, start="random", epochs=50),
    "2 Euclidean medoids, K = 1024, large": System(
        "euclidean", "euclidean", conditional=False, start="random", codes=1024, large=True
    ),
    "3 geodesic medoids": System("geodesic", "geodesic", conditional=False, start="random"),
    "4 metric means, whitened, decoder fine-tuned": System("finetuned", "whitened", conditional=False),
    "5 the same, large": System("finetuned", "whitened", conditional=False, large=True),
    "6 the same, class-conditional": System("finetuned", "whitened", large=True),
    "7 our best: the same with joint tokens": System("finetuned", "joint", large=True),
}
"""Those of benchmarks.study: the original three experiments, what they meant to do next, and the best that there is here."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long and how much."""

    tokenizer: str
    """Schedule of benchmarks.tokenizer, for all but the Transformer."""
    gpt: GPTOptions
    epochs: tuple[int, int] | None
    """Epochs of the small and the large Transformer; None for those that systems have for the full schedule."""
    images: int
    """Images in each set, at most."""
    seeds: tuple[int, ...]
    replicate_all: bool = False
    """Whether systems of `ONCE` are trained for every seed, too."""
    codes: int | None = None
    """K of all systems, whatever they say."""


_REDUCED = Schedule(
    tokenizer="reduced",
    gpt=GPTOptions(probes=96, average=0.999, patience=0, batch_size=64),
    epochs=(6, 4),
    images=5_000,
    seeds=(0, 1, 2),
)

SCHEDULES = {
    "reduced": _REDUCED,
    "full": dataclasses.replace(
        _REDUCED, tokenizer="full", gpt=GPTOptions(average=0.999, patience=0), epochs=None, replicate_all=True
    ),
    "smoke": Schedule(
        tokenizer="smoke",
        gpt=dataclasses.replace(PRESETS["demo"].gpt, probes=4, average=0.9, patience=0),
        epochs=(1, 1),
        images=60,
        seeds=(0,),
        codes=16,
    ),
}
"""reduced: two CPU cores. full: for an accelerator. smoke: the digits, for tests."""


@dataclasses.dataclass(frozen=True)
class Generation:
    """Where the runs are, from which images, and on which schedule."""

    folder: pathlib.Path
    data_dir: str | None
    schedule: Schedule

    @property
    def study(self) -> Study:
        """Of the tokenizers."""
        return Study(self.folder, self.data_dir, TOKENIZER_SCHEDULES[self.schedule.tokenizer], ())

    def classifier(self) -> Run:
        """The trained classifier, in whose features all images are compared."""
        from train import classifier

        preset = PRESETS[self.study.schedule.preset]
        data = dataclasses.replace(preset.data, data_dir=self.data_dir)
        run = Run(self.folder / "classifier", dataclasses.replace(preset, data=data))
        classifier.run(run)
        return run

    def has(self, system: System, seed: int) -> bool:
        """Whether this system is trained for this seed."""
        return system not in ONCE or seed == self.schedule.seeds[0] or self.schedule.replicate_all

    def trained(self, system: System, seed: int) -> Run:
        """A run with a trained Transformer over these tokens."""
        from train import gpt

        made = self._tokenizer(system, seed)
        config = dataclasses.replace(made.config, gpt=self.options(system, seed))
        run = Run(self.folder / f"gpt-{system.name}-{seed}", config)
        begun_as(made, run, tokenizer_stages(config))
        gpt.run(run)
        return run

    def options(self, system: System, seed: int) -> GPTOptions:
        """Of the system's Transformer."""
        options = dataclasses.replace(
            self.schedule.gpt,
            codebook=system.codebook,
            assign=system.assign,
            conditional=system.conditional,
            start=system.start,
            epochs=system.epochs if self.schedule.epochs is None else self.schedule.epochs[system.large],
            seed=seed,
        )
        return dataclasses.replace(options, layers=8, width=512, heads=8) if system.large else options

    def _tokenizer(self, system: System, seed: int) -> Run:
        k, study = self.schedule.codes or system.codes, self.study
        if system.codebook == "baseline":
            return study.baseline("vqvae", k, seed)
        if system.codebook != "finetuned":
            return study.ours(k, seed)
        if system.vqvae:
            return study.tuned_vqvae(k, seed)
        if system.perceptual:
            options = dataclasses.replace(study.schedule.finetune, perceptual=system.perceptual)
            return study.tuned_otherwise(f"perceptual-{k}-{seed}", k, seed, options)
        return study.tuned(k, seed)
