"""Samples images from the Transformer, by class, as a PNG grid.

    python -m train.sample --run runs/demo
    python -m train.sample --run runs/quick --label Sneaker --sample.per-class 40 --sample.temperature 0.9 --out sneakers.png

Needs RUN/vae, RUN/codebook and RUN/gpt. The same seed gives the same images. Every row is a class.
"""

import dataclasses
import pathlib

from train.cli import parse, run_program
from train.run import Run


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked of this program alone."""

    label: str | None = None
    """Name of one class, such as Sneaker; all classes if not given."""
    out: pathlib.Path | None = None
    """PNG to write; RUN/samples/LABEL.png if not given."""


def run(run: Run) -> None:
    """The pipeline's stage: samples of every class as RUN/samples.png, unless that is done."""
    from geovq.report import save_grid
    from geovq.store import save_arrays
    from train import presentation

    inputs = {name: run.fingerprint(name) for name in ("vae", "codebook", "gpt")}
    stage = run.begin("sample", ("data", "vae", "codebook", "gpt", "sample"), inputs)
    if stage is None:
        return
    tokens, rows = draw(run, None)
    save_arrays(stage.folder / "tokens.npz", {"tokens": tokens}, dataclasses.asdict(run.config.sample))
    print(f"sample: {len(tokens):,} images -> {save_grid(run.folder / 'samples.png', rows)}", flush=True)
    stage.finish("sample/tokens.npz", "samples.png")
    if (run.folder / "results.json").exists():
        presentation.save_report(run)


def draw(run: Run, label: str | None):
    """Samples of one class or of all.

    Returns:
        Tokens (n, h, w), and the images of each class by its name.

    Raises:
        InputError: An unknown class, a class asked of an unconditional model, or options out of range.
    """
    import jax
    import numpy as np

    from geovq.checks import InputError
    from geovq.sampling import sample
    from train import stages
    from train.progress import Progress

    options = run.config.sample
    names = stages.class_names(run)
    chosen = range(len(names)) if label is None else [stages.class_number(label, names)]
    if label is not None and not run.config.gpt.conditional:
        raise InputError(f"label: expected none, for {run.folder} was trained without classes, found {label!r}.")
    model = stages.trained_gpt(run)
    tokenizer = stages.tokenizer(run, run.config.gpt.codebook, "euclidean")  # decoding is the same for all assignments
    labels = np.repeat(np.array(chosen, np.int32), options.per_class)
    with Progress("sample", len(labels), "images") as progress:
        tokens = sample(
            model,
            jax.random.key(options.seed),
            len(labels),
            labels if run.config.gpt.conditional else None,
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            progress=progress,
        )
    grids = tokens.reshape(-1, *run.config.vae.grid)
    images = tokenizer.decode(grids)
    by_class = images.reshape(len(chosen), options.per_class, *images.shape[1:])
    titles = (
        [names[i] for i in chosen] if run.config.gpt.conditional else [f"sample {i + 1}" for i in range(len(chosen))]
    )
    return grids, dict(zip(titles, by_class, strict=True))


def main() -> None:
    """Runs the program: options may differ from the pipeline's, whose samples stay."""
    from geovq.report import save_grid

    run, request = parse(__doc__, ("data", "sample"), Request(), needs=("vae", "codebook", "gpt"), bound=False)
    name = (request.label or "all").lower().replace("/", "-").replace(" ", "-")
    out = request.out or run.folder / "samples" / f"{name}.png"
    _, rows = draw(run, request.label)
    print(f"sample: {sum(map(len, rows.values())):,} images -> {save_grid(out, rows)}", flush=True)


if __name__ == "__main__":
    run_program(main)
