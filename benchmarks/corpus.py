"""What does a corpus cost? Memory of `geovq encode` by the number of images, and its speed compared with the encoder alone.

    python -m benchmarks.corpus --autoencoder DIR/taesd --photographs DIR --run runs/corpus               an hour on two cores
    python -m benchmarks.corpus --autoencoder DIR/taesd --photographs DIR --run runs/corpus --schedule smoke            minutes

Photographs have 256 pixels on both sides or more. --run gets the corpora, 4 GB of them, and the tokenizers. Peaks
of memory are those of `geovq encode` in a process of its own, on 32x32 images in an .npy; a small autoencoder with random weights
shows what the corpus takes, the given one what both take. Speed is that of `Whitened` tokens written to disk, the source opened
and read, in turn with the encoder alone on the same images in memory. Writes benchmarks/results/corpus.json.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from benchmarks.common.harness import FOLDER, file_name, in_turn, markdown, save
from benchmarks.common.rows import Row, ratio_row, row, spread_row
from geovq.validation import InputError
from train.run.command_line import run_program

if TYPE_CHECKING:
    import numpy as np

    from geovq.tokenizer.tokenizer import Tokenizer

ScheduleName = Literal["reduced", "smoke"]

SMALL = "random, 4 channels wide"
"""The small autoencoder."""

SIDE = 32
"""Pixels of a side of the images whose memory is measured."""

_CODES, _CROPS = 64, 16
"""Codes, and crops that they are fitted to: few, for tokens are made and not looked at."""

_PER_BLOCK = 8192

_PROGRAM = ["-m", "geovq.cli.program"]

_ASKED_EVERY = 0.1
"""Seconds."""


class Schedule(NamedTuple):
    """How much is measured."""

    many: int
    """Images of the large corpus."""
    few: int
    """Images of the small one, and of the given autoencoder's."""
    sizes: dict[int, int]
    """Images that are timed, by the pixels of their side."""
    rounds: int


SCHEDULES: dict[ScheduleName, Schedule] = {
    "reduced": Schedule(1_000_000, 16_384, {256: 64, 32: 4096}, 5),
    "smoke": Schedule(50_000, 4096, {256: 4, 32: 256}, 2),
}


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.corpus", description=__doc__, formatter_class=raw)
    parser.add_argument("--autoencoder", required=True, help="as geovq fit takes it, such as DIR/taesd")
    parser.add_argument("--photographs", type=pathlib.Path, required=True, help="folder of photographs")
    parser.add_argument("--run", type=pathlib.Path, required=True, help="folder of corpora and tokenizers")
    parser.add_argument("--schedule", choices=get_args(ScheduleName), default="reduced")
    parser.add_argument("--output", type=pathlib.Path, default=FOLDER, help="folder of the results")
    return parser.parse_args(arguments)


def main() -> None:
    """Runs the benchmark."""
    options = parse_options()
    schedule = SCHEDULES[options.schedule]
    rows = memory(options.autoencoder, options.run, schedule)
    rows += throughput(options.autoencoder, options.photographs, options.run, schedule)
    print(table(rows))
    save(file_name("corpus", options.schedule), rows, {"codes 0": 0}, options.schedule, options.output)


def memory(autoencoder: str, run: pathlib.Path, schedule: Schedule) -> list[Row]:
    """Peaks of `geovq encode`, and how often the large corpus takes the small one's."""
    small = _write_small(run / "small")
    name = pathlib.Path(autoencoder).name
    rows = []
    for autoencoder_name, path, counts in (
        (SMALL, str(small), (schedule.few, schedule.many)),
        (name, autoencoder, (schedule.few,)),
    ):
        tokenizer = _fit(path, run / f"{pathlib.Path(path).name}.npz")
        for count in counts:
            peak, seconds = peak_of_encoding(tokenizer, write_images(run / f"{count}.npy", count), run / "tokens")
            fields = {"case": "memory", "autoencoder": autoencoder_name, "images": count, "side": SIDE}
            rows += [row(fields, "peak_bytes", peak, count), row(fields, "images_per_second", count / seconds, count)]
            print(
                f"memory: {count:,} images, {autoencoder_name}: {peak / (1 << 30):.2f} GiB, {seconds:.0f} s", flush=True
            )
    peaks = [each["value"] for each in rows if each["score"] == "peak_bytes"]
    said = {"case": "memory", "autoencoder": SMALL, "images": schedule.many, "side": SIDE, "of": "peak_bytes"}
    return [*rows, row(said, "ratio", peaks[1] / peaks[0], schedule.many)]


def peak_of_encoding(tokenizer: pathlib.Path, images: pathlib.Path, out: pathlib.Path) -> tuple[int, float]:
    """Bytes at the peak of `geovq encode` in a process of its own, and its seconds, start included.

    The peak is Linux's VmHWM, asked for until the process ends: what `wait` says begins with the memory of this process.
    """
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, *_PROGRAM, "encode", str(tokenizer), str(images), "--out", str(out)]
    began, peak = time.monotonic(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, _high_water(process.pid))
        time.sleep(_ASKED_EVERY)
    if process.returncode:
        raise InputError(f"{images}: expected geovq encode to end well, found status {process.returncode}; see above.")
    return peak, time.monotonic() - began


