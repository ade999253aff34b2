"""What does an accelerator change? Agreement with the CPU, rates of metrics and tokens, the original study, the Fréchet table.

    python -m benchmarks.accelerator --data-dir DIR --autoencoders DIR --photographs DIR   one GPU, 8 minutes; again to go on
    python -m benchmarks.accelerator --size tiny --minutes 5                               a CPU, the digits, to try it

The first folder holds the four official FashionMNIST files, the second taesd_encoder.safetensors and so on, the third
bsds500/train and kodak. The parts, in this order, as far as the time goes:
- agreement: the CPU and the accelerator give the same metrics, joint tokens and training losses, within tolerances;
- metrics: 960,000 exact metrics, with the time of the arithmetic alone; synthetic images where there is no folder of them;
- photographs: a published autoencoder on photographs of 256x256 and 512x512: agreement, images a second, and memory;
- study: the original study's three experiments on their full schedule (50, 100 and 100 epochs), one seed;
- frechet: ten epochs and three seeds of `joint` tokens and of a VQ-VAE's, each by its own and by a fine-tuned decoder.

It needs JAX, Flax, Optax, Orbax, numba and scikit-learn, and two small packages: jaxtyping, lazy_loader. Without a package
index, put a folder of unpacked wheels (also of their own dependencies) on PYTHONPATH. The first line says what is missing
and which parts are left out. Photographs need safetensors and Pillow, and so do the digits of --size tiny.

A row is written to OUTPUT/accelerator.json as soon as it is known. A part that is complete there with the same options is
skipped, and training goes on from its checkpoints. An error ends its part, not the program: the table at the end shows it, and
its traceback is in OUTPUT/PART.log.
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import os
import pathlib
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Row = dict[str, Any]

TOLERANCES = {"default": 2e-2, "highest": 1e-3}
"""Relative differences that count as agreement, by the precision of matrix products: accelerators round inputs by default."""

TINY = ((12, 12, 1), (2, 2), 4, 8, 8)
"""Sizes of the VAE of --size tiny."""

SECONDS_TO_END = 5.0
"""Time that is left for the table."""


class Asked(NamedTuple):
    """The options."""

    minutes: float
    output: pathlib.Path
    data_dir: str | None
    tiny: bool
    device: str
    autoencoders: pathlib.Path | None = None
    photographs: pathlib.Path | None = None

    @property
    def recorded(self) -> dict[str, Any]:
        """What a part's rows depend on."""
        return {"size": "tiny" if self.tiny else "full", "data": self.data_dir is not None, "device": self.device}

    def lacks(self, part: "Part") -> str | None:
        """The option that a part needs and that is not there."""
        if part.needs_data and self.data_dir is None and not self.tiny:
            return "--data-dir DIR with the four FashionMNIST files"
        if part.needs_photographs and (self.autoencoders is None or self.photographs is None):
            return "--autoencoders DIR and --photographs DIR"
        return None


class Part(NamedTuple):
    """One part of the benchmark."""

    measure: Callable[[Asked], Iterator[Row]]
    """Rows, as soon as each is known."""
    needs: tuple[str, ...]
    """Packages beside JAX, Flax, Optax, Orbax, numba and scikit-learn."""
    needs_data: bool = False
    needs_photographs: bool = False


class OutOfTime(BaseException):
    """The minutes are over; not an Exception, so that nothing takes it for an error of its own."""


def agreement(asked: Asked) -> Iterator[Row]:
    """Metrics, joint tokens and losses of a few training steps, on the CPU and on the default device."""
    from benchmarks.metric.peers import compare_devices
    from geovq.assignment.joint import Joint
    from geovq.models.config import VAEConfig

    if not asked.tiny:
        yield from compare_devices(VAEConfig((28, 28, 1)), Joint(), 64, 20, TOLERANCES)
    else:
        assigner = Joint(jacobians=1, corrections=0, dampings=(0.3,))
        yield from compare_devices(VAEConfig(*TINY), assigner, 8, 3, {"highest": TOLERANCES["highest"]})


