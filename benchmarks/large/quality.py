"""Quality of tokens of photographs, beside Euclidean k-means and the continuous autoencoder: image after image, each kept."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from benchmarks.common.harness import Cell
from benchmarks.common.rows import Row, mean_row, row, statistic_row
from benchmarks.large.inputs import Setting
from benchmarks.large.schedules import Coding
from geovq.assignment.greedy import Greedy
from geovq.assignment.joint import Joint
from geovq.assignment.nearest import Nearest
from geovq.decoder.autoencoder import decode_latents, encode_images
from geovq.scores.reconstruction import lpips, psnr, ssim
from geovq.storage.bits import digest
from geovq.tokenizer.file import describe_assigner
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import check_images

SCORES: Mapping[str, Callable] = {"psnr": psnr, "ssim": ssim, "lpips": lpips}

Found = dict[str, np.ndarray]
"""One value an image of every score."""


def quality(setting: Setting) -> list[Row]:
    """Rows of every coding and seed."""
    codings = setting.schedule.codings
    rows: list[Row] = []
    for seed in setting.schedule.seeds:
        for autoencoder in dict.fromkeys(coding.autoencoder for coding in codings):
            rows += setting.measured(autoencoder, seed)[1]
        for coding in codings:
            rows += _coding_rows(setting, coding, seed)
    return rows


def _coding_rows(setting: Setting, coding: Coding, seed: int) -> list[Row]:
    images = setting.scored_crops(coding.side, coding.photographs)
    fields: Row = {
        "case": "quality",
        "autoencoder": coding.autoencoder,
        "codes": coding.num_codes,
        "codes_per_token": coding.num_quantizers,
        "side": coding.side,
        "seed": seed,
    }
    found: dict[str, Found] = {"continuous": _continuous(setting, coding, images)}
    rows: list[Row] = []
    for name, tokenizer in _systems(setting, coding, seed):
        found[name] = _scored(setting, coding, seed, name, tokenizer, images)
        passes = tokenizer.assigner.passes(
            tokenizer.sizes.grid_of(images.shape[1:]) + _channels(tokenizer), tokenizer.codebook
        )
        rows.append(row(fields | {"assign": name}, "passes", passes.forward + passes.reverse))
        print(f"{coding.name}, seed {seed}: {name} scored, {found[name]['psnr'].mean():.2f} dB", flush=True)
    return rows + summary(fields, found)


def _channels(tokenizer: Tokenizer) -> tuple[int]:
    return (tokenizer.codebook.codes.shape[-1],)


def _systems(setting: Setting, coding: Coding, seed: int) -> Iterator[tuple[str, Tokenizer]]:
    """What people do, and what this library does by default, from the fastest on."""
    yield "euclidean", setting.tokenizer(coding, "kmeans", seed).replace(assigner=Nearest())
    ours = setting.tokenizer(coding, None, seed)
    yield "whitened", ours
    amortised = setting.amortised(coding, seed)
    if amortised is not None:
        yield "amortised", amortised[0]
    yield "joint", ours.replace(assigner=Joint())
    if coding.perceptual:
        yield "joint-lpips", ours.replace(assigner=Joint(perceptual=coding.perceptual))
    if setting.schedule.greedy:
        yield "greedy", ours.replace(assigner=Greedy())


def _continuous(setting: Setting, coding: Coding, images: np.ndarray) -> Found:
    """The autoencoder without quantization."""
    encode, decode = setting.vae(coding.autoencoder)

    def compute(image: np.ndarray) -> Found:
        return _scores(image, decode_latents(decode, encode_images(encode, image)))

    folder = f"quality/{coding.autoencoder}-{coding.side}/continuous"
    return _each(setting, folder, {"autoencoder": coding.autoencoder}, compute, images)


def _scored(setting: Setting, coding: Coding, seed: int, name: str, tokenizer: Tokenizer, images: np.ndarray) -> Found:
    """The tokens of a tokenizer, image after image."""

    def compute(image: np.ndarray) -> Found:
        return _scores(image, tokenizer.decode(tokenizer.encode(image)))

    codes, metrics = tokenizer.codebook.codes, tokenizer.codebook.position_metrics
    made_from = {
        "assign": describe_assigner(tokenizer.assigner),
        "codebook": digest({"codes": codes, "metrics": metrics}),
    }
    return _each(setting, f"quality/{coding.name}-{coding.side}-{seed}/{name}", made_from, compute, images)


def _each(
    setting: Setting, folder: str, made_from: dict, compute: Callable[[np.ndarray], Found], images: np.ndarray
) -> Found:
    """What is computed of every image, each in a file; images that a killed run has finished are not computed again."""

    def cell(i: int) -> Cell:
        image = check_images(images[i : i + 1])
        made = made_from | {"image": digest({"image": image})}
        return setting.cell(f"{folder}-{i:02}", made, lambda: ([], compute(image)))

    found = [cell(i)[1] for i in range(len(images))]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def _scores(image: np.ndarray, decoded: np.ndarray) -> Found:
    return {name: score(image, decoded) for name, score in SCORES.items()}


def summary(fields: Row, found: Mapping[str, Found]) -> list[Row]:
    """Means over images, and paired differences from the systems that people know.

    Args:
        fields: They identify the coding.
        found: Of every system. `euclidean`, `whitened` and `continuous` are compared with.
    """
    rows: list[Row] = []
    for name, scores in found.items():
        ours = fields | {"assign": name}
        rows += [mean_row(ours, score, scores[score]) for score in SCORES]
        rows += [
            mean_row(ours | {"peer": peer}, f"{score}_difference", scores[score] - found[peer][score])
            for peer in ("euclidean", "whitened", "continuous")
            if peer != name
            for score in SCORES
        ]
    if "amortised" in found:
        of = {name: found[name]["psnr"] for name in ("amortised", "joint", "whitened")}
        rows.append(statistic_row(fields | {"assign": "amortised"}, "share_of_gain", share, *of.values()))
    return rows


def share(amortised: np.ndarray, joint: np.ndarray, whitened: np.ndarray) -> float:
    """The part of what `Joint` gains over `Whitened` that `Amortised` gains, of PSNR (n,)."""
    return float((amortised - whitened).mean() / (joint - whitened).mean())
