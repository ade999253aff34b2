"""The tokens that benchmarks.generation and study train Transformers on, those runs, and the decoders of their samples.

Tokens come from a VAE and its codebooks, or from a VQ-VAE, and stay as they are when a decoder is fine-tuned on them: one
Transformer serves every decoder of its tokens. Some tokens are what the Transformer of others expects. What is complete in the
run folder is not made again.
"""

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from benchmarks.tokenizer_systems import SCHEDULES as TOKENIZER_SCHEDULES
from benchmarks.tokenizer_systems import Schedule as TokenizerSchedule
from benchmarks.tokenizer_systems import Study, begun_as
from geovq.config import AssignmentName, CodebookName, StartName
from train.config import PRESETS, ClassifierOptions, CodebookOptions, FinetuneOptions, GPTOptions, tokenizer_stages
from train.run import Run

if TYPE_CHECKING:
    from geovq.tokenizer import Tokenizer

PERCEPTUAL = 20.0
"""Price of LPIPS where a decoder is fine-tuned with one; chosen on validation images by benchmarks.perceptual."""

NAT = 0.1
"""Price of a nat where tokens have one; benchmarks.entropy compares some on validation images."""


@dataclasses.dataclass(frozen=True)
class System:
    """Tokens, the Transformer over them, and the decoder of its samples."""

    codebook: CodebookName | Literal["baseline"]
    assign: AssignmentName
    decoder: Literal["own", "finetuned", "perceptual"] = "own"
    """own: what the codes were made for. finetuned: that, trained on the tokens. perceptual: the same with a price on LPIPS."""
    priced: bool = False
    """Whether nats have a price: those of a Transformer over `whitened` tokens of this codebook."""
    held: bool = True
    """Whether the VAE's KL bits are held at those of a code, at every position."""
    conditional: bool = True
    start: StartName = "codes"
    """Initial rows of the Transformer's tokens."""
    codes: int = 512
    large: bool = False
    """Whether the Transformer is the original study's large one: 8 layers, 512 channels, 8 heads."""
    epochs: int = 100
    """Of the Transformer, on the full schedule."""

    @property
    def transformer(self) -> str:
        """Name of the Transformer, which systems share that differ in their decoder alone."""
        parts = [self.tokens]
        parts += [] if self.conditional else ["unconditional"]
        parts += ["random"] if self.start == "random" else []
        parts += ["large"] if self.large else []
        return "-".join(parts)

    @property
    def tokens(self) -> str:
        """Name of the tokens, which Transformers of all kinds share."""
        parts = ["vqvae" if self.codebook == "baseline" else self.codebook, self.assign]
        parts += ["priced"] if self.priced else []
        parts += [] if self.held else ["free"]
        return "-".join(parts if self.codes == 512 else [*parts, str(self.codes)])

    @property
    def prior(self) -> "System | None":
        """That whose Transformer's nats have a price: of `whitened` tokens, class-conditional, small."""
        free: dict[str, Any] = {
            "assign": "whitened",
            "priced": False,
            "decoder": "own",
            "conditional": True,
            "start": "codes",
            "large": False,
        }
        return dataclasses.replace(self, **free) if self.priced else None

    @property
    def name(self) -> str:
        """Of its rows."""
        return self.transformer if self.decoder == "own" else f"{self.transformer}-{self.decoder}"

    @property
    def fields(self) -> dict[str, Any]:
        """What its rows say of it."""
        of_vqvae = self.codebook == "baseline"
        return {
            "system": "vqvae" if of_vqvae else "ours",
            "name": self.name,
            "transformer": self.transformer,
            "codebook": self.codebook,
            "assign": self.assign,
            "priced": self.priced,
            "decoder": ("end-to-end" if of_vqvae else "frozen") if self.decoder == "own" else self.decoder,
            "held": self.held,
            "conditional": self.conditional,
            "start": self.start,
        }


REPLICATED = (
    System("metric", "whitened"),
    System("metric", "whitened", "finetuned"),
    System("metric", "whitened", "perceptual"),
    System("metric", "whitened", "finetuned", conditional=False),
    System("baseline", "euclidean"),
    System("baseline", "euclidean", "finetuned"),
    System("baseline", "euclidean", "perceptual"),
    System("euclidean", "euclidean"),
    System("geodesic", "geodesic"),
    System("metric", "joint"),
    System("metric", "joint", "finetuned"),
    System("metric", "joint", "perceptual"),
    System("metric", "amortised", priced=True),
    System("metric", "amortised", "finetuned", priced=True),
    System("metric", "amortised", "perceptual", priced=True),
)
"""Those that benchmarks.generation compares, over all seeds."""

