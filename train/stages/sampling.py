"""Samples of a run's Transformer, decoded."""

import math

import jax
import numpy as np
from jaxtyping import Float, Int

from geovq.cli.progress import Progress
from geovq.models.sampling import rising_guidance, sample
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError
from train.config.options import tokenizer_stages
from train.run.folder import Run
from train.run.stage_record import Stage
from train.stages import image_tokens, inputs, networks, tokenizers


def draw(
    run: Run, label: str | None = None, keep: int = 0
) -> tuple[Int[np.ndarray, "n h w"], dict[str, Float[np.ndarray, "m H W C"]]]:
    """Samples of one class or of all.

    Args:
        run: With a trained Transformer.
        label: Name of the class; None for all.
        keep: Tokens of a test image of the class that are kept; its reconstruction is then the first.

    Returns:
        Tokens (n, h, w), and the images of each class by its name.

    Raises:
        InputError: An unknown class, a class asked of an unconditional model, or options out of range.
    """
    options, conditional = run.config.sample, run.config.gpt.conditional
    names, length = inputs.class_names(run), math.prod(run.config.vae.grid)
    chosen = range(len(names)) if label is None else [inputs.class_number(label, names)]
    if label is not None and not conditional:
        raise InputError(f"label: expected none, for {run.folder} was trained without classes, found {label!r}.")
    if not 0 <= keep <= length:
        raise InputError(f"keep: expected 0..{length}, the tokens of an image, found {keep}; change --keep.")
    model, tokenizer = networks.trained_gpt(run), _tokenizer(run)
    labels = np.repeat(np.array(chosen, np.int32), options.per_class)
    firsts = _first_test_tokens(run, [names[i] for i in chosen], chosen) if keep else None
    with Progress("sample", len(labels), "images") as progress:
        tokens = sample(
            model,
            jax.random.key(options.seed),
            len(labels),
            labels if conditional else None,
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            guidance=rising_guidance(options.guidance, length) if options.guidance_rises else options.guidance,
            prefix=None if firsts is None else np.repeat(firsts[:, :keep], options.per_class, axis=0),
            progress=progress,
        )
    if firsts is not None:
        tokens[:: options.per_class] = firsts
    grids = tokens.reshape(-1, *run.config.vae.grid)
    images = tokenizer.decode(grids)
    by_class = images.reshape(len(chosen), options.per_class, *images.shape[1:])
    titles = [names[i] for i in chosen] if conditional or keep else [f"sample {i + 1}" for i in range(len(chosen))]
    return grids, dict(zip(titles, by_class, strict=True))


def _tokenizer(run: Run) -> Tokenizer:
    """What decodes the samples: the tokenizer's own decoder, or the fine-tuned one.

    Raises:
        InputError: A decoder that was fine-tuned for codes that are there no more.
    """
    if run.config.sample.decoder == "own":
        return tokenizers.of_gpt(run, "euclidean")  # decoding is the same for all assigners
    run.outputs("finetune")  # refuses a decoder that is not complete
    made_from = Stage(run.folder, "finetune").record["inputs"]
    for name in tokenizer_stages(run.config):
        if name in made_from and made_from[name] != run.fingerprint(name):
            raise InputError(
                f"{run.folder / 'finetune'}: expected a decoder that was fine-tuned for the present {name}, found one for "
                f"another; move {run.folder / 'finetune'} away and run train.finetune again, or sample with --sample.decoder own."
            )
    return tokenizers.load_finetuned(run.folder)


def _first_test_tokens(run: Run, names: list[str], classes: range | list[int]) -> Int[np.ndarray, "c t"]:
    """Tokens of the first test image of each class."""
    stored = image_tokens.load(run)
    for name, number in zip(names, classes, strict=True):
        if number not in stored["test_labels"]:
            raise InputError(
                f"keep: expected a test image of every class, found none of {name} that has tokens; sample another --label."
            )
    return stored["test"][[np.flatnonzero(stored["test_labels"] == number)[0] for number in classes]]
