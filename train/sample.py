"""Samples images from the Transformer, by class, as a PNG grid.

    python -m train.sample --run runs/demo
    python -m train.sample --run runs/quick --label Sneaker --sample.per-class 40 --sample.guidance 2 --out sneakers.png
    python -m train.sample --run runs/quick --keep 8
    python -m train.sample --run runs/quick --sample.decoder finetuned        after train.finetune on the Transformer's tokens

Needs RUN/gpt and the stages that it needed. The same seed gives the same images. Every row is a class. With --keep the first
tokens are those of a test image of the class, whose reconstruction stands first in its row.
"""

import dataclasses
import pathlib

from train.config.options import needed_for_samples
from train.run.command_line import parse, run_program


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked of this program alone."""

    label: str | None = None
    """Name of one class, such as Sneaker; all classes if not given."""
    out: pathlib.Path | None = None
    """PNG to write; RUN/samples/LABEL.png if not given."""
    keep: int = 0
    """Keep so many tokens of a test image and sample the rest."""


def main() -> None:
    """Runs the program: options may differ from the pipeline's, whose samples stay."""
    run, request = parse(__doc__, ("data", "sample"), Request(), needs=needed_for_samples, bound=False)

    from train.evaluation.report import save_grid
    from train.stages.sampling import draw

    name = (request.label or "all").lower().replace("/", "-").replace(" ", "-")
    out = request.out or run.folder / "samples" / f"{name}.png"
    _, rows = draw(run, request.label, request.keep)
    print(f"sample: {sum(map(len, rows.values())):,} images -> {save_grid(out, rows)}", flush=True)


if __name__ == "__main__":
    run_program(main)