ONCE = (
    System("metric", "whitened", held=False),
    System("metric", "whitened", start="random"),
    System("metric", "amortised"),
    System("euclidean", "euclidean", "finetuned"),
    System("baseline", "joint"),
)
"""Those that stand beside them; on the reduced schedule, these and most of benchmarks.study have the first seed alone."""

SYSTEMS = (*REPLICATED, *ONCE)
"""All of benchmarks.generation."""

EXPERIMENTS = {
    "1 Euclidean medoids": System("euclidean", "euclidean", conditional=False, start="random", epochs=50),
    "2 Euclidean medoids, K = 1024, large": System(
        "euclidean", "euclidean", conditional=False, start="random", codes=1024, large=True
    ),
    "3 geodesic medoids": System("geodesic", "geodesic", conditional=False, start="random"),
    "4 metric means, decoder fine-tuned": System("metric", "whitened", "finetuned", conditional=False),
    "5 as 4, large": System("metric", "whitened", "finetuned", conditional=False, large=True),
    "6 as 4, class-conditional": System("metric", "whitened", "finetuned"),
    "7 our best: as 6, decoder with LPIPS": System("metric", "whitened", "perceptual"),
}
"""Those of benchmarks.study: the original three experiments, what they meant to do next, and the best that there is here."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long and how much."""

    tokenizer: TokenizerSchedule
    """Of all but the Transformer."""
    gpt: GPTOptions
    probes: dict[AssignmentName, int]
    """Products that a Jacobian is sketched by, where an assignment is not given whole ones."""
    epochs: tuple[int, int] | None
    """Epochs of the small and the large Transformer; None for those that systems have for the full schedule."""
    images: int
    """Images in each set, at most."""
    seeds: tuple[int, ...]
    whole: bool = False
    """Whether every seed has tokenizers of its own and all systems; else Transformers alone are trained anew, and not all."""
    classifier: ClassifierOptions | None = None
    """How the classifier is trained, in whose features images are compared; None for the preset's."""
    codes: int | None = None
    """K of all systems, whatever they say."""


_CODEBOOKS: tuple[CodebookName, ...] = ("metric", "euclidean", "geodesic")


def _tokenizers(name: str, finetune: FinetuneOptions) -> TokenizerSchedule:
    """A schedule of benchmarks.tokenizer with the codebooks that are needed here."""
    schedule = TOKENIZER_SCHEDULES[name]
    codebook: CodebookOptions = dataclasses.replace(schedule.codebook, codebooks=_CODEBOOKS)
    return dataclasses.replace(schedule, codebook=codebook, finetune=finetune)


_TUNING = FinetuneOptions(codebook="metric", rounds=1, epochs=(2,), val_images=1000)

_REDUCED = Schedule(
    tokenizer=_tokenizers("reduced", _TUNING),
    gpt=GPTOptions(average=0.999, patience=0, batch_size=64),
    probes={"geodesic": 32, "joint": 96},
    epochs=(4, 2),
    images=5_000,
    seeds=(0, 1, 2),
)

SCHEDULES = {
    "reduced": _REDUCED,
    "full": dataclasses.replace(
        _REDUCED,
        tokenizer=_tokenizers("full", dataclasses.replace(_TUNING, epochs=(6,), val_images=5000)),
        gpt=GPTOptions(average=0.999, patience=0),
        probes={},
        epochs=None,
        whole=True,
    ),
    "smoke": Schedule(
        tokenizer=_tokenizers("smoke", dataclasses.replace(_TUNING, epochs=(1,), val_images=32, batch_size=64)),
        gpt=dataclasses.replace(PRESETS["demo"].gpt, average=0.9, patience=0),
        probes={"geodesic": 4, "joint": 4},
        epochs=(1, 1),
        images=60,
        seeds=(0,),
        codes=16,
    ),
}
"""reduced: two CPU cores. full: for an accelerator. smoke: the digits, for tests."""

STUDY_SCHEDULES = SCHEDULES | {
    "reduced": dataclasses.replace(_REDUCED, epochs=(2, 1), classifier=ClassifierOptions(width=32, epochs=12))
}
"""Those of benchmarks.study, which trains large Transformers too: reduced, none takes over 45 minutes on two cores."""


def schedule_label(name: str, schedule: Schedule) -> str:
    """What results files say of a schedule."""
    small, large = schedule.epochs or ("50 or 100", 100)
    over = "" if schedule.whole else ", all over the tokens of one VAE and one VQ-VAE"
    tuned = schedule.tokenizer.finetune.epochs[0]
    return f"{name}: {small} epochs of the small Transformer and {large} of the large one{over}; decoders tuned in {tuned} passes"


