"""The options of a run: config.json, and where that is lost or damaged, what the stages were made with."""

import dataclasses
import pathlib
import typing
from typing import Any

from geovq.storage.records import read_record, write_record
from geovq.validation import InputError
from train.config.kinds import check_kind
from train.config.options import Config
from train.run.stage_record import Stage

_NAME = "config.json"


def stored_config(folder: pathlib.Path) -> Config | None:
    """The options that a folder was made with, or None where there are none.

    Raises:
        InputError: config.json is damaged and no stage has a record, or it is of another version of the project.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: expected a run folder, found a file; choose another --run.")
    try:
        return (
            _config(folder / _NAME, read_record(folder / _NAME)) if lost_config(folder) is None else _of_stages(folder)
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{folder / _NAME}: expected the options of this version, found others ({error}); choose another --run folder."
        ) from error


def lost_config(folder: pathlib.Path) -> str | None:
    """What is wrong with a folder's config.json, in place of which stages say what they were made with; None if it is whole."""
    try:
        read_record(folder / _NAME)
    except InputError as error:
        return str(error)
    return None


def save_config(folder: pathlib.Path, config: Config) -> None:
    """Writes config.json."""
    write_record(folder / _NAME, dataclasses.asdict(config))


def _of_stages(folder: pathlib.Path) -> Config | None:
    """The options in the records of the stages; of other sections the defaults."""
    sections: dict[str, Any] = {}
    for path in sorted(folder.glob("*/stage.json")):
        sections |= Stage(folder, path.parent.name).record["options"]
    if not sections and (folder / _NAME).exists():
        raise InputError(
            f"{folder / _NAME}: expected the options of the run, found a damaged file; restore it from a copy, or remove it and "
            "give the same options as flags."
        )
    return _config(folder / _NAME, sections) if sections else None


def _config(path: pathlib.Path, stored: dict[str, Any]) -> Config:
    """The options in a record. A section that is younger has its defaults: no stage there was made with it."""
    sections = [field for field in dataclasses.fields(Config) if field.name in stored]
    if unknown := stored.keys() - {field.name for field in sections}:
        raise KeyError(", ".join(sorted(unknown)))
    return Config(**{field.name: _section(field.type, stored[field.name]) for field in sections})


def _section(kind: Any, values: dict[str, Any]) -> Any:
    """A section's dataclass; JSON lists become the tuples that they were."""
    found = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        if name in found:
            check_kind(name, hint, found[name])
    return kind(**found)
