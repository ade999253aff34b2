"""How long benchmarks.generation and study train, and on how much."""

import dataclasses
import pathlib
from collections.abc import Collection
from typing import Literal, NamedTuple

from benchmarks.common.record import FOLDER
from benchmarks.generation.systems import System
from benchmarks.tokenizer.systems import SCHEDULES as TOKENIZER_SCHEDULES
from benchmarks.tokenizer.systems import Schedule as TokenizerSchedule
from geovq.codebook.names import CodebookName
from train.config.names import AssignerName
from train.config.options import PRESETS, CodebookOptions, FinetuneOptions, GPTOptions


class Epochs(NamedTuple):
    """Of Transformers: of small ones by their training, and of all large ones."""

    short: int
    usual: int
    long: int
    large: int


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long and how much."""

    tokenizer: TokenizerSchedule
    """Of all but the Transformer."""
    gpt: GPTOptions
    probes: dict[AssignerName, int]
    """Products that a Jacobian is sketched by, where an assignment is not given whole ones."""
    epochs: Epochs
    images: int
    """Images in a set, at most."""
    seeds: tuple[int, ...]
    sets: int = 1
    """Sets of samples of a Transformer. Scores are means over them: larger sets would not compare with those of real images."""
    whole: bool = False
    """Whether every seed has tokenizers of its own and all systems; else Transformers alone are trained anew, and not all."""
    codes: int | None = None
    """K of all systems, whatever they say."""
    limit: str = ""
    """By what the epochs were chosen."""

    def epochs_of(self, system: System) -> int:
        """Of a system's Transformer."""
        return getattr(self.epochs, "large" if system.large else system.training)


_CODEBOOKS: tuple[CodebookName, ...] = ("metric", "euclidean", "geodesic")


def _tokenizers(name: str, finetune: FinetuneOptions) -> TokenizerSchedule:
    """A schedule of benchmarks.tokenizer with the codebooks that are needed here."""
    schedule = TOKENIZER_SCHEDULES[name]
    codebook: CodebookOptions = dataclasses.replace(schedule.codebook, codebooks=_CODEBOOKS)
    return dataclasses.replace(schedule, codebook=codebook, finetune=finetune)


_TUNING = FinetuneOptions(codebook="metric", rounds=1, epochs=(2,), max_val_images=1000)

_REDUCED = Schedule(
    tokenizer=_tokenizers("reduced", _TUNING),
    gpt=GPTOptions(average=0.999, patience=0, batch_size=64),
    probes={"geodesic": 32, "joint": 96},
    epochs=Epochs(short=2, usual=2, long=10, large=1),
    limit=", at most 45 minutes each on two CPU cores",
    images=5_000,
    seeds=(0, 1, 2),
)

SCHEDULES = {
    "reduced": _REDUCED,
    "full": dataclasses.replace(
        _REDUCED,
        tokenizer=_tokenizers("full", dataclasses.replace(_TUNING, epochs=(6,), max_val_images=5000)),
        gpt=GPTOptions(average=0.999, patience=0),
        probes={},
        epochs=Epochs(short=50, usual=100, long=200, large=100),
        limit="",
        whole=True,
    ),
    "smoke": Schedule(
        tokenizer=_tokenizers("smoke", dataclasses.replace(_TUNING, epochs=(1,), max_val_images=32, batch_size=64)),
        gpt=dataclasses.replace(PRESETS["demo"].gpt, average=0.9, patience=0),
        probes={"geodesic": 4, "joint": 4},
        epochs=Epochs(short=1, usual=1, long=2, large=1),
        images=60,
        seeds=(0,),
        codes=16,
    ),
}
"""reduced: no Transformer takes over 45 minutes on two CPU cores. full: for an accelerator. smoke: the digits, to try it."""


@dataclasses.dataclass(frozen=True)
class Extent:
    """How long a benchmark runs, and where its results go."""

    schedule: str = "reduced"
    """Name of the schedule."""
    seeds: tuple[int, ...] = ()
    """Only these seeds; all of the schedule if none is given."""
    output: pathlib.Path = FOLDER
    """Folder of the results."""


@dataclasses.dataclass(frozen=True)
class UsualExtent(Extent):
    """That on one of `SCHEDULES`."""

    schedule: Literal["reduced", "full", "smoke"] = "reduced"
    """reduced: two epochs of most Transformers, two CPU cores. full: 50 or more, an accelerator. smoke: the digits."""


def schedule_label(name: str, schedule: Schedule, systems: Collection[System]) -> str:
    """What results files say of a schedule, as far as it concerns all these systems."""
    epochs = schedule.epochs
    others = {
        s.training: schedule.epochs_of(s) for s in systems if not s.large and schedule.epochs_of(s) != epochs.usual
    }
    apart = "".join(f", {count} in {training} training" for training, count in others.items())
    trained = [f"{_counted(epochs.usual)} of the small Transformer{apart}"]
    if any(system.large for system in systems):
        trained.append(f"{_counted(epochs.large)} of the large Transformer")
    over = "" if schedule.whole else ", all seeds over the same tokens"
    passes = schedule.tokenizer.finetune.epochs[0]
    tuned = f"decoders tuned in {passes} pass{'es' if passes > 1 else ''}"
    sets = f"{schedule.images:,} images in a set" + (f", {schedule.sets} sets of samples" if schedule.sets > 1 else "")
    return f"{name}: {' and '.join(trained)}{schedule.limit}{over}; {tuned}; {sets}"


def _counted(epochs: int) -> str:
    return f"{epochs} epoch{'s' if epochs > 1 else ''}"
