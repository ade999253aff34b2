"""Seconds and memory a pixel of images of different sizes, each case in a process of its own."""

import json
import pathlib
import statistics
import subprocess
import sys
from typing import Any

from benchmarks.common.harness import Cell
from benchmarks.common.rows import Row, row, spread_row
from benchmarks.large.alone import WAYS, Way
from benchmarks.large.inputs import Setting
from benchmarks.large.schedules import Sizes
from geovq.storage.arrays import save_arrays
from geovq.storage.bits import digest
from geovq.validation import InputError

PER_PIXEL = ("seconds", "cpu_seconds", "bytes_beyond")
"""What is compared with the smallest image, a pixel."""


def scaling(setting: Setting) -> list[Row]:
    """Rows of every autoencoder, way and size."""
    first, seed = setting.schedule.sizes[0].coding, setting.schedule.seeds[0]
    rows = setting.fit_costs(first, seed)
    for sizes in setting.schedule.sizes:
        files = _tokenizers(setting, sizes)
        for way in WAYS:
            if way in files:
                rows += per_pixel([_case(setting, sizes, way, files[way], shape) for shape in sizes.shapes])
    return rows


def _tokenizers(setting: Setting, sizes: Sizes) -> dict[Way, pathlib.Path]:
    """The file of the tokenizer of every way that takes these sizes."""
    coding, seed = sizes.coding, setting.schedule.seeds[0]
    setting.tokenizer(coding, None, seed)
    default = setting.default_path(coding, seed)
    files: dict[Way, pathlib.Path] = {"measure": default, "whitened": default, "joint": default}
    amortised = setting.amortised(coding, seed)
    if amortised is not None:
        files["amortised"] = amortised[1]
    return files


def _case(setting: Setting, sizes: Sizes, way: Way, tokenizer: pathlib.Path, shape: tuple[int, int]) -> list[Row]:
    """What one image costs."""
    height, width = shape
    name = f"scaling/{sizes.coding.name}-{way}-{height}x{width}"
    image = setting.centre(height, width)
    fields: Row = {
        "case": "scaling",
        "autoencoder": sizes.coding.autoencoder,
        "way": way,
        "height": height,
        "width": width,
        "pixels": height * width,
    }

    def compute() -> Cell:
        path = setting.run / "scaling" / f"image-{height}x{width}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_arrays(path, {"image": image}, {})
        found = _alone(setting, sizes, way, tokenizer, path)
        said = fields | {"load": found["load"]}
        wall, cpu = ([each[i] for each in found["seconds"]] for i in range(2))
        rows = [spread_row(said, "seconds", wall), spread_row(said, "cpu_seconds", cpu)]
        rows += [row(said, score, found[score]) for score in ("bytes", "bytes_beyond") if found[score] is not None]
        print(f"{name}: {statistics.median(wall):.3g} s", flush=True)
        return rows, {}

    return setting.cell(name, {"image": digest({"image": image})}, compute)[0]


def _alone(setting: Setting, sizes: Sizes, way: Way, tokenizer: pathlib.Path, image: pathlib.Path) -> dict[str, Any]:
    """What `benchmarks.large.alone` prints.

    Raises:
        InputError: It fails.
    """
    options = {
        "way": way,
        "autoencoder": sizes.coding.autoencoder,
        "autoencoders": setting.autoencoders,
        "tokenizer": tokenizer,
        "image": image,
    }
    flags = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "benchmarks.large.alone", *flags]
    root = pathlib.Path(__file__).parents[2]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or ["nothing"]
        raise InputError(f"scaling: expected {way} of {image.stem} to end well, found {said[-1]}; run it alone.")
    return json.loads(ended.stdout.splitlines()[-1])


def per_pixel(cases: list[list[Row]]) -> list[Row]:
    """The rows of one way at all sizes, each with the cost of a pixel relative to the first size's."""
    rows: list[Row] = []
    first = {each["score"]: each["value"] / each["pixels"] for each in cases[0]}
    for case in cases:
        rows += case
        rows += [
            row({name: each[name] for name in each if name not in _NUMBERS} | {"of": each["score"]}, "ratio", value)
            for each in case
            if each["score"] in PER_PIXEL and first[each["score"]] > 0
            for value in [each["value"] / each["pixels"] / first[each["score"]]]
        ]
    return rows


_NUMBERS = ("score", "value", "low", "high", "n")
