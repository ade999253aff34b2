"""A run folder: which options made it, which stages are complete, and from what inputs.

Each stage has a folder with a stage.json: the options and the fingerprints of the inputs that it is made from and, once it is
complete, those of its outputs. config.json holds every option, for people and as the defaults of the next command. A complete
stage with the same inputs is skipped; other options or other inputs are refused, since to go on would mix two experiments.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from geovq.storage.arrays import load_arrays
from geovq.storage.bits import digest
from geovq.storage.files import remove_leftovers, turn
from geovq.validation import InputError
from train.config.options import Config
from train.run.fingerprint import intact
from train.run.options_file import lost_config, save_config, stored_config
from train.run.stage_record import Stage

PLACES = ("data.data_dir",)
"""Options that say where a thing is, not what: they may change, the fingerprint of the images says if they differ."""

BESIDE_THE_PIPELINE = ("baseline", "finetune", "classifier")
"""Stages that train.pipeline does not run."""


_LOCKED: dict[pathlib.Path, int] = {}
"""Open lock files of this process; the system lets go of them when it ends, however it ends."""


def _lock(folder: pathlib.Path) -> None:
    """Keeps other processes out of a run folder until this one ends."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.resolve() / ".lock"
    if path in _LOCKED:
        return
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise InputError(
            f"{folder}: expected to be alone, found another process at work in it; wait, or choose another --run folder."
        ) from error
    _LOCKED[path] = descriptor


@contextlib.contextmanager
def unlocked_after() -> Iterator[None]:
    """Lets go, at its end, of the run folders that were locked within it: for processes that run several programs."""
    before = set(_LOCKED)
    try:
        yield
    finally:
        for path in _LOCKED.keys() - before:
            os.close(_LOCKED.pop(path))


def _options(config: Config, sections: tuple[str, ...]) -> dict[str, Any]:
    """Options of these sections as JSON gives them back, where tuples are lists."""
    return json.loads(json.dumps({name: dataclasses.asdict(getattr(config, name)) for name in sections}))


