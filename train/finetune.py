r"""Trains decoder and codes on frozen tokens, assigns tokens again, and so on while validation improves; the encoder stays.

On scikit-learn's digits, after train.codebook, seconds on two CPU cores:

    python -m train.finetune --run runs/demo

On FashionMNIST, five minutes; and with a second round on the better tokens of joint assignment, ten:

    python -m train.finetune --run runs/quick --data-dir DIR
    python -m train.finetune --run runs/quick --data-dir DIR --finetune.assigns whitened joint --finetune.probes 96 \
        --finetune.images 8000

With --tokens-of, on the tokens of a Transformer, of all images, whatever it took to assign them; the same decoder then shows the
Transformer's samples better:

    python -m train.finetune --run runs/quick --data-dir DIR --tokens-of runs/quick --finetune.codebook kmeans

With --finetune.perceptual 20, LPIPS is lowered along with the squared error: sharper textures at a little less PSNR (prices are
compared in docs/transformer.md).

Needs RUN/vae and RUN/codebook, or, for --finetune.codebook vqvae, RUN/baseline, whose decoder and codes it goes on with; a run
folder holds one fine-tuning. Writes RUN/finetune/tokenizer.npz, which holds the decoder's parameters with the codes, and a
folder for each round. `train.stages.tokenizers.load_finetuned` reads it, with any assignment but geodesic. Run it again to go on
after an interruption.
"""

import dataclasses
import pathlib

from train.run.command_line import parse, run_program
from train.run.folder import Run, stored_run


@dataclasses.dataclass(frozen=True)
class Others:
    """Other run folders."""

    tokens_of: pathlib.Path | None = None
    """Run folder with a Transformer over tokens of this codebook: its tokens are trained on, and none are assigned."""


def run(run: Run, tokens_of: Run | None = None) -> None:
    """Fine-tunes the run's decoder and codes, unless that is done.

    Args:
        run: With the complete stages that make its tokenizer.
        tokens_of: With a trained Transformer over tokens of this tokenizer, which are trained on in all rounds.

    Raises:
        InputError: A stage is not complete, or the other run's tokens are not of this tokenizer.
    """
    import jax
    import numpy as np

    from geovq.batching.chunks import map_chunks
    from geovq.decoder.autoencoder import BATCH
    from geovq.scores.reconstruction import psnr
    from geovq.validation import InputError, check_images
    from train.loop import steps
    from train.run.stage_record import Stage
    from train.stages import image_tokens, tokenizers
    from train.stages import inputs as stages
    from train.stages.rounds import assigned, image_costs, of_round, trained_round

    options = run.config.finetune
    needs = ("baseline",) if options.codebook == "vqvae" else ("vae", "codebook")
    sections = ("data", "vae", needs[-1], "finetune")
    run.check_options(sections)  # all that can be refused is, before images are read
    made_from = {name: run.fingerprint(name) for name in needs}
    data = stages.images(run.config.data)
    train_images = data.dataset.train_images
    steps.Schedule.of(min(options.images or len(train_images), len(train_images)), options)  # refuses too large batches
    inputs = {"data": data.sha256, **made_from}
    given, began = None, Stage(run.folder, "finetune")
    if tokens_of is None and not began.empty and "tokens" in began.record.get("inputs", {}):
        raise InputError(
            f"{began.folder}: expected --tokens-of RUN, on whose tokens it was begun, found none; give the same again, or move "
            f"{began.folder} away to make it anew."
        )
    if tokens_of is not None:
        codebook = "baseline" if options.codebook == "vqvae" else options.codebook
        given = image_tokens.given(tokens_of, run, inputs, codebook)
        inputs["tokens"] = tokens_of.outputs("gpt")["gpt/tokens.npz"]
    stage = run.begin("finetune", sections, inputs)
    if stage is None:
        return
    probes, assigns = options.probes or None, options.assigns
    vae, tokenizer = tokenizers.untuned(run, train_images)
    tokenizer = tokenizer.replace(assign=assigns[-1], probes=probes)
    val_images = data.dataset.val_images[: options.val_images]

    score = jax.jit(lambda images, decoded: image_costs(options, images, decoded))

    def validated(number: int) -> float:
        """What the validation images cost, with tokens of this tokenizer."""
        if given is None:
            label = f"finetune: validation tokens ({assigns[-1]}) after round {number}"
            tokens = assigned(tokenizer, val_images, stage, f"after-{number}", label)
        else:
            tokens = given["val"][: len(val_images)]
        images, decoded = check_images(val_images), tokenizer.decode(tokens)
        found = jax.tree.map(np.mean, map_chunks(score, images, decoded, chunk=BATCH))
        means = f"{psnr(images, decoded).mean():.3f} dB" + (f", LPIPS {found['lpips']:.4f}" if "lpips" in found else "")
        print(f"finetune: {means} on {len(images):,} validation images after round {number}", flush=True)
        return float(found["cost"])

    best, best_tokenizer, kept = validated(0), tokenizer, 0
    for number in range(1, options.rounds + 1):
        started = tokenizer.replace(assign=of_round(assigns, number), probes=probes)
        vae, tokenizer = trained_round(options, data.dataset, vae, started, stage, number, given)
        tokenizer = tokenizer.replace(assign=assigns[-1], probes=probes)
        cost = validated(number)
        if cost >= best:
            break
        best, best_tokenizer, kept = cost, tokenizer, number
    best_tokenizer.save(stage.folder / "tokenizer.npz", decoder=True)
    stage.finish("finetune/tokenizer.npz")
    print(f"finetune: kept round {kept} -> {stage.folder / 'tokenizer.npz'}", flush=True)


def main() -> None:
    """Runs the program."""
    asked, others = parse(__doc__, ("data", "finetune"), Others())
    run(asked, None if others.tokens_of is None else stored_run(others.tokens_of))


if __name__ == "__main__":
    run_program(main)
