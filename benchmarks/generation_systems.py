"""The tokens that benchmarks.generation trains Transformers on, and those runs.

VAEs, codebooks, fine-tuned decoders and VQ-VAEs are those of benchmarks.tokenizer; what is complete in the run folder is not
made again.
"""

import dataclasses
import pathlib
from typing import Literal

from benchmarks.tokenizer_systems import SCHEDULES as TOKENIZER_SCHEDULES
from benchmarks.tokenizer_systems import Study, begun_as
from geovq.config import AssignmentName, CodebookName
from train.config import PRESETS, GPTOptions
from train.run import Run

PERCEPTUAL = 20.0
"""Price of LPIPS where a decoder is fine-tuned with one."""


@dataclasses.dataclass(frozen=True)
class System:
    """Tokens, and how the Transformer over them is trained."""

    codebook: CodebookName | Literal["finetuned", "baseline"]
    assign: AssignmentName
    perceptual: float = 0.0
    """Price of LPIPS in the fine-tuning of the decoder."""
    conditional: bool = True
    codes: int = 512
    large: bool = False
    """Whether the Transformer is the original study's large one: 8 layers, 512 channels, 8 heads."""

    @property
    def name(self) -> str:
        """Of its run folder and its rows."""
        parts = ["vqvae" if self.codebook == "baseline" else self.codebook, self.assign]
        parts += ["perceptual"] if self.perceptual else []
        parts += [] if self.conditional else ["unconditional"]
        parts += ["large"] if self.large else []
        return "-".join(parts if self.codes == 512 else [*parts, str(self.codes)])


SYSTEMS = (
    System("euclidean", "euclidean"),
    System("geodesic", "geodesic"),
    System("metric", "whitened"),
    System("metric", "amortised"),
    System("metric", "joint"),
    System("finetuned", "whitened"),
    System("finetuned", "whitened", conditional=False),
    System("finetuned", "amortised"),
    System("finetuned", "joint"),
    System("finetuned", "joint", perceptual=PERCEPTUAL),
    System("baseline", "euclidean"),
)
"""Those of benchmarks.generation."""

EXPERIMENTS = {
    "1 Euclidean, K = 512": System("euclidean", "euclidean", conditional=False),
    "2 Euclidean, K = 1024, large": System("euclidean", "euclidean", conditional=False, codes=1024, large=True),
    "3 geodesic, K = 512": System("geodesic", "geodesic", conditional=False),
    "decoder fine-tuned": System("finetuned", "whitened", conditional=False),
    "and a larger Transformer": System("finetuned", "whitened", conditional=False, large=True),
    "and class-conditional": System("finetuned", "whitened", large=True),
    "our best": System("finetuned", "joint", large=True),
}
"""Those of benchmarks.study: the original three experiments, what they meant to do next, and the best that there is here."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long and how much."""

    tokenizer: str
    """Schedule of benchmarks.tokenizer, for all but the Transformer."""
    gpt: GPTOptions
    large_epochs: int
    """Epochs of the large Transformer."""
    images: int
    """Images in each set, at most."""
    seeds: tuple[int, ...]
    codes: int | None = None
    """K of all systems, whatever they say."""


_REDUCED = Schedule(
    tokenizer="reduced",
    gpt=GPTOptions(probes=96, average=0.999, epochs=6, patience=0),
    large_epochs=4,
    images=10_000,
    seeds=(0, 1, 2),
)

SCHEDULES = {
    "reduced": _REDUCED,
    "full": dataclasses.replace(
        _REDUCED, tokenizer="full", gpt=GPTOptions(average=0.999, epochs=100, patience=5), large_epochs=100
    ),
    "smoke": Schedule(
        tokenizer="smoke",
        gpt=dataclasses.replace(PRESETS["demo"].gpt, probes=4, average=0.9, epochs=1, patience=0),
        large_epochs=1,
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

    def trained(self, system: System, seed: int) -> Run:
        """A run with a trained Transformer over these tokens."""
        from train import gpt

        made = self._tokenizer(system, seed)
        options = dataclasses.replace(
            self.schedule.gpt,
            codebook=system.codebook,
            assign=system.assign,
            conditional=system.conditional,
            seed=seed,
        )
        if system.large:
            large = {"layers": 8, "width": 512, "heads": 8, "epochs": self.schedule.large_epochs}
            options = dataclasses.replace(options, **large)  # type: ignore[arg-type]
        run = Run(self.folder / f"gpt-{system.name}-{seed}", dataclasses.replace(made.config, gpt=options))
        begun_as(made, run)
        gpt.run(run)
        return run

    def _tokenizer(self, system: System, seed: int) -> Run:
        from train import finetune

        k, study = self.schedule.codes or system.codes, self.study
        if system.codebook == "baseline":
            return study.baseline("vqvae", k, seed)
        if system.codebook != "finetuned":
            return study.ours(k, seed)
        if not system.perceptual:
            return study.tuned(k, seed)
        made = study.ours(k, seed)
        options = dataclasses.replace(made.config.finetune, perceptual=system.perceptual)
        run = Run(self.folder / f"perceptual-{k}-{seed}", dataclasses.replace(made.config, finetune=options))
        begun_as(made, run, without=("finetune",))
        finetune.run(run)
        return run