def _high_water(pid: int) -> int:
    """Bytes at the peak of a process so far; 0 once it has ended."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def write_images(path: pathlib.Path, count: int) -> pathlib.Path:
    """An .npy of random images, a block at a time; one that is there is kept."""
    import numpy as np

    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part.npy")
        images = np.lib.format.open_memmap(unfinished, "w+", np.uint8, (count, SIDE, SIDE, 3))
        for start in range(0, count, _PER_BLOCK):
            stop = min(start + _PER_BLOCK, count)
            coarse = np.random.default_rng(start).integers(0, 256, (stop - start, 4, 4, 3), dtype=np.uint8)
            images[start:stop] = coarse.repeat(SIDE // 4, axis=1).repeat(SIDE // 4, axis=2)
        images.flush()
        unfinished.replace(path)
    return path


def _write_small(folder: pathlib.Path) -> pathlib.Path:
    from flax import nnx

    from geovq.models.config import TinyAutoencoderConfig
    from geovq.models.tiny_autoencoder import TinyAutoencoder

    if not folder.exists():
        config = TinyAutoencoderConfig(4, 4, (0, 0, 0, 1), (1, 0, 0, 0))
        TinyAutoencoder(config, rngs=nnx.Rngs(0)).save_pretrained(folder)
    return folder


def _fit(autoencoder: str, path: pathlib.Path) -> pathlib.Path:
    """A tokenizer's file, fitted once a run folder."""
    import numpy as np

    from geovq.assignment.whitened import Whitened
    from geovq.cli.loading import name_source
    from geovq.models.autoencoders import load_autoencoder
    from geovq.tokenizer.tokenizer import Tokenizer

    if not path.exists():
        vae = load_autoencoder(autoencoder)
        crops = np.load(write_images(path.with_suffix(".crops.npy"), _CROPS))
        tokenizer = Tokenizer.fit(vae.encode, vae.decode, crops, num_codes=_CODES, assigner=Whitened())
        tokenizer.save(path, autoencoder=name_source(autoencoder, vae))
    return path


def throughput(autoencoder: str, photographs: pathlib.Path, run: pathlib.Path, schedule: Schedule) -> list[Row]:
    """Images a second from every source, and as a part of those of the encoder alone on the same images in memory."""
    from geovq.corpus.crops import draw_crops
    from geovq.decoder.autoencoder import encode_images
    from geovq.models.autoencoders import load_autoencoder
    from geovq.tokenizer.tokenizer import Tokenizer

    vae, path = load_autoencoder(autoencoder), _fit(autoencoder, run / f"{pathlib.Path(autoencoder).name}.npz")
    tokenizer = Tokenizer.load(path, vae.encode, vae.decode)
    rows: list[Row] = []
    for side, count in schedule.sizes.items():
        images = draw_crops(photographs, side, count)
        sources = write_sources(run / f"sources-{side}", images)
        ways: dict[str, Callable[[], object]] = {
            name: _encoding(tokenizer, source, run / "timed") for name, source in sources.items()
        }
        _check_equal(tokenizer, images, ways, run / "timed")
        ways["alone"] = lambda images=images: encode_images(tokenizer.encoder, images)  # type: ignore[misc]
        seconds = in_turn(ways, schedule.rounds)
        for name in ways:
            fields = {"case": "throughput", "autoencoder": pathlib.Path(autoencoder).name, "side": side, "source": name}
            rows.append(spread_row(fields, "images_per_second", [count / each for each in seconds[name]]))
            if name != "alone":
                rows.append(ratio_row(fields | {"peer": "alone"}, seconds["alone"], seconds[name]))
    return rows


def write_sources(folder: pathlib.Path, images: "np.ndarray") -> dict[str, pathlib.Path]:
    """The images as files, as a WebDataset tar, and as one array."""
    import tarfile

    import numpy as np
    import PIL.Image

    files = folder / "folder"
    files.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "images.tar", "w") as tar:
        for i, pixels in enumerate(images):
            path = files / f"{i:06}.png"
            PIL.Image.fromarray(pixels).save(path)
            tar.add(path, path.name)
    np.save(folder / "images.npy", images)
    return {"folder": files, "tar": folder / "images.tar", "array": folder / "images.npy"}


def _encoding(tokenizer: "Tokenizer", source: pathlib.Path, out: pathlib.Path) -> Callable[[], object]:
    """What `geovq encode` does once the autoencoder is loaded."""
    from geovq.corpus.encoding import encode_corpus
    from geovq.corpus.sources import open_images

    def encode() -> object:
        shutil.rmtree(out, ignore_errors=True)
        return encode_corpus(tokenizer, "timed", open_images(source), out)

    return encode


def _check_equal(
    tokenizer: "Tokenizer", images: "np.ndarray", ways: dict[str, Callable[[], object]], out: pathlib.Path
) -> None:
    """All sources give the tokens of the images in memory, but for ties within rounding: batches may be of other sizes.

    Raises:
        InputError: One gives others.
    """
    from geovq.corpus.token_folder import open_tokens

    wanted = tokenizer.encode(images)
    for name, encode in ways.items():
        encode()
        differ = float((open_tokens(out).array()[..., 0] != wanted).mean())
        if differ > 1e-3:
            raise InputError(
                f"{name}: expected the tokens of the images in memory, found {differ:.2%} others; mend the source."
            )


def table(rows: list[Row]) -> str:
    """Memory by the number of images, and speed by source."""
    peaks = [each for each in rows if each["score"] == "peak_bytes"]
    ratios = [each for each in rows if each["score"] == "ratio" and each["case"] == "throughput"]
    memory = [[f"{each['images']:,}", each["autoencoder"], each["value"] / (1 << 30)] for each in peaks]
    speed = [
        [f"{each['side']}x{each['side']}", each["source"], each["value"], f"{each['low']:.3g} to {each['high']:.3g}"]
        for each in ratios
    ]
    return "\n\n".join(
        (
            markdown([f"images of {SIDE}x{SIDE}", "autoencoder", "GiB at the peak"], memory),
            markdown(["images", "source", "speed / encoder's alone", "least and greatest"], speed),
        )
    )


if __name__ == "__main__":
    run_program(main)
