"""Readers of JSON: records with their checksums, options and stages of a run, and logs of a training."""

import json
import pathlib
from typing import Any

import numpy as np

from benchmarks.faults.reader import Reader, by_bytes, reseal_record
from benchmarks.faults.spoiling import spoil_bytes, spoil_text
from geovq.storage.arrays import save_arrays
from geovq.storage.bits import digest
from geovq.storage.records import read_json, read_record, write_record, write_results
from geovq.validation import InputError
from train.config.checks import check_config
from train.config.options import Config
from train.loop.log import append, truncate
from train.run.folder import Run
from train.run.options_file import save_config, stored_config


def _results(folder: pathlib.Path) -> pathlib.Path:
    write_results(folder / "r.json", {"seeds": [1], "command": "x"}, [{"score": "psnr", "value": 1.5}])
    return folder / "r.json"


def _record(folder: pathlib.Path) -> pathlib.Path:
    write_record(folder / "r.json", {"options": {"vae": {"epochs": 3}}, "outputs": None})
    return folder / "r.json"


def _options(folder: pathlib.Path) -> pathlib.Path:
    save_config(folder, Config())
    return folder / "config.json"


def _read_options(path: pathlib.Path) -> Config | None:
    """Reads the options and checks them as a program does."""
    config = stored_config(path.parent)
    if config is not None:
        check_config(config, tuple(vars(config)))
    return config


def _stage(folder: pathlib.Path) -> pathlib.Path:
    """Writes a complete stage without config.json, in place of which its record is read."""
    stage = Run(folder, Config()).begin("vae", ("data", "vae"), {"images": "a"})
    assert stage is not None
    save_arrays(folder / "vae/a.npz", {"a": np.arange(3)}, {})
    stage.finish("vae/a.npz")
    (folder / "config.json").unlink()
    return folder / "vae/stage.json"


def _read_stage(path: pathlib.Path) -> list[Any]:
    """Reads a stage as the stages do that continue from it."""
    config = stored_config(path.parents[1])
    run = Run(path.parents[1], config or Config())
    run.check_options(("data", "vae"))
    return [config, run.fingerprint("vae"), run.seconds("vae"), run.read("vae", "vae/a.npz")] if config else []


_LOG_ROWS: list[dict[str, float]] = [{"epoch": epoch, "step": epoch, "train_loss": 1 / epoch} for epoch in (1, 2, 3)]


def _log(folder: pathlib.Path) -> pathlib.Path:
    for row in _LOG_ROWS:
        append(folder / "metrics.jsonl", row)
    return folder / "metrics.jsonl"


def _read_log(path: pathlib.Path) -> list[Any]:
    """Reads a log; one of which a line is left out is refused, where a program continues with the others."""
    if not path.exists():
        raise InputError(f"{path}: expected a log, found none.")
    truncate(path, 3)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    whole = [{**row, "sha256": digest({}, row)} for row in _LOG_ROWS]
    if len(rows) < len(whole) and all(row in whole for row in rows):
        raise InputError(f"{path}: expected lines of their sha256, found others, which are left out.")
    return rows


READERS: dict[str, Reader] = {
    "JSON": Reader(_results, by_bytes(spoil_text), read_json, sealed=False),
    "results": Reader(_results, reseal_record, read_record),
    "options": Reader(_options, reseal_record, _read_options),
    "stage": Reader(_stage, reseal_record, _read_stage),
    "record": Reader(_record, reseal_record, read_record),
    "log": Reader(_log, by_bytes(spoil_bytes), _read_log),
}
