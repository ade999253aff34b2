"""How long benchmarks.generation and study train, and on how much."""

import dataclasses
from collections.abc import Collection
from typing import NamedTuple

from benchmarks.generation_systems import System
from benchmarks.tokenizer_systems import SCHEDULES as TOKENIZER_SCHEDULES
from benchmarks.tokenizer_systems import Schedule as TokenizerSchedule
from geovq.config import AssignmentName, CodebookName
from train.config import PRESETS, CodebookOptions, FinetuneOptions, GPTOptions


class Epochs(NamedTuple):
    """Of Transformers."""

    small: int
    large: int
    long: int
    """Of those small ones that are trained longer."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long and how much."""

    tokenizer: TokenizerSchedule
    """Of all but the Transformer."""
    gpt: GPTOptions
    probes: dict[AssignmentName, int]
    """Products that a Jacobian is sketched by, where an assignment is not given whole ones."""
    epochs: Epochs | None
    """None for those that systems have for the full schedule."""
    images: int
    """Images in each set, at most."""
    seeds: tuple[int, ...]
    whole: bool = False
    """Whether every seed has tokenizers of its own and all systems; else Transformers alone are trained anew, and not all."""
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
    epochs=Epochs(small=2, large=1, long=6),
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
        epochs=Epochs(1, 1, 1),
        images=60,
        seeds=(0,),
        codes=16,
    ),
}
"""reduced: no Transformer takes over 45 minutes on two CPU cores. full: for an accelerator. smoke: the digits, for tests."""


def schedule_label(name: str, schedule: Schedule, systems: Collection[System]) -> str:
    """What results files say of a schedule, as far as it concerns all these systems."""
    small, large, long = schedule.epochs or ("50 or 100", 100, 200)
    longer = f" ({long} where it is called long)" if any(system.long for system in systems) else ""
    with_large = f" and {large} of the large one" if any(system.large for system in systems) else ""
    over = "" if schedule.whole else ", all over the tokens of one VAE and one VQ-VAE"
    tuned = schedule.tokenizer.finetune.epochs[0]
    return (
        f"{name}: {small} epochs of the small Transformer{longer}{with_large}{over}; decoders tuned in {tuned} passes"
    )
