"""What the generation study measures: of real images, of tokens, and of a Transformer's samples."""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import gaussian_filter

from benchmarks.common.rows import PLAIN, Row, mean_row, row, weight_name
from geovq.batching.plan import DEFAULT_PLAN
from geovq.cli.progress import Progress
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import decode_latents, encode_images
from geovq.geometry.placed_codes import lengths_to_codes, place_codes
from geovq.metric.batched import token_metrics
from geovq.models.sampling import rising_guidance, sample
from geovq.models.spatial_vae import callables
from geovq.scores import reconstruction as scores
from geovq.scores import tokens as token_scores
from geovq.scores.sets import nearest_training
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import check_images
from train.evaluation.judge import Judge, Judged, confusion, diversity, set_rows
from train.evaluation.scoring import frequency_nats, nats
from train.run.folder import Run
from train.stages import image_tokens, inputs, networks

GUIDANCE = ((1.0, False), (1.5, False), (2.0, False), (2.0, True))
"""Weights of classifier-free guidance, and whether they rise from 1 at the first token."""

SHOWN = 10
"""Images of each class in pictures, at most."""

UNPAIRED = 2000
"""The first test images: samples are compared with them image by image, and errors of their tokens are measured."""

BLUR = 2.0
"""Standard deviation of the blur in pixels."""


class Validation(NamedTuple):
    """Validation images, the best set that there is. No network was trained on them, but best epochs are chosen by them."""

    images: Float[np.ndarray, "n H W C"]
    labels: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, run: Run, count: int) -> "Validation":
        """The first validation images."""
        dataset = inputs.images(run.config.data).dataset
        return cls(check_images(dataset.val_images[:count]), dataset.val_labels[:count])


def controls(run: Run, judge: Judge, validation: Validation) -> list[Row]:
    """The ends of every scale: real images, the classifier's training images, and, unpaired, blurred images."""
    dataset, count = inputs.images(run.config.data).dataset, len(validation.images)
    trained = check_images(dataset.train_images[:count])
    fields: Row = {"case": "bracket", "system": "real"}
    seen = judge.look(validation.images)
    rows = set_rows(fields, judge, seen, validation.labels)
    rows.append(diversity(fields, validation.images, validation.labels))
    rows += confusion(fields, judge, seen, validation.labels)
    rows += set_rows(fields | {"system": "real, trained on"}, judge, judge.look(trained), dataset.train_labels[:count])
    blurred = gaussian_filter(validation.images, (0, BLUR, BLUR, 0))
    mean = np.broadcast_to(trained.mean(axis=0), validation.images.shape)
    for system, images in {"real": validation.images, "real, blurred": blurred, "mean image": mean}.items():
        rows += unpaired({"system": system}, images, run)
    return rows


def of_vae(run: Run, judge: Judge, validation: Validation) -> list[Row]:
    """Scores of the VAE's own reconstructions as a set."""
    encode, decode = callables(networks.trained_vae(run, validation.images.shape[1:]))
    decoded = decode_latents(decode, encode_images(encode, validation.images))
    fields: Row = {"case": "bracket", "system": "vae"}
    return [
        *set_rows(fields, judge, judge.look(decoded), validation.labels),
        diversity(fields, decoded, validation.labels),
    ]


def unpaired(fields: Row, images: Float[np.ndarray, "n H W C"], run: Run) -> list[Row]:
    """The original study's protocol: images compared with unrelated test images. It rewards blur, as `controls` show."""
    others = check_images(inputs.images(run.config.data).dataset.test_images[: min(UNPAIRED, len(images))])
    fields = fields | {"case": "unpaired"}
    return _paired(fields, others, images[: len(others)])