def metrics(asked: Asked) -> Iterator[Row]:
    """Exact metrics of every token, with the time of their decoder passes alone."""
    import numpy as np

    from benchmarks.metric.peers import count_metrics
    from geovq.models.config import VAEConfig
    from geovq.validation import check_images
    from train.data.datasets import load

    config, sizes = (VAEConfig(*TINY), (16, 64)) if asked.tiny else (VAEConfig((28, 28, 1)), (6_000, 60_000))
    if asked.data_dir is None or asked.tiny:
        images = np.random.default_rng(0).random((sizes[-1], *config.image_shape), np.float32)
    else:
        dataset = load("fashion_mnist", asked.data_dir, 0)
        images = check_images(np.concatenate([dataset.train_images, dataset.val_images]))
    yield from count_metrics(config, images, sizes)


def photographs(asked: Asked) -> Iterator[Row]:
    """Tokens of photographs: agreement, and rates beside the encoder's alone."""
    from benchmarks.large import rates
    from benchmarks.large.inputs import Setting

    assert asked.autoencoders is not None  # `Asked.lacks` has seen them
    assert asked.photographs is not None
    size = rates.TINY if asked.tiny else rates.FULL
    folders = (asked.autoencoders.resolve(), asked.photographs.resolve(), asked.output.resolve() / "large")
    yield from rates.rates(Setting(*folders, size.schedule), size)


def study(asked: Asked) -> Iterator[Row]:
    """The original three experiments."""
    size, systems = ("smoke", ("1",)) if asked.tiny else ("full", ("1", "2", "3"))
    yield from _trained(asked, "study", size, systems, (0,))


def frechet(asked: Asked) -> Iterator[Row]:
    """Joint tokens and a VQ-VAE's, trained for ten epochs."""
    if asked.tiny:
        yield from _trained(asked, "longest", "smoke", ("metric-joint", "vqvae-euclidean"), (0,))
    else:
        yield from _trained(asked, "longest", "reduced", (), (0, 1, 2))


def _trained(asked: Asked, schedule: Any, size: Any, systems: Sequence[str], seeds: Sequence[int]) -> Iterator[Row]:
    from benchmarks.generation.runs import Generation
    from benchmarks.generation.schedules import STUDIES
    from benchmarks.generation.scores import briefly
    from train.evaluation.judge import Judge

    settings, chosen, _ = STUDIES[schedule].at(size, systems)
    needed = tuple(dict.fromkeys(system.codebook for system in chosen.values() if system.codebook != "baseline"))
    codebooks = dataclasses.replace(settings.tokenizer.codebook, codebooks=needed)
    settings = dataclasses.replace(settings, tokenizer=dataclasses.replace(settings.tokenizer, codebook=codebooks))
    generation = Generation(asked.output / schedule, asked.data_dir, settings)
    judge = Judge.of(dataclasses.replace(generation, folder=asked.output).classifier())  # the same for all parts
    for seed in seeds:
        for name, system in chosen.items():
            trained = generation.trained(system, seed)
            of = {**system.fields, STUDIES[schedule].field: name, "seed": seed, "epochs": settings.epochs_of(system)}
            for row in briefly(trained.run, trained.tokenizer(), judge, settings.images, settings.sets):
                yield of | row


_NEEDS = ("jaxtyping", "lazy_loader")

PARTS: Mapping[str, Part] = {
    "agreement": Part(agreement, _NEEDS),
    "metrics": Part(metrics, _NEEDS),
    "photographs": Part(photographs, (*_NEEDS, "safetensors", "PIL"), needs_photographs=True),
    "study": Part(study, _NEEDS, needs_data=True),
    "frechet": Part(frechet, _NEEDS, needs_data=True),
}
"""In the order in which they are measured."""


