"""Makes the page of a run once more, with what its tokens do to some test images.

    python -m train.report --run runs/demo
    python -m train.report --run runs/quick --data-dir DIR --codebook metric --assigner joint --max-images 8

Needs what train.evaluate needs, and its results. Writes RUN/report.html: sliders, maps of errors, rates, codes, tokens, an
explorer and the latents for one codebook and assigner; pictures, learning curves, samples and all scores of the run. Takes a
minute.
"""

import dataclasses
import time

from train.run.command_line import parse, run_program
from train.run.folder import Run

_CLOUD = 64
"""Test images whose latents are in the cloud, besides those that are shown."""

_MOST_SHOWN = 100
"""Test images of a page, which stays small enough to be sent."""


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked of this program alone."""

    codebook: str | None = None
    """One of the run's codebooks; the Transformer's if not given."""
    assigner: str = "joint"
    """How its tokens are chosen."""
    max_images: int = 6
    """Test images that are shown."""


def write(run: Run, request: Request) -> None:
    """Writes the page, and says how long it took.

    Raises:
        InputError: No results, no such codebook or assigner, no images or too many, or a file that cannot be written.
    """
    from geovq.assignment.nearest import Nearest
    from geovq.assignment.whitened import Whitened
    from geovq.batching.plan import DEFAULT_PLAN
    from geovq.cli.findings.systems import Shown
    from geovq.cli.page.pictures import as_bytes
    from geovq.cli.page.render import render
    from geovq.cli.progress import as_time
    from geovq.cli.report import make_page
    from geovq.storage.files import write_bytes
    from geovq.validation import check_whole
    from train.evaluation.guided import draw_guided, samples_section
    from train.evaluation.page import combine_pages, origin, page_of
    from train.stages import inputs, tokenizers

    began = time.monotonic()
    check_whole("max_images", request.max_images, 1, _MOST_SHOWN)
    told = page_of(run)
    data = inputs.images(run.config.data)
    tokenizer = tokenizers.of_codebook(run, request.codebook or run.config.gpt.codebook, request.assigner)
    images = data.dataset.test_images[: request.max_images]
    shown = [Shown(f"test image {i}", as_bytes(image)) for i, image in enumerate(images)]
    more = [as_bytes(image) for image in data.dataset.test_images[request.max_images :][:_CLOUD]]
    own = type(tokenizer.assigner)
    compared = {kind.__name__: kind() for kind in (Nearest, Whitened) if kind is not own}
    found = make_page(tokenizer, shown, compared, DEFAULT_PLAN, more)
    page = combine_pages(told, found, samples_section(draw_guided(run, data.dataset)), origin(run))
    content = render(page).encode()
    write_bytes(run.folder / "report.html", content)
    took = as_time(time.monotonic() - began)
    print(f"wrote {run.folder}/report.html, {len(content) / 1e6:.1f} MB, {len(shown)} images, in {took}", flush=True)


def main() -> None:
    """Runs the program."""
    run, request = parse(__doc__, ("data",), Request(), needs=("vae", "codebook", "gpt", "evaluate"), bound=False)
    write(run, request)


if __name__ == "__main__":
    run_program(main)