def likelihood(run: Run, part: Literal["val", "test"] = "test") -> list[Row]:
    """Nats of a token of a part of the images, of all and by position, beside the nats of models of frequencies."""
    tokens = image_tokens.load(run)
    found = nats(run, tokens, part)
    case: Row = {"case": "likelihood"}
    rows = [mean_row(case | {"model": "Transformer"}, "nats_per_token", found.mean(axis=1))]
    rows += [
        row(case | {"model": model}, "nats_per_token", value, n=len(found))
        for model, value in frequency_nats(run, tokens, part).items()
    ]
    return rows + [
        mean_row(case | {"model": "Transformer", "position": position}, "nats_per_token", values)
        for position, values in enumerate(found.T)
    ]


def reconstructions(run: Run, tokenizer: Tokenizer, judge: Judge, validation: Validation) -> list[Row]:
    """Scores of test images compared with their own reconstructions, and of reconstructed validation images as a set."""
    tokens, dataset = image_tokens.load(run), inputs.images(run.config.data).dataset
    case: Row = {"case": "reconstructions"}
    shape = (-1, *tokenizer.token_shape)
    rows = _paired(case, check_images(dataset.test_images), tokenizer.decode(tokens["test"].reshape(shape)))
    count = len(validation.images)
    found = judge.look(tokenizer.decode(tokens["val"][:count].reshape(shape)))
    return rows + set_rows(case, judge, found, tokens["val_labels"][:count])


def _paired(case: Row, images: np.ndarray, decoded: np.ndarray) -> list[Row]:
    measures = {"psnr": scores.psnr, "ssim": scores.ssim, "lpips": scores.lpips}
    return [mean_row(case, name, score(images, decoded)) for name, score in measures.items()]


def errors(run: Run, tokenizer: Tokenizer) -> list[Row]:
    """The error of a token's code in three measures, for codebooks of a frozen VAE, and the original study's square of one."""
    images = check_images(inputs.images(run.config.data).dataset.test_images[:UNPAIRED])
    tokens = image_tokens.load(run)["test"][: len(images)].reshape(-1, *tokenizer.token_shape)
    encode, decode = callables(networks.trained_vae(run, images.shape[1:]))
    grids = encode_images(encode, images)
    d = grids.shape[-1]
    latents, metrics = grids.reshape(-1, d), token_metrics(single(decode), grids, plan=DEFAULT_PLAN).reshape(-1, d, d)
    placed = place_codes(inputs.load_geometry(run), tokenizer.codes)
    chosen = tokenizer.dequantize(tokens).reshape(-1, d)
    found = {
        "latent_error": token_scores.latent_errors(latents, chosen),
        "metric_error": token_scores.metric_errors(latents, chosen, metrics),
        "geodesic_error": lengths_to_codes(placed, latents, metrics, tokens.reshape(-1, 1))[:, 0],
    }
    found["squared_geodesic_error"] = found["geodesic_error"] ** 2
    case: Row = {"case": "errors"}
    return [mean_row(case, name, values.reshape(len(images), -1).mean(axis=1)) for name, values in found.items()]


class Samples(NamedTuple):
    """What is found of samples."""

    rows: list[Row]
    shown: Float[np.ndarray, "classes SHOWN H W C"]
    """Without guidance, of every class that was asked for, or, where none was, that the classifier sees."""
    nearest: Float[np.ndarray, "2 SHOWN H W C"]
    """The samples without guidance that are nearest to training images, and these training images."""


def draw_samples(run: Run, name: str, count: int, sets: int) -> dict[str, Int[np.ndarray, "n t"]]:
    """Tokens of new images, set after set, as many of each class, by the name of their guidance."""
    model, labels = networks.trained_gpt(run), _asked(run, count, sets)
    found: dict[str, np.ndarray] = {}
    for called, (weight, rises) in _guidance(run).items():
        with Progress(f"generation: {name}, samples, guidance {called}", len(labels), "images") as progress:
            found[called] = sample(
                model,
                jax.random.key(run.config.gpt.seed),
                len(labels),
                labels if run.config.gpt.conditional else None,
                guidance=rising_guidance(weight, model.config.length) if rises else weight,
                progress=progress,
            )
    return found