class Record:
    """OUTPUT/accelerator.json: {"meta", "parts", "rows"}."""

    def __init__(self, asked: Asked) -> None:
        """Reads what an earlier call has written.

        Args:
            asked: The options.
        """
        self.path = asked.output / "accelerator.json"
        self._options, self._folder = asked.recorded, asked.output
        self._folder.mkdir(parents=True, exist_ok=True)
        self.meta: dict[str, Any] = {}
        self.parts: dict[str, dict[str, Any]] = {}
        self.rows: list[Row] = []
        with contextlib.suppress(OSError, ValueError, KeyError):
            found = json.loads(self.path.read_text())
            self.parts, self.rows = found["parts"], found["rows"]

    def complete(self, part: str) -> bool:
        """Whether all rows of a part are there, measured with the same options."""
        known = self.parts.get(part, {})
        return known.get("status") == "complete" and known.get("options") == self._options

    def begin(self, part: str) -> None:
        """Writes that a part begins; its rows with other options go."""
        if self.parts.get(part, {}).get("options") != self._options:
            self.rows = [row for row in self.rows if row["part"] != part]
        self.end(part, "begun")

    def add(self, part: str, row: Row) -> None:
        """Writes a row; it replaces the row of an earlier call with the same fields."""
        row = {"part": part, **row}
        self.rows = [other for other in self.rows if _identity(other) != _identity(row)] + [row]
        self.write()

    def end(self, part: str, status: str, message: str = "", seconds: float = 0.0) -> None:
        """Writes how a part ended."""
        found = {"status": status, "message": message, "seconds": round(seconds, 1)}
        self.parts[part] = {"options": self._options, **found}
        self.write()

    def write(self) -> None:
        """Replaces the file; it is whole or as before."""
        unfinished = self.path.with_suffix(".tmp")
        unfinished.write_text(json.dumps({"meta": self.meta, "parts": self.parts, "rows": self.rows}, indent=1))
        unfinished.replace(self.path)

    def table(self) -> str:
        """All rows and how the parts ended."""
        line = "{:<10} {status:<12} {seconds:>8} s  {message}"
        ends = [line.format(part, **end) for part, end in self.parts.items()]
        return "\n".join([*map(_line, self.rows), "", *ends])


def _line(row: Row) -> str:
    """A row as people read it."""
    shown = ("case", "of", "way", "side", "precision", "agrees", "tokens", "experiment", "name", "model", "seed")
    fields = ", ".join(f"{key} {row[key]}" for key in shown if key in row)
    return f"{row['part']:<10} {row['score']:<24} {row['value']:>12.5g}  {fields}"


def _identity(row: Row) -> str:
    measured = ("value", "low", "high", "n", "agrees")
    return json.dumps({key: value for key, value in row.items() if key not in measured}, sort_keys=True)


def missing_packages() -> dict[str, list[str]]:
    """Packages that each part needs and that are not installed."""
    return {
        name: [need for need in part.needs if importlib.util.find_spec(need) is None] for name, part in PARTS.items()
    }


def measure(asked: Asked, record: Record, parts: Sequence[str], deadline: float) -> bool:
    """Measures the parts, as far as the time goes.

    Args:
        asked: The options.
        record: Gets the rows and how each part ended.
        parts: Their names.
        deadline: Of `time.monotonic`.

    Returns:
        Whether all were tried.
    """
    lacking = missing_packages()
    for name in parts:
        part, began = PARTS[name], time.monotonic()
        if record.complete(name):
            print(f"{name}: complete, skipped", flush=True)
            continue
        if lacking[name]:
            record.end(name, "left out", f"missing: {', '.join(lacking[name])}")
            continue
        if lacks := asked.lacks(part):
            record.end(name, "left out", f"expected {lacks}, found none")
            continue
        print(f"{name}: begins, {max(0.0, deadline - began):.0f} s are left", flush=True)
        record.begin(name)
        try:
            with _until(deadline):
                for row in part.measure(asked):
                    record.add(name, row)
                    print(_line({"part": name, **row}), flush=True)
        except OutOfTime:
            record.end(name, "interrupted", "the minutes are over; run it again to go on", time.monotonic() - began)
            return False
        except (Exception, SystemExit) as error:
            message = f"{type(error).__name__}: {error}".split("\n")[0]
            (asked.output / f"{name}.log").write_text("".join(traceback.format_exception(error)))
            record.end(name, "error", message, time.monotonic() - began)
            print(f"{name}: {message}", flush=True)
        else:
            record.end(name, "complete", seconds=time.monotonic() - began)
    return True


