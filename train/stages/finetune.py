"""The stage that trains decoder and codes on frozen tokens, assigns tokens again, and so on while validation improves."""

from collections.abc import Mapping

import jax
import numpy as np

from geovq.batching.chunks import map_chunks
from geovq.decoder.autoencoder import BATCH
from geovq.scores.reconstruction import psnr
from geovq.tokenizer.file import Source
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError, check_images
from train.config.assigners import make_assigner
from train.config.options import FinetuneOptions
from train.loop.schedule import Schedule
from train.run.folder import Run
from train.run.stage_record import Stage
from train.stages import image_tokens, inputs, tokenizers
from train.stages.rounds import Grids, Parts, assign_images, image_costs, train_round, value_of_round


def run(run: Run, tokens_of: Run | None = None) -> None:
    """Fine-tunes the run's decoder and codes, unless that is done.

    Args:
        run: With the complete stages that make its tokenizer.
        tokens_of: Another run with a trained Transformer over tokens of this tokenizer: all rounds train on them.

    Raises:
        InputError: A stage is not complete, or the other run's tokens are not of this tokenizer.
    """
    options = run.config.finetune
    needs = ("baseline",) if options.codebook == "vqvae" else ("vae", "codebook")
    sections = ("data", "vae", needs[-1], "finetune")
    run.check_options(sections)  # all that can be refused is, before images are read
    stages = {name: run.fingerprint(name) for name in needs}
    data = inputs.images(run.config.data)
    train_images = data.dataset.train_images
    Schedule.of(min(options.max_images or len(train_images), len(train_images)), options)  # refuses too large batches
    made_from = {"data": data.sha256, **stages}
    given, before = None, Stage(run.folder, "finetune")
    if tokens_of is None and not before.empty and "tokens" in before.record.get("inputs", {}):
        raise InputError(
            f"{before.folder}: expected --tokens-of RUN, on whose tokens it was begun, found none; give the same again, or move "
            f"{before.folder} away to make it anew."
        )
    if tokens_of is not None:
        codebook = "baseline" if options.codebook == "vqvae" else options.codebook
        given = image_tokens.read_grids(tokens_of, run, made_from, codebook)
        made_from["tokens"] = tokens_of.outputs("gpt")["gpt/tokens.npz"]
    stage = run.begin("finetune", sections, made_from)
    if stage is None:
        return
    parts = Parts(train_images, data.dataset.val_images)
    fine_tune(options, tokenizers.before_finetuning(run, train_images), parts, stage, given)


def fine_tune(
    options: FinetuneOptions,
    tokenizer: Tokenizer,
    images: Parts,
    stage: Stage,
    given: Mapping[str, Grids] | None = None,
    autoencoder: Source | None = None,
) -> None:
    """Rounds of training; the best tokenizer becomes tokenizer.npz in the stage's folder, and the stage is complete.

    Args:
        options: How.
        tokenizer: Whose decoder and codes are trained.
        images: The images.
        stage: At work.
        given: Tokens of all "train" and "val" images, on which all rounds train.
        autoencoder: Which the file is to name, so that the command `geovq` finds it.
    """
    assigners = [make_assigner(name, options.probes) for name in options.assigners]
    tokenizer = tokenizer.replace(assigner=assigners[-1])
    validation = _Validation(options, images.val, stage, None if given is None else given["val"])
    best, best_tokenizer, kept = validation.cost(tokenizer, 0), tokenizer, 0
    for number in range(1, options.rounds + 1):
        starting = tokenizer.replace(assigner=value_of_round(assigners, number))
        tokenizer = train_round(options, images, starting, stage, number, given).replace(assigner=assigners[-1])
        cost = validation.cost(tokenizer, number)
        if cost >= best:
            break
        best, best_tokenizer, kept = cost, tokenizer, number
    best_tokenizer.save(stage.folder / "tokenizer.npz", decoder=True, autoencoder=autoencoder)
    stage.finish("finetune/tokenizer.npz")
    print(f"finetune: kept round {kept} -> {stage.folder / 'tokenizer.npz'}", flush=True)


class _Validation:
    """The validation images, and what they cost after a round."""

    def __init__(self, options: FinetuneOptions, images: np.ndarray, stage: Stage, given: Grids | None) -> None:
        self._images = images[: options.max_val_images]
        self._name, self._stage, self._given = options.assigners[-1], stage, given
        self._scores = jax.jit(lambda images, decoded: image_costs(options, images, decoded))

    def cost(self, tokenizer: Tokenizer, number: int) -> float:
        """Mean cost of the images with tokens of this tokenizer, or with the given tokens."""
        if self._given is None:
            label = f"finetune: validation tokens ({self._name}) after round {number}"
            tokens = assign_images(tokenizer, self._images, self._stage, f"after-{number}", label)
        else:
            tokens = self._given[: len(self._images)]
        images, decoded = check_images(self._images), tokenizer.decode(tokens)
        found = jax.tree.map(np.mean, map_chunks(self._scores, images, decoded, chunk=BATCH))
        means = f"{psnr(images, decoded).mean():.3f} dB" + (f", LPIPS {found['lpips']:.4f}" if "lpips" in found else "")
        print(f"finetune: {means} on {len(images):,} validation images after round {number}", flush=True)
        return float(found["cost"])
