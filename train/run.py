"""A run folder: which options made it, which stages are complete, and from what inputs.

config.json holds every option. Each stage has a folder with a stage.json: the fingerprints of its inputs and, once it is
complete, of its outputs. A complete stage with the same inputs is skipped; other options or other inputs are refused, since to
go on would mix two experiments or overwrite one.
"""

import dataclasses
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from geovq.checks import InputError
from geovq.store import digest, read_json, write_json
from train.config import Config

PLACES = ("data.data_dir",)
"""Options that say where a thing is, not what: they may change, the fingerprint of the images says if they differ."""


def stored_config(folder: pathlib.Path) -> Config | None:
    """The options that a folder was made with, or None where there are none.

    Raises:
        InputError: config.json is damaged, or of another version of the project.
    """
    path = folder / "config.json"
    if not path.exists():
        return None
    stored = read_json(path)
    try:
        return Config(**{field.name: _section(field.type, stored[field.name]) for field in dataclasses.fields(Config)})
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path}: expected the options of this version, found others ({error}); choose another --run folder."
        ) from error


def _section(kind: Any, values: dict[str, Any]) -> Any:
    """A section's dataclass; JSON lists become the tuples that they were."""
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


class Stage:
    """One stage of a run: its folder, and whether there is anything left to do."""

    def __init__(self, run_folder: pathlib.Path, name: str, inputs: Mapping[str, str]):
        """Opened by `Run.begin`."""
        self.folder = run_folder / name
        self._run_folder = run_folder
        self._inputs = dict(inputs)
        self._started = time.monotonic()

    @property
    def record(self) -> dict[str, Any]:
        """What stage.json says; empty before the stage has begun."""
        path = self.folder / "stage.json"
        return read_json(path) if path.exists() else {}

    @property
    def complete(self) -> bool:
        """Whether all outputs were recorded, and those that are files are still there."""
        outputs = self.record.get("outputs") or {}
        return bool(outputs) and all((self._run_folder / name).exists() for name in outputs)

    def finish(self, outputs: Mapping[str, str]) -> None:
        """Records the outputs.

        Args:
            outputs: SHA-256 by the path of a file or folder, within the run folder.
        """
        seconds = self.record.get("seconds", 0.0) + time.monotonic() - self._started
        self._write(dict(outputs), seconds)

    def pause(self) -> None:
        """Adds the time spent so far to the record; called where work becomes durable."""
        seconds = self.record.get("seconds", 0.0) + time.monotonic() - self._started
        self._started = time.monotonic()
        self._write(None, seconds)

    def begin(self) -> None:
        """Makes the folder and records the inputs."""
        if not self.record:
            self._write(None, 0.0)

    def _write(self, outputs: dict[str, str] | None, seconds: float) -> None:
        record = {"inputs": self._inputs, "outputs": outputs, "seconds": round(seconds, 3)}
        write_json(self.folder / "stage.json", record)


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
            InputError: The folder was made with other options or from other inputs.
        """
        self._check_options(sections)
        stage = Stage(self.folder, name, inputs)
        found = stage.record.get("inputs")
        if found is not None and found != dict(inputs):
            changed = [key for key in sorted(found.keys() | inputs.keys()) if found.get(key) != inputs.get(key)]
            raise InputError(
                f"{stage.folder}: expected a stage made from the present {', '.join(changed)}, found one made from "
                f"another; move {stage.folder} away to make it anew, or choose another --run folder."
            )
        if stage.complete:
            print(f"{name}: complete, skipped ({stage.folder})", flush=True)
            return None
        write_json(self.folder / "config.json", dataclasses.asdict(self._merged(sections)))
        stage.begin()
        return stage

    def fingerprint(self, name: str) -> str:
        """Of a stage's outputs.

        Raises:
            InputError: The stage is not complete.
        """
        outputs = self.outputs(name)
        return digest({}, outputs)

    def outputs(self, name: str) -> dict[str, str]:
        """SHA-256 of each output of a stage.

        Raises:
            InputError: The stage is not complete.
        """
        stage = Stage(self.folder, name, {})
        if not stage.complete:
            raise InputError(
                f"{stage.folder}: expected a complete stage, found none; run `python -m train.{name} --run {self.folder}` "
                "first, or train.pipeline for all stages."
            )
        return stage.record["outputs"]

    def seconds(self, name: str) -> float:
        """Time that a stage has taken, over all calls."""
        return float(Stage(self.folder, name, {}).record.get("seconds", 0.0))

    def _check_options(self, sections: tuple[str, ...]) -> None:
        """Refuses options that differ from those of the stages that have begun."""
        stored = stored_config(self.folder)
        if stored is None:
            return
        begun = [name for name in sections if name == "data" or (self.folder / name / "stage.json").exists()]
        differing = []
        for name in begun:
            old, new = dataclasses.asdict(getattr(stored, name)), dataclasses.asdict(getattr(self.config, name))
            differing += [
                f"{name}.{key} ({old[key]} there, {new[key]} asked)"
                for key in old
                if old[key] != new[key] and f"{name}.{key}" not in PLACES
            ]
        if differing:
            raise InputError(
                f"{self.folder}: expected the options that it was made with, found others: {', '.join(differing)}; "
                "leave these flags out to go on with it, or choose another --run folder."
            )

    def _merged(self, sections: tuple[str, ...]) -> Config:
        """The stored options with those of `sections` as asked for now."""
        stored = stored_config(self.folder) or self.config
        return dataclasses.replace(stored, **{name: getattr(self.config, name) for name in sections})