@contextlib.contextmanager
def _until(deadline: float) -> Iterator[None]:
    """Raises OutOfTime in the block at the deadline."""

    def stop(*_: Any) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(0.01, deadline - time.monotonic()))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def parse_options(arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    """The command line, and the parts that are asked for."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.accelerator", description=__doc__, formatter_class=raw)
    folder = pathlib.Path("runs/accelerator")
    parser.add_argument("--minutes", type=float, default=8.0, help="time of this call (8)")
    parser.add_argument("--output", type=pathlib.Path, default=folder, help=f"results and runs ({folder})")
    parser.add_argument("--data-dir", help="folder with the four official FashionMNIST files")
    parser.add_argument("--autoencoders", type=pathlib.Path, help="folder of published weights")
    parser.add_argument("--photographs", type=pathlib.Path, help="folder with bsds500/train and kodak")
    parser.add_argument("--size", choices=("full", "tiny"), help="full on an accelerator, tiny on a CPU if not given")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="only these parts")
    found = parser.parse_args(arguments)
    if found.minutes <= 0:
        parser.error(f"--minutes: expected a number above 0, found {found.minutes:g}")
    holds = {"data_dir": "the four FashionMNIST files", "autoencoders": "weights", "photographs": "photographs"}
    for name, what in holds.items():
        folder = getattr(found, name)
        if folder is not None and not pathlib.Path(folder).is_dir():
            parser.error(f"--{name.replace('_', '-')}: expected a folder with {what}, found none at {folder}")
    return found, [name for name in PARTS if name in found.parts]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the benchmark."""
    began = time.monotonic()
    options, parts = parse_options(arguments)
    lacking = {name: needs for name, needs in missing_packages().items() if needs and name in parts}
    packages = ", ".join(dict.fromkeys(need for needs in lacking.values() for need in needs))
    left_out = f"missing: {packages}; left out: {', '.join(lacking)}" if lacking else "no package is missing"
    print(f"accelerator: {left_out}", flush=True)

    import jax

    device = jax.devices()[0]
    on_cpu = device.platform == "cpu"
    kind = "none, measured on the CPU" if on_cpu else device.device_kind
    print(f"accelerator: {kind}; JAX {jax.__version__}", flush=True)
    tiny = options.size == "tiny" or (options.size is None and on_cpu)
    data_dir = options.data_dir or os.environ.get("GEOVQ_DATA")
    folders = options.autoencoders, options.photographs
    asked = Asked(options.minutes, options.output, data_dir, tiny, device.device_kind, *folders)
    record = Record(asked)
    record.meta = {
        "command": "python -m benchmarks.accelerator",
        "device": f"{device.device_kind} ({device.platform})",
        "on_cpu": on_cpu,
        "machine": f"{os.cpu_count()} CPU cores",
        "versions": {"python": sys.version.split()[0], "jax": jax.__version__},
        "date": time.strftime("%Y-%m-%d"),
        "schedule": asked.recorded["size"],
    }
    ended = measure(asked, record, parts, began + 60 * asked.minutes - SECONDS_TO_END)
    print(f"\n{record.table()}\n\n{record.path}", flush=True)
    if not ended:
        os._exit(0)  # an interrupted training leaves threads of its checkpoints, which would delay the end


if __name__ == "__main__":
    main()
