"""Scores of every image under every system; each image is a file in the run folder, so that a killed run goes on."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from benchmarks.common.harness import Cell
from benchmarks.common.published import Published
from benchmarks.common.rows import Row
from benchmarks.photographs.coders import CONSTANTS, Coder, coder
from benchmarks.photographs.schedules import Study
from benchmarks.photographs.systems import Crops, Rate, System
from geovq.decoder.autoencoder import encode_images
from geovq.scores.reconstruction import lpips, psnr, ssim
from geovq.storage.bits import digest
from geovq.tokenizer.file import describe_assigner
from geovq.validation import check_images

Scores = dict[str, np.ndarray]
"""One value an image of every score, and for tokenizers the tokens of every image."""

SCORES: Mapping[str, Callable] = {
    "psnr": psnr,
    "ssim": ssim,
    "lpips": lpips,
    "lpips_vgg": lambda images, decoded: lpips(images, decoded, network="vgg"),
    "squared_error": lambda images, decoded: ((images - decoded) ** 2).mean(axis=(1, 2, 3)),
}


def scores_of(images: np.ndarray, decoded: np.ndarray) -> Scores:
    """Every score of images (n, H, W, 3) in [0, 1] and what became of them."""
    return {name: np.asarray(score(images, decoded)) for name, score in SCORES.items()}


def images_of(published: Published, folder: str, crops: Crops) -> list[np.ndarray]:
    """The photographs of a folder that are scored, uint8 (1, H, W, 3) each; whole ones need sides that 8 divides, as Kodak's."""
    if crops.side is not None:
        return [image[None] for image in published.centres(folder, crops.side, crops.photographs)]
    return [image[None] for image in published.of(folder)[: crops.photographs]]


def score_bound(
    published: Published,
    name: str,
    autoencoder: str,
    crops: Crops,
    way: Callable[[np.ndarray], np.ndarray],
    **options: float,
) -> Scores:
    """Scores of continuous latents.

    Args:
        published: Folders.
        name: Of the way.
        autoencoder: Whose latents.
        crops: Of which images.
        way: Decodes one image (1, H, W, 3).
        options: What it depends on beside the weights.
    """

    def compute(image: np.ndarray) -> Scores:
        return scores_of(image, way(image))

    made_from = {"way": name, "options": options, "weights": published.fingerprint(autoencoder)}
    folder = f"bounds/{autoencoder}-{crops.side or 'whole'}/{name}"
    return collect(each_image(published, folder, made_from, compute, images_of(published, "kodak", crops)))


def score_system(published: Published, study: Study, system: System, seed: int) -> tuple[Coder, Scores]:
    """Scores and tokens of a system on the images that a study reports."""
    found = coder(published, study.autoencoder, study.rate, system, seed)
    folder = _folder(study.autoencoder, study.rate, system, seed)
    return found, score_coder(published, found, folder, made_from_of(found, system.assign), study.crops)


def score_coder(published: Published, found: Coder, folder: str, made_from: dict, crops: Crops) -> Scores:
    """Scores and tokens of the photographs that are reported, each kept under the folder's name."""

    def compute(image: np.ndarray) -> Scores:
        tokens = found.encode(image)
        return {**scores_of(image, found.decode(tokens)), "tokens": tokens}

    images = images_of(published, "kodak", crops)
    return collect(each_image(published, f"{folder}/kodak-{crops.side or 'whole'}", made_from, compute, images))


def decoded(
    published: Published, study: Study, system: System, numbers: Iterable[int]
) -> list[Float[np.ndarray, "1 H W 3"]]:
    """What a system makes of some photographs of a study, with the codes of its first seed."""
    found, scores = score_system(published, study, system, study.seeds[0])
    images = images_of(published, "kodak", study.crops)
    grids = [found.tokenizer.sizes.grid_of(image.shape[1:]) for image in images]
    ends = np.cumsum([height * width for height, width in grids])
    tokens = np.split(scores["tokens"], ends[:-1])
    return [found.decode(tokens[i].reshape(1, *grids[i], -1)) for i in numbers]


def fields_of(study: Study, system: System, seed: int) -> Row:
    """What identifies the rows of a system."""
    return {
        "case": "photographs",
        "autoencoder": study.autoencoder,
        "codes": study.rate.num_codes,
        "codes_per_token": study.rate.num_quantizers,
        "codebook": system.codes,
        "assign": system.assign,
        "photographs": study.crops.photographs,
        "side": study.crops.side,
        "seed": seed,
    }


def tokens_of_val(
    published: Published, study: Study, system: System, seed: int, crops: Crops
) -> Int[np.ndarray, "n S"]:
    """Tokens of photographs that are neither fitted to nor reported, whose frequencies a coder knows."""
    found = coder(published, study.autoencoder, study.rate, system, seed)
    images = np.concatenate(images_of(published, "bsds500/val", crops))
    made_from = made_from_of(found, system.assign) | {"images": digest({"images": images})}

    def compute() -> Cell:
        tokens = found.assign(_latents_of_val(published, study.autoencoder, crops))
        return [], {"tokens": tokens.reshape(-1, tokens.shape[-1])}

    folder = _folder(study.autoencoder, study.rate, system, seed)
    return published.cell(f"{folder}/val-{crops.side}", made_from, compute)[1]["tokens"]


@functools.lru_cache(maxsize=1)
def _latents_of_val(published: Published, autoencoder: str, crops: Crops) -> Float[np.ndarray, "n h w d"]:
    images = np.concatenate(images_of(published, "bsds500/val", crops))
    return encode_images(published.vae(autoencoder)[0], images)


def _folder(autoencoder: str, rate: Rate, system: System, seed: int) -> str:
    return f"{autoencoder}-{rate.name}-{seed}/{system.codes}-{system.assign}"


def made_from_of(found: Coder, assign: str) -> dict:
    """What the scores of a coder depend on, beside the images."""
    codes, metrics = found.tokenizer.codebook.codes, found.tokenizer.codebook.position_metrics
    return {
        "assign": [assign, describe_assigner(found.tokenizer.assigner), CONSTANTS],
        "codebook": digest({"codes": codes, "metrics": metrics}),
    }


def each_image(
    published: Published,
    folder: str,
    made_from: dict,
    compute: Callable[[np.ndarray], Scores],
    images: Sequence[np.ndarray],
) -> list[Scores]:
    """What is computed of every image (1, H, W, 3), each kept in a file."""

    def cell(i: int) -> Cell:
        image = check_images(images[i])
        made = made_from | {"image": digest({"image": image})}
        return published.cell(f"{folder}/{i:03}", made, lambda: ([], compute(image)))

    return [cell(i)[1] for i in range(len(images))]


def collect(each: Sequence[Scores]) -> Scores:
    """The scores of all images, and the tokens of all, (n, S)."""
    found = {name: np.concatenate([one[name] for one in each]) for name in each[0] if name != "tokens"}
    if "tokens" in each[0]:
        found["tokens"] = np.concatenate([one["tokens"].reshape(-1, one["tokens"].shape[-1]) for one in each])
    return found