class Run:
    """A run folder and its options."""

    def __init__(self, folder: pathlib.Path, config: Config):
        """Nothing is written before the first stage begins.

        Args:
            folder: The run folder.
            config: All options.
        """
        self.folder = pathlib.Path(folder)
        self.config = config

    def begin(self, name: str, sections: tuple[str, ...], inputs: Mapping[str, str]) -> Stage | None:
        """Opens a stage for work.

        Args:
            name: Of the stage, and of its folder.
            sections: The sections of Config that its result depends on.
            inputs: Fingerprints of what it reads.

        Returns:
            The stage, or None where it is complete; that is said on the terminal.

        Raises:
            InputError: The folder was made with other options or from other inputs, or another process works in it.
        """
        self.check_options(sections)
        stage = Stage(self.folder, name)
        if not stage.empty and stage.record.get("outputs") and not self._damaged(stage, inputs):
            with contextlib.suppress(InputError, OSError):  # on a read-only disk, or where another process is at work
                self._tidy(stage)
                if lost_config(self.folder):
                    save_config(self.folder, self._merged(sections))
            print(f"{name}: complete, skipped ({stage.folder})", flush=True)
            return None
        self._tidy(stage)
        record = {} if stage.empty else stage.record
        if not record and not stage.empty:
            raise InputError(
                f"{stage.folder}: expected a stage.json that says what its files are made from, found none; move {stage.folder} "
                "away to make it anew."
            )
        if damaged := self._damaged(stage, inputs) if record else []:
            print(f"{name}: missing or damaged, made again: {', '.join(damaged)}", flush=True)
            self._set_aside(damaged)
            stage.reopen()
        save_config(self.folder, self._merged(sections))
        if not record:
            stage.begin(_options(self.config, sections), dict(inputs))
        return stage

    def _tidy(self, stage: Stage) -> None:
        """Keeps other processes out, and removes what was left behind where one was killed."""
        with turn() as mine:
            if mine:
                _lock(self.folder)
        remove_leftovers(self.folder)
        remove_leftovers(stage.folder)

    def _damaged(self, stage: Stage, inputs: Mapping[str, str]) -> list[str]:
        """Outputs of a stage that are missing or damaged; of one that is not complete, none.

        Raises:
            InputError: It was made from other inputs.
        """
        record = stage.record
        if record["inputs"] != dict(inputs):
            changed = sorted(
                key for key in record["inputs"].keys() | inputs.keys() if record["inputs"].get(key) != inputs.get(key)
            )
            raise InputError(
                f"{stage.folder}: expected a stage made from the present {', '.join(changed)}, found one made from "
                f"another; move {stage.folder} away to make it anew, or choose another --run folder."
            )
        return [path for path, sha in (record["outputs"] or {}).items() if not intact(self.folder / path, sha)]

    def check_options(self, sections: tuple[str, ...]) -> None:
        """Refuses options that differ from those that the stages of these sections were made with.

        Args:
            sections: Sections of Config.

        Raises:
            InputError: Names every option that differs, with both values.
        """
        asked = _options(self.config, tuple(field.name for field in dataclasses.fields(Config)))
        differing: dict[str, None] = {}  # ordered sets: a section is in the record of every stage that depends on it
        folders: dict[str, None] = {}
        for name in sections:
            stage = Stage(self.folder, name)
            made_with = {} if stage.empty else stage.record.get("options", {})
            for section, recorded in made_with.items():
                # An option that is younger than the record had its default then.
                values = _options(Config(), (section,))[section] | recorded
                for key, value in values.items():
                    if asked[section].get(key) != value and f"{section}.{key}" not in PLACES:
                        differing[f"{section}.{key} ({value} there, {asked[section].get(key)} asked)"] = None
                        folders[str(stage.folder)] = None
        if differing:
            raise InputError(
                f"{self.folder}: expected the options that it was made with, found others: {', '.join(differing)}; "
                f"leave these flags out to go on with it, move {', '.join(folders)} away to make it anew, or choose another "
                "--run folder."
            )

    def outputs(self, name: str) -> dict[str, str]:
        """SHA-256 of each output of a stage.

        Raises:
            InputError: The stage is not complete.
        """
        if stored_config(self.folder) is None:
            raise InputError(
                f"{self.folder}: expected a run folder, found none; check --run, or make one by "
                f"`python -m train.pipeline --run {self.folder}` with the --preset and --data-dir that you want."
            )
        outputs = Stage(self.folder, name).record.get("outputs")
        if not outputs or not all((self.folder / path).exists() for path in outputs):
            beside = "" if name in BESIDE_THE_PIPELINE else ", or train.pipeline for all stages"
            raise InputError(
                f"{self.folder / name}: expected a complete stage, found none; run `python -m train.{name} --run "
                f"{self.folder}` first{beside}."
            )
        return outputs

    def fingerprint(self, name: str) -> str:
        """Of all outputs of a stage.

        Raises:
            InputError: The stage is not complete.
        """
        return digest({}, self.outputs(name))

    def read(self, stage: str, path: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and metadata of a file that a stage has written.

        Args:
            stage: Its name; it may be at work still.
            path: Of the file, within the run folder.

        Raises:
            InputError: The file is missing, damaged, or not the one that the complete stage recorded.
        """
        try:
            arrays, meta = load_arrays(self.folder / path)
        except InputError as error:
            remedy = f"`python -m train.{stage} --run {self.folder}` makes it again"
            raise InputError(f"{str(error).rstrip('.')}: {remedy}.") from error
        recorded = (Stage(self.folder, stage).record.get("outputs") or {}).get(path)
        if recorded is not None and digest(arrays, meta) != recorded:
            raise InputError(
                f"{self.folder / path}: expected the file that the stage wrote, found another; "
                f"run `python -m train.{stage} --run {self.folder}` to make it again."
            )
        return arrays, meta

    def seconds(self, name: str) -> float:
        """Time that a stage has taken, over all calls."""
        return float(Stage(self.folder, name).record.get("seconds", 0.0))

    def _set_aside(self, paths: list[str]) -> None:
        """Renames damaged files, so that they are made again and still not lost; a damaged checkpoint has others beside it."""
        with turn() as mine:
            self._rename(paths if mine else [])

    def _rename(self, paths: list[str]) -> None:
        for path in paths:
            place = self.folder / path
            if place.is_file():
                place.replace(place.with_name(place.name + ".damaged"))

    def _merged(self, sections: tuple[str, ...]) -> Config:
        """The stored options with those of `sections` as asked for now."""
        stored = stored_config(self.folder) or self.config
        return dataclasses.replace(stored, **{name: getattr(self.config, name) for name in sections})


def stored_run(folder: str | os.PathLike) -> Run:
    """A run by its folder, with the options that it was made with.

    Raises:
        InputError: No such folder, or a damaged one.
    """
    config = stored_config(pathlib.Path(folder))
    if config is None:
        raise InputError(f"{folder}: expected a run folder, found no config.json in it; check the path.")
    return Run(pathlib.Path(folder), config)
