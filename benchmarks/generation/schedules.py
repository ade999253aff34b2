"""The schedules of the generation study: which systems, how long, on how much, and what is measured of them."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from train.config.names import AssignerName

from benchmarks.generation.systems import EXPERIMENTS, LONGER, LONGEST, ONCE, PREDICTED, REPLICATED, System, by_name
from benchmarks.tokenizer.systems import CODEBOOKS, Size
from benchmarks.tokenizer.systems import SIZES as TOKENIZER_SIZES
from benchmarks.tokenizer.systems import Schedule as TokenizerSchedule
from geovq.codebook.names import CodebookName
from geovq.validation import InputError
from train.config.options import PRESETS, FinetuneOptions, GPTOptions

ScheduleName = Literal["generation", "longer", "longest", "study", "likelihood"]


class Epochs(NamedTuple):
    """Of Transformers: of small ones by their training, and of all large ones."""

    short: int
    usual: int
    long: int
    large: int


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long and on how much, at one size."""

    tokenizer: TokenizerSchedule
    """Of all networks but the Transformer."""
    gpt: GPTOptions
    """Of every Transformer; the ones in long training see all training images."""
    probes: Mapping[AssignerName, int]
    """Products that sketch a Jacobian, for the assigners that do not get whole ones."""
    epochs: Epochs
    images: int
    """Images in a set, at most."""
    seeds: tuple[int, ...]
    sets: int = 1
    """Sets of samples of a Transformer. Scores are means over them: larger sets would not compare with sets of real images."""
    whole: bool = False
    """Whether every seed has its own tokenizers and all systems; else only the compared Transformers are trained with each."""
    num_codes: int | None = None
    """K of all systems, whatever they say."""
    limit: str = ""
    """What limited the epochs."""
    left_out: tuple[AssignerName, ...] = ()
    """Assigners that take too long."""

    def epochs_of(self, system: System) -> int:
        """Of a system's Transformer."""
        return getattr(self.epochs, "large" if system.large else system.training)


@dataclasses.dataclass(frozen=True)
class Study:
    """Systems, a schedule of each size, and what is measured."""

    systems: Mapping[str, System]
    sizes: Mapping[str, Schedule]
    results: str
    """Name of the results file."""
    measured: Literal["samples", "nats"] = "samples"
    """samples: everything. nats: nats of tokens, and the PSNR of reconstructions."""
    field: str = "name"
    """The row's field for the name of the system."""

    def at(self, size: str, wanted: Sequence[str] = ()) -> tuple[Schedule, dict[str, System], bool]:
        """The schedule of a size, the wanted systems, and whether these are all.

        Args:
            size: One of `sizes`.
            wanted: Names of systems, or the numbers that names begin with; all if there is none.

        Raises:
            InputError: No schedule of that size, or an unknown system.
        """
        if size not in self.sizes:
            raise InputError(f"size: expected {' or '.join(self.sizes)} on this schedule, found {size}; change --size.")
        schedule = self.sizes[size]
        known = {name: system for name, system in self.systems.items() if system.assign not in schedule.left_out}
        for one in wanted:
            if not any(_called(name, one) for name in known):
                raise InputError(f"systems: expected some of {', '.join(known)}, found {one!r}; change --systems.")
        chosen = {
            name: system for name, system in known.items() if not wanted or any(_called(name, one) for one in wanted)
        }
        return schedule, chosen, len(chosen) == len(known)


def _called(name: str, wanted: str) -> bool:
    return wanted in (name, name.split()[0])


def _tokenizers(size: Size, finetune: FinetuneOptions, codebooks: tuple[CodebookName, ...]) -> TokenizerSchedule:
    """The size of benchmarks.tokenizer, with these codebooks and this fine-tuning."""
    schedule = TOKENIZER_SIZES[size]
    codebook = dataclasses.replace(schedule.codebook, codebooks=codebooks)
    return dataclasses.replace(schedule, codebook=codebook, finetune=finetune)


_COMPARED: tuple[CodebookName, ...] = ("metric", "euclidean", "geodesic")
_TUNING = FinetuneOptions(codebook="metric", rounds=1, epochs=(2,), max_val_images=1000)

_REDUCED = Schedule(
    tokenizer=_tokenizers("reduced", _TUNING, _COMPARED),
    gpt=GPTOptions(average=0.999, patience=0, batch_size=64),
    probes={"geodesic": 32, "joint": 96},
    epochs=Epochs(short=2, usual=2, long=10, large=1),
    limit=", at most 45 minutes each on two CPU cores",
    images=5_000,
    seeds=(0, 1, 2),
)

_FULL = dataclasses.replace(
    _REDUCED,
    tokenizer=_tokenizers("full", dataclasses.replace(_TUNING, epochs=(6,), max_val_images=5000), _COMPARED),
    gpt=GPTOptions(average=0.999, patience=0),
    probes={},
    epochs=Epochs(short=50, usual=100, long=200, large=100),
    limit="",
    whole=True,
)