def samples(
    run: Run, tokens: Mapping[str, Int[np.ndarray, "n t"]], tokenizer: Tokenizer, judge: Judge, sets: int
) -> Samples:
    """Scores of sampled tokens, with and without guidance, decoded; and some of the images."""
    rows: list[Row] = []
    for called, (weight, rises) in _guidance(run).items():
        images = tokenizer.decode(tokens[called].reshape(-1, *tokenizer.token_shape))
        found, asked = judge.look(images), None
        if run.config.gpt.conditional:
            asked = _asked(run, len(images) // sets, sets)
        case: Row = {"case": "samples", "guidance": weight, "rises": rises}
        rows += set_rows(case, judge, found, asked, sets)
        labels = found.classes if asked is None else asked
        rows.append(diversity(case, images, labels))
        if weight == 1:
            rows += unpaired({}, images[np.random.default_rng(0).permutation(len(images))], run)
            rows += confusion(case, judge, found, asked) if asked is not None else []
            pictures = gallery(images, labels, judge.classes), _nearest(run, images, judge, found)
    return Samples(rows, *pictures)


def briefly(run: Run, tokenizer: Tokenizer, judge: Judge, count: int, sets: int) -> Iterator[Row]:
    """Nats of test tokens, PSNR of test images, and scores of samples as a set, without guidance; no LPIPS, no pictures.

    Args:
        run: With a trained Transformer.
        tokenizer: What decodes its tokens.
        judge: The classifier that sees the samples.
        count: Samples in a set.
        sets: How many sets; scores are means over them.
    """
    shape, images = (-1, *tokenizer.token_shape), check_images(inputs.images(run.config.data).dataset.test_images)
    decoded = tokenizer.decode(image_tokens.load(run)["test"].reshape(shape))
    yield mean_row({"case": "reconstructions"}, "psnr", scores.psnr(images, decoded))
    yield from (found for found in likelihood(run) if "position" not in found)
    yield row({"case": "training", "stage": "gpt"}, "seconds", run.seconds("gpt"))
    labels = _asked(run, count, sets)
    asked = labels if run.config.gpt.conditional else None
    drawn = sample(networks.trained_gpt(run), jax.random.key(run.config.gpt.seed), len(labels), asked)
    yield from set_rows(
        {"case": "samples", **PLAIN}, judge, judge.look(tokenizer.decode(drawn.reshape(shape))), asked, sets
    )


def gallery(
    images: Float[np.ndarray, "n H W C"], labels: Int[np.ndarray, " n"], classes: int
) -> Float[np.ndarray, "classes SHOWN H W C"]:
    """The first images of each class, black where there are too few."""
    shown = np.zeros((classes, SHOWN, *images.shape[1:]), np.float32)
    for label in range(classes):
        some = images[labels == label][:SHOWN]
        shown[label, : len(some)] = some
    return shown


def _guidance(run: Run) -> dict[str, tuple[float, bool]]:
    """By name; a Transformer without classes has none."""
    weights = GUIDANCE if run.config.gpt.conditional else GUIDANCE[:1]
    return {weight_name(*weight): weight for weight in weights}


def _asked(run: Run, count: int, sets: int) -> Int[np.ndarray, " n"]:
    """As many images of each class in each set."""
    classes = len(inputs.class_names(run))
    return np.tile(np.repeat(np.arange(classes, dtype=np.int32), -(-count // classes)), sets)


def _nearest(run: Run, images: Float[np.ndarray, "n H W C"], judge: Judge, found: Judged) -> np.ndarray:
    """The images that are nearest to training images, nearest first, and these training images."""
    distances, indices = nearest_training(judge.train.features, found.features)
    first = np.argsort(distances, kind="stable")[:SHOWN]
    return np.stack([images[first], check_images(inputs.images(run.config.data).dataset.train_images[indices[first]])])
