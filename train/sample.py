"""Samples images from the Transformer, by class, as a PNG grid.

    python -m train.sample --run runs/demo
    python -m train.sample --run runs/quick --label Sneaker --sample.per-class 40 --sample.guidance 2 --out sneakers.png
    python -m train.sample --run runs/quick --keep 8
    python -m train.sample --run runs/quick --sample.decoder finetuned        after train.finetune on the Transformer's tokens

Needs RUN/gpt and the stages that it needed. The same seed gives the same images. Every row is a class. With --keep the first
tokens are those of a test image of the class, whose reconstruction stands first in its row.
"""

import dataclasses
import math
import pathlib

from geovq.validation import InputError
from train.config.options import Config, token_sections, tokenizer_stages
from train.run.command_line import parse, run_program
from train.run.folder import Run
from train.run.stage_record import Stage


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked of this program alone."""

    label: str | None = None
    """Name of one class, such as Sneaker; all classes if not given."""
    out: pathlib.Path | None = None
    """PNG to write; RUN/samples/LABEL.png if not given."""
    keep: int = 0
    """Keep so many tokens of a test image and sample the rest."""


def needs(config: Config) -> tuple[str, ...]:
    """Stages that have to be complete."""
    tuned = ("finetune",) if config.sample.decoder == "finetuned" else ()
    return tuple(dict.fromkeys((*tokenizer_stages(config), *tuned, "gpt")))


def run(run: Run) -> None:
    """The pipeline's stage: samples of every class as RUN/samples.png, unless that is done."""
    from geovq.storage import save_arrays
    from train.evaluation import presentation
    from train.evaluation.report import save_grid

    inputs = {name: run.fingerprint(name) for name in needs(run.config)}
    stage = run.begin("sample", (*token_sections(run.config), "gpt", "sample"), inputs)
    if stage is None:
        return
    tokens, rows = draw(run)
    save_arrays(stage.folder / "tokens.npz", {"tokens": tokens}, dataclasses.asdict(run.config.sample))
    print(f"sample: {len(tokens):,} images -> {save_grid(run.folder / 'samples.png', rows)}", flush=True)
    stage.finish("sample/tokens.npz", "samples.png")
    if (run.folder / "results.json").exists():
        presentation.save_report(run)


def draw(run: Run, label: str | None = None, keep: int = 0):
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
    import jax
    import numpy as np

    from geovq.models.sampling import rising, sample
    from train.loop.progress import Progress
    from train.stages import image_tokens, networks, tokenizers
    from train.stages import inputs as stages

    options, conditional = run.config.sample, run.config.gpt.conditional
    names, length = stages.class_names(run), math.prod(run.config.vae.grid)
    chosen = range(len(names)) if label is None else [stages.class_number(label, names)]
    if label is not None and not conditional:
        raise InputError(f"label: expected none, for {run.folder} was trained without classes, found {label!r}.")
    if not 0 <= keep <= length:
        raise InputError(f"keep: expected 0..{length}, the tokens of an image, found {keep}; change --keep.")
    model = networks.trained_gpt(run)
    tuned = options.decoder == "finetuned"
    if tuned:
        _check_tuned(run)
    # Decoding is the same for all assignments.
    tokenizer = tokenizers.load_finetuned(run.folder) if tuned else tokenizers.modelled(run, "euclidean")
    labels = np.repeat(np.array(chosen, np.int32), options.per_class)
    prefix = None
    if keep:
        stored = image_tokens.load(run)
        if missing := [names[number] for number in chosen if number not in stored["test_labels"]]:
            raise InputError(
                f"keep: expected a test image of every class, found none of {missing[0]} that has tokens; sample another --label."
            )
        firsts = stored["test"][[np.flatnonzero(stored["test_labels"] == number)[0] for number in chosen]]
        prefix = np.repeat(firsts[:, :keep], options.per_class, axis=0)
    with Progress("sample", len(labels), "images") as progress:
        tokens = sample(
            model,
            jax.random.key(options.seed),
            len(labels),
            labels if conditional else None,
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            guidance=rising(options.guidance, length) if options.guidance_rises else options.guidance,
            prefix=prefix,
            progress=progress,
        )
    if keep:
        tokens[:: options.per_class] = firsts
    grids = tokens.reshape(-1, *run.config.vae.grid)
    images = tokenizer.decode(grids)
    by_class = images.reshape(len(chosen), options.per_class, *images.shape[1:])
    titles = [names[i] for i in chosen] if conditional or keep else [f"sample {i + 1}" for i in range(len(chosen))]
    return grids, dict(zip(titles, by_class, strict=True))


def _check_tuned(run: Run) -> None:
    """Refuses a decoder that was fine-tuned for codes that are there no more."""
    run.outputs("finetune")  # refuses a decoder that is not complete
    made_from = Stage(run.folder, "finetune").record["inputs"]
    for name in tokenizer_stages(run.config):
        if name in made_from and made_from[name] != run.fingerprint(name):
            raise InputError(
                f"{run.folder / 'finetune'}: expected a decoder that was fine-tuned for the present {name}, found one for "
                f"another; move {run.folder / 'finetune'} away and run train.finetune again, or sample with --sample.decoder own."
            )


def main() -> None:
    """Runs the program: options may differ from the pipeline's, whose samples stay."""
    from train.evaluation.report import save_grid

    run, request = parse(__doc__, ("data", "sample"), Request(), needs=needs, bound=False)
    name = (request.label or "all").lower().replace("/", "-").replace(" ", "-")
    out = request.out or run.folder / "samples" / f"{name}.png"
    _, rows = draw(run, request.label, request.keep)
    print(f"sample: {sum(map(len, rows.values())):,} images -> {save_grid(out, rows)}", flush=True)


if __name__ == "__main__":
    run_program(main)
