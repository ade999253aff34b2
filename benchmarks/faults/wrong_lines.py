"""Wrong command lines of every program, each with what its refusal has to name."""

import contextlib
import dataclasses
import pathlib
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

import numpy as np

import benchmarks
from benchmarks.faults.jobs import STAGES, Job
from benchmarks.faults.programs import GEOVQ
from train.config.options import Config
from train.config.ranges import Range

_NUMBERS = (-1, 0, 10**12, 10**400)
"""Of which an option's range refuses some."""

_SECTIONS = {
    "train.vae": ("data", "vae"),
    "train.codebook": ("data", "codebook"),
    "train.finetune": ("data", "finetune"),
    "train.gpt": ("data", "gpt"),
    "train.baseline": ("data", "vae", "baseline"),
    "train.classifier": ("data", "classifier"),
    "train.sample": ("data", "sample"),
    "train.evaluate": ("data", "evaluate"),
    "train.pipeline": ("data", "vae", "codebook", "gpt", "sample", "evaluate"),
    "train.report": ("data",),
}
"""Programs with the sections of options that each takes."""

NEEDED = {
    "train.codebook": "vae",
    "train.finetune": "codebook",
    "train.gpt": "codebook",
    "train.sample": "samples and scores",
    "train.evaluate": "samples and scores",
    "train.report": "samples and scores",
}
"""Programs that continue a run, and the job that has made it."""

_REQUIRED = {
    "autoencoders": ("photographs", "autoencoders"),
    "corpus": ("autoencoder", "photographs", "run"),
    "faults": ("run",),
    "large": ("photographs", "autoencoders", "run"),
    "photographs": ("photographs", "autoencoders", "run"),
    "torch_modules": ("autoencoders",),
    "vq_models": ("photographs", "run"),
}
"""Flags that a benchmark cannot do without."""

_TOKENIZER = "{inputs}/photos.npz"
_GEOVQ = {
    "fit": (
        "--autoencoder",
        "{inputs}/vae",
        "--images",
        "{inputs}/images",
        "--out",
        "{out}/t.npz",
        "--crop",
        "32",
        "--crops",
        "4",
    ),
    "encode": (_TOKENIZER, "{inputs}/images", "--out", "{out}/tokens"),
    "decode": (_TOKENIZER, "{inputs}/tokens", "--out", "{out}/images"),
    "score": (_TOKENIZER, "{inputs}/images", "--max-images", "1"),
    "report": (_TOKENIZER, "--images", "{inputs}/images", "--out", "{out}/page.html", "--max-images", "1"),
    "export": ("{inputs}/tokens", "--stream", "{out}/stream"),
    "info": (_TOKENIZER,),
}
"""Right words of every command of geovq."""

_WRONG_FILES = ("{scratch}/nowhere", "{scratch}/empty", "{scratch}/text.npz", "{scratch}/folder")
"""What may stand where a program reads something else."""

_BAD_NUMBERS = {
    "fit": ("--num-codes", "--num-quantizers", "--crop", "--crops", "--seed"),
    "score": ("--max-images", "--seed"),
    "report": ("--max-images", "--crop", "--seed"),
}
"""Whole numbers that geovq takes."""


_WITHOUT_LIMIT = {"fit": (), "score": ("--max-images",), "report": ("--max-images", "--crop")}
"""Whole numbers without an upper limit."""


class Line(NamedTuple):
    """A wrong command line."""

    program: str
    words: tuple[str, ...]
    """With {inputs}, {out} for a folder to write in, {scratch}, and {run} for the run that the program continues."""
    named: str
    """What the refusal has to name."""


def all_lines() -> list[Line]:
    """Lists every wrong command line that is known here."""
    return [*_of_train(), *_of_geovq(), *_of_benchmarks()]


def chosen(number: int, jobs: Sequence[Job] = STAGES, seed: int = 0) -> list[Line]:
    """Draws some of them at random, from all programs as evenly as possible.

    Args:
        number: Of command lines.
        jobs: Those that are there; programs that need another one are left out.
        seed: Of the draw.
    """
    made = {None, *(job.name for job in jobs)}
    rng, lines = np.random.default_rng(seed), [line for line in all_lines() if NEEDED.get(line.program) in made]
    turns: dict[str, int] = {}
    ranked: list[tuple[int, int, Line]] = []
    for index in rng.permutation(len(lines)):
        program = kind_of(lines[index])
        turns[program] = turns.get(program, 0) + 1
        ranked.append((turns[program], len(ranked), lines[index]))
    return [line for _, _, line in sorted(ranked, key=lambda each: each[:2])[:number]]


def kind_of(line: Line) -> str:
    """Names the program; of geovq, the command."""
    return f"{GEOVQ} {line.words[0]}" if line.program == GEOVQ else line.program


