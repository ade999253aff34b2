"""One stage of a run folder, and its record: what it is made from, and, once it is complete, what it has made."""

import dataclasses
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from geovq.storage.records import read_record, write_record
from geovq.validation import InputError
from train.config.options import Config
from train.run.fingerprint import fingerprint

_LONGEST = 1e12
"""Seconds of a stage at most, which numbers with a point hold."""


class Stage:
    """One stage of a run: its folder and its record."""

    def __init__(self, run_folder: pathlib.Path, name: str):
        """A stage that may not have begun.

        Args:
            run_folder: The run's folder.
            name: Of the stage, and of its folder within.
        """
        self.folder = run_folder / name
        self._run_folder = run_folder
        self._path = self.folder / "stage.json"
        self._since = time.monotonic()

    @property
    def record(self) -> dict[str, Any]:
        """What stage.json says: options, inputs, outputs (None before the stage is complete), seconds; {} before it began.

        Raises:
            InputError: stage.json is damaged.
        """
        if not self._path.exists():
            return {}
        try:
            record = read_record(self._path)
        except InputError as error:
            raise InputError(
                f"{self._path}: expected the record of a stage, found a damaged file; restore it from a copy, or move "
                f"{self.folder} away to make it anew."
            ) from error
        if not _is_record(record):
            raise InputError(
                f"{self._path}: expected the record of a stage, found other content; move {self.folder} away."
            )
        return record

    @property
    def empty(self) -> bool:
        """Whether nothing was made yet, so that nothing is lost if it is begun with other options."""
        return not any(path.is_file() and path != self._path for path in self.folder.rglob("*"))

    def begin(self, options: Mapping[str, Any], inputs: Mapping[str, str]) -> None:
        """Makes the folder and records what the stage is made from."""
        write_record(self._path, {"options": options, "inputs": inputs, "outputs": None, "seconds": 0.0})

    def pause(self) -> None:
        """Adds the time spent since the last call to the record; called where work becomes durable."""
        record, now = self.record, time.monotonic()
        record["seconds"] = round(record["seconds"] + now - self._since, 3)
        self._since = now
        write_record(self._path, record)

    def finish(self, *outputs: str) -> None:
        """Records the fingerprints of the outputs: the stage is complete.

        Args:
            outputs: Paths of files or folders, within the run folder.
        """
        found = {path: fingerprint(self._run_folder / path) for path in outputs}
        self.pause()
        write_record(self._path, self.record | {"outputs": found})

    def reopen(self) -> None:
        """The stage is not complete any more."""
        write_record(self._path, self.record | {"outputs": None})


def _is_record(found: Mapping[str, Any]) -> bool:
    """Whether JSON is what `Stage.begin` and `Stage.finish` write: sections of options, texts by name, and seconds."""
    if found.keys() != {"options", "inputs", "outputs", "seconds"}:
        return False
    sections, inputs, outputs, seconds = (found[name] for name in ("options", "inputs", "outputs", "seconds"))
    known = {field.name for field in dataclasses.fields(Config)}
    return (
        isinstance(sections, dict)
        and all(name in known and isinstance(section, dict) for name, section in sections.items())
        and _are_texts(inputs)
        and (outputs is None or _are_texts(outputs))
        and type(seconds) in (int, float)
        and 0 <= seconds <= _LONGEST
    )


def _are_texts(found: object) -> bool:
    return isinstance(found, dict) and all(isinstance(value, str) for value in found.values())