class Trained(NamedTuple):
    """A trained Transformer, and what decodes its samples."""

    system: System
    seed: int
    run: Run
    """With the Transformer, its tokens, and the tokenizer that has made them."""
    tuned: Run | None
    """With the fine-tuned decoder; None where the tokenizer's own is used."""

    def tokenizer(self) -> "Tokenizer":
        """What decodes the tokens."""
        from train import tokenizers

        if self.tuned is not None:
            return tokenizers.load_finetuned(self.tuned.folder)
        return tokenizers.modelled(self.run, "euclidean")  # decoding is the same for all assignments

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
    def study(self) -> Study:
        """Of the tokenizers."""
        return Study(self.folder, self.data_dir, self.schedule.tokenizer, ())

    @property
    def free_study(self) -> Study:
        """Of the tokenizers of VAEs whose bits are not held."""
        return dataclasses.replace(self.study, folder=self.folder / "free", held=False)

    def classifier(self) -> Run:
        """The trained classifier, in whose features all images are compared."""
        from train import classifier

        preset = PRESETS[self.schedule.tokenizer.preset]
        data = dataclasses.replace(preset.data, data_dir=self.data_dir)
        options = self.schedule.classifier or preset.classifier
        run = Run(self.folder / "classifier", dataclasses.replace(preset, data=data, classifier=options))
        classifier.run(run)
        return run

    def has(self, system: System, seed: int) -> bool:
        """Whether this system is trained for this seed."""
        return system in REPLICATED or seed == self.schedule.seeds[0] or self.schedule.whole

    def tokenizer_seed(self, seed: int) -> int:
        """The seed of the networks whose tokens the Transformer of a seed is trained on."""
        return seed if self.schedule.whole else self.schedule.seeds[0]

    def trained(self, system: System, seed: int) -> "Trained":
        """The system's Transformer, over tokens that another may have been trained on before, and its decoder."""
        from train import gpt

        made = self._tokenizer(system, seed)
        config = dataclasses.replace(made.config, gpt=self.options(system, seed))
        run = Run(self.folder / f"gpt-{system.transformer}-{seed}", config)
        begun_as(made, run, tokenizer_stages(config))
        same = Run(self.folder / f"gpt-{system.tokens}-{self.tokenizer_seed(seed)}", config)
        shared = same.folder != run.folder and (same.folder / "gpt/tokens.npz").exists()
        prior = None if system.prior is None else self.trained(system.prior, self.tokenizer_seed(seed)).run
        gpt.run(run, same if shared else None, prior)
        return Trained(system, seed, run, self._tuned(system, seed, run))

    def options(self, system: System, seed: int) -> GPTOptions:
        """Of the system's Transformer."""
        options = dataclasses.replace(
            self.schedule.gpt,
            codebook=system.codebook,
            assign=system.assign,
            probes=self.schedule.probes.get(system.assign, 0),
            price=NAT if system.priced else 0.0,
            conditional=system.conditional,
            start=system.start,
            epochs=system.epochs if self.schedule.epochs is None else self.schedule.epochs[system.large],
            seed=seed,
        )
        return dataclasses.replace(options, layers=8, width=512, heads=8) if system.large else options

    def tuning(self, system: System) -> FinetuneOptions:
        """How a decoder is fine-tuned on the system's tokens."""
        return dataclasses.replace(
            self.schedule.tokenizer.finetune,
            codebook="vqvae" if system.codebook == "baseline" else system.codebook,
            perceptual=PERCEPTUAL if system.decoder == "perceptual" else 0.0,
        )

    def _tuned(self, system: System, seed: int, tokens_of: Run) -> Run | None:
        """A run whose decoder and codes are fine-tuned on the system's tokens; None where its own decoder is used."""
        if system.decoder == "own":
            return None
        name = f"{system.decoder}-{system.tokens}-{self.tokenizer_seed(seed)}"
        return self.study.tuned_otherwise(name, self._tokenizer(system, seed), self.tuning(system), tokens_of)

    def _codes(self, system: System) -> int:
        return self.schedule.codes or system.codes

    def _tokenizer(self, system: System, seed: int) -> Run:
        seed = self.tokenizer_seed(seed)
        if system.codebook == "baseline":
            return self.study.baseline("vqvae", self._codes(system), seed)
        return (self.study if system.held else self.free_study).ours(self._codes(system), seed)