def _of_train() -> Iterator[Line]:
    for program, sections in _SECTIONS.items():
        run = ("--run", "{run}" if program in NEEDED else "{out}/run")
        unread = "dataset" if program in NEEDED else "nowhere"
        dataset = () if program in NEEDED else ("--dataset", "digits")
        base = (*run, *dataset)
        yield Line(program, (*base, "--nonsense", "1"), "nonsense")
        yield Line(program, (*base, "stray"), "stray")
        yield Line(program, (*base, "--preset", "huge"), "huge")
        yield Line(program, ("--run",), "run")
        yield Line(program, ("--run", "{scratch}/empty", *dataset), "empty")
        yield Line(program, (*run, "--dataset", "cifar"), "cifar")
        yield Line(program, (*run, "--dataset", "fashion_mnist", "--data-dir", "{scratch}/nowhere"), unread)
        if program in NEEDED:
            yield Line(program, ("--run", "{scratch}/nowhere"), "nowhere")
            yield Line(program, ("--run", "{scratch}/folder"), "folder")
        for section in sections:
            yield from (line._replace(words=(*base, *line.words)) for line in _of_section(program, section))


def _of_section(program: str, section: str) -> Iterator[Line]:
    """Yields values that no option of a section may have."""
    kind = next(field.type for field in dataclasses.fields(Config) if field.name == section)
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        prefix = "" if section == "data" else f"{section}."
        flag = f"--{prefix}{name}".replace("_", "-")
        if hint is not bool and "str" not in str(hint):
            yield Line(program, (flag, "x"), name.replace("_", "-"))
        if typing.get_origin(hint) is not Annotated:
            continue
        legal = next(each for each in hint.__metadata__ if isinstance(each, Range))
        whole = float not in (hint.__origin__, *typing.get_args(hint.__origin__))
        for number in _NUMBERS if whole else (*_NUMBERS[:3], float("nan"), float("inf"), 1e39):
            if (
                not _allows(legal, number)
                and isinstance(hint.__origin__, type)
                and not isinstance(hint.__origin__, types.GenericAlias)
            ):
                yield Line(program, (flag, str(number)), name)


def _allows(legal: Range, number: float) -> bool:
    with contextlib.suppress(OverflowError):
        return bool(legal.contains(number))
    return False


def _of_geovq() -> Iterator[Line]:
    for command, right in _GEOVQ.items():
        words = (command, *right)
        yield Line(GEOVQ, (*words, "--nonsense"), "nonsense")
        yield Line(GEOVQ, (*words, "stray"), "stray")
        yield Line(GEOVQ, (command,), "required")
        for i, word in enumerate(words):
            if word.startswith("{inputs}"):
                for wrong in _WRONG_FILES if word.endswith("/images") else (*_WRONG_FILES, "{inputs}/images/0.png"):
                    yield Line(GEOVQ, (*words[:i], wrong, *words[i + 1 :]), wrong.rsplit("/", 1)[1])
            if word.startswith("{out}"):
                yield Line(GEOVQ, (*words[:i], "{scratch}/empty/x", *words[i + 1 :]), "empty")
                taken = "{inputs}/images" if command in ("encode", "decode") else "{scratch}/folder"
                yield Line(GEOVQ, (*words[:i], taken, *words[i + 1 :]), taken.rsplit("/", 1)[1])
        for flag in _BAD_NUMBERS.get(command, ()):
            for number in ("x", "1.5", "-1", "1e3", "", "9" * 400):
                if flag not in _WITHOUT_LIMIT[command] or not number.startswith("9"):
                    yield Line(GEOVQ, (*words, flag, number), flag.strip("-").replace("-", "_"))
        if command not in ("export", "info"):
            for memory in ("x", "nan", "0", "-2", "inf"):
                yield Line(GEOVQ, (*words, "--memory", memory), "memory")
        if command in ("fit", "encode", "score", "report"):
            yield Line(GEOVQ, (*words, "--assigner", "best"), "best")
            yield Line(GEOVQ, (*words, "--assigner", "whitened", "--perceptual", "1"), "perceptual")
            yield Line(GEOVQ, (*words, "--assigner", "joint", "--perceptual", "nan"), "perceptual")
            yield Line(GEOVQ, (*words, "--assigner", "joint", "--perceptual", "-1"), "perceptual")


def _of_benchmarks() -> Iterator[Line]:
    for name in benchmark_programs():
        required = tuple(word for flag in _REQUIRED.get(name, ()) for word in (f"--{flag}", "{out}/x"))
        yield Line(f"benchmarks.{name}", (*required, "--nonsense"), "nonsense")
        yield Line(f"benchmarks.{name}", (*required, "stray"), "stray")


def benchmark_programs() -> list[str]:
    """Lists the modules and packages of `benchmarks` that are programs."""
    folder = pathlib.Path(benchmarks.__file__).parent
    modules = [path for path in folder.glob("*.py") if 'if __name__ == "__main__"' in path.read_text()]
    return sorted([*(path.stem for path in modules), *(path.parent.name for path in folder.glob("*/__main__.py"))])