_SMOKE_TUNING = dataclasses.replace(_TUNING, epochs=(1,), max_val_images=32, batch_size=64)

_SMOKE = Schedule(
    tokenizer=_tokenizers("smoke", _SMOKE_TUNING, _COMPARED),
    gpt=dataclasses.replace(PRESETS["demo"].gpt, average=0.9, patience=0),
    probes={"geodesic": 4, "joint": 4},
    epochs=Epochs(short=1, usual=1, long=2, large=1),
    images=60,
    seeds=(0,),
    num_codes=16,
)


def _longer(usual: Schedule, times: int, sets: int = 1) -> Schedule:
    """So many times the epochs, for one seed: each Transformer takes half an hour to an hour on two CPU cores."""
    epochs = usual.epochs._replace(usual=times * usual.epochs.usual)
    return dataclasses.replace(usual, epochs=epochs, seeds=(0,), sets=sets)


_NATS = dataclasses.replace(
    _REDUCED,
    tokenizer=dataclasses.replace(_tokenizers("reduced", _TUNING, CODEBOOKS), epochs=8),
    gpt=GPTOptions(average=0.999, patience=0, batch_size=64, dropout=0.0, max_images=15_000),
    probes={"local": 64, "joint": 96},
    epochs=Epochs(short=3, usual=3, long=6, large=3),
    limit="",
    seeds=(0,),
    left_out=("geodesic", "greedy"),
)

_SIZES = {"reduced": _REDUCED, "full": _FULL, "smoke": _SMOKE}

STUDIES: dict[ScheduleName, Study] = {
    "generation": Study(by_name(*REPLICATED, *ONCE), _SIZES, "generation"),
    "longer": Study(by_name(*LONGER), {"reduced": _longer(_REDUCED, 3), "smoke": _longer(_SMOKE, 3, sets=2)}, "longer"),
    "longest": Study(
        by_name(*LONGEST), {"reduced": _longer(_REDUCED, 5, sets=2), "smoke": _longer(_SMOKE, 5)}, "longer_long"
    ),
    "study": Study(EXPERIMENTS, _SIZES, "study", field="experiment"),
    "likelihood": Study(
        by_name(*PREDICTED),
        {
            "reduced": _NATS,
            "full": dataclasses.replace(
                _NATS,
                tokenizer=_tokenizers("full", dataclasses.replace(_TUNING, epochs=(6,)), CODEBOOKS),
                gpt=GPTOptions(average=0.999, patience=0, batch_size=64),
                probes={},
                epochs=Epochs(short=20, usual=20, long=100, large=20),
                left_out=(),
            ),
            "smoke": dataclasses.replace(
                _NATS,
                tokenizer=_tokenizers("smoke", dataclasses.replace(_TUNING, epochs=(1,), batch_size=64), CODEBOOKS),
                gpt=dataclasses.replace(PRESETS["demo"].gpt, max_images=200, patience=0),
                probes={"geodesic": 4, "joint": 4},
                epochs=Epochs(short=1, usual=1, long=2, large=1),
                num_codes=16,
                left_out=("greedy",),
            ),
        },
        "likelihood",
        measured="nats",
    ),
}
"""The only pairs of systems and schedules. reduced: two CPU cores. full: an accelerator. smoke: the digits, to try it."""

assert set(STUDIES) == set(get_args(ScheduleName))


def schedule_label(size: Size, study: Study, schedule: Schedule) -> str:
    """What a results file says of its schedule, as far as it concerns the study's systems."""
    systems: Collection[System] = study.systems.values()
    epochs = schedule.epochs
    others = {
        s.training: schedule.epochs_of(s) for s in systems if not s.large and schedule.epochs_of(s) != epochs.usual
    }
    apart = "".join(f", {count} in {training} training" for training, count in others.items())
    trained = [f"{_counted(epochs.usual)} of the small Transformer{apart}"]
    if any(system.large for system in systems):
        trained.append(f"{_counted(epochs.large)} of the large Transformer")
    begun = f"{size}: {' and '.join(trained)}{schedule.limit}"
    if study.measured == "nats":
        return f"{begun}; VAEs of {schedule.tokenizer.epochs} epochs"
    over = "" if schedule.whole else ", all seeds over the same tokens"
    passes = schedule.tokenizer.finetune.epochs[0]
    tuned = f"decoders tuned in {passes} pass{'es' if passes > 1 else ''}"
    sets = f"{schedule.images:,} images in a set" + (f", {schedule.sets} sets of samples" if schedule.sets > 1 else "")
    return f"{begun}{over}; {tuned}; {sets}"


def _counted(epochs: int) -> str:
    return f"{epochs} epoch{'s' if epochs > 1 else ''}"
