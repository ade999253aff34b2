r"""Trains decoder and codes on frozen tokens, assigns tokens again, and so on while validation improves; the encoder stays.

On scikit-learn's digits, after train.codebook, seconds on two CPU cores:

    python -m train.finetune --run runs/demo

On FashionMNIST, five minutes; and with a second round on the better tokens of joint assignment, ten:

    python -m train.finetune --run runs/quick --data-dir DIR
    python -m train.finetune --run runs/quick --data-dir DIR --finetune.assigners whitened joint --finetune.probes 96 \
        --finetune.max-images 8000

With --tokens-of, it trains on a Transformer's tokens of all images, however they were assigned; the same decoder then shows the
Transformer's samples better:

    python -m train.finetune --run runs/quick --data-dir DIR --tokens-of runs/quick --finetune.codebook kmeans

With --finetune.lpips-weight 20, LPIPS is lowered along with the squared error: sharper textures at a little less PSNR (weights
are compared in docs/transformer.md).

A tokenizer of a published autoencoder is fine-tuned on photographs, some hours for 2,000 crops on two CPU cores:

    python -m train.finetune --tokenizer photos.npz --autoencoder DIR/taesd --images PHOTOGRAPHS --run runs/photographs

The study's runs need RUN/vae and RUN/codebook, or, for --finetune.codebook vqvae, RUN/baseline, whose decoder and codes it goes
on with; a run folder holds one fine-tuning. Writes RUN/finetune/tokenizer.npz, which holds the decoder's parameters with the
codes, and a folder for each round. `train.stages.tokenizers.load_finetuned` reads it, with any assignment but geodesic; of a
published autoencoder, `Tokenizer.load(file, vae.encode, vae.decode)`. Run it again to go on after an interruption.
"""

import dataclasses
import pathlib
import sys

from geovq.validation import InputError
from train.config.options import STUDY
from train.config.ranges import Count
from train.run.command_line import DEFAULT_PRESET, parse, run_program
from train.run.folder import stored_run


@dataclasses.dataclass(frozen=True)
class Others:
    """What it starts from, if not from the run's own stages."""

    tokens_of: pathlib.Path | None = None
    """Run folder with a Transformer over tokens of this codebook: it trains on them, and assigns none."""
    tokenizer: pathlib.Path | None = None
    """File of a tokenizer of a published autoencoder; with --autoencoder and --images."""
    autoencoder: str | None = None
    """Its weights: a folder of diffusers, or the author's files without their ending, such as DIR/taesd."""
    images: pathlib.Path | None = None
    """Folder of photographs; one of twenty is held out to say when to stop."""
    crop: Count = 128
    """Pixels of a side of the crops that are trained on; a multiple of the autoencoder's stride."""
    crops: Count = 2000
    """Crops that are trained on."""


def main() -> None:
    """Runs the program."""
    given = any(argument.partition("=")[0] == "--tokenizer" for argument in sys.argv)
    preset = "photographs" if given else DEFAULT_PRESET
    run, others = parse(__doc__, ("data", "finetune"), Others(), presets=(*STUDY, "photographs"), preset=preset)
    tokenizer, autoencoder, images = others.tokenizer, others.autoencoder, others.images
    if tokenizer is not None and autoencoder is not None and images is not None and others.tokens_of is None:
        from train.stages import photographs

        photographs.run(run, photographs.Sources(tokenizer, autoencoder, images, others.crop, others.crops))
        return
    if (tokenizer, autoencoder, images) != (None, None, None):
        raise InputError(
            "photographs: expected --tokenizer, --autoencoder and --images together, and no --tokens-of, found others; give "
            "these three."
        )
    tokens_of = None if others.tokens_of is None else stored_run(others.tokens_of)

    from train.stages import finetune

    finetune.run(run, tokens_of)


if __name__ == "__main__":
    run_program(main)
