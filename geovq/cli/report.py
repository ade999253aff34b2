"""geovq report: one page that shows what a tokenizer does to images."""

import argparse
import math
import time
from collections.abc import Mapping, Sequence

import numpy as np

from geovq.assignment.base import Assigner
from geovq.batching.plan import Plan
from geovq.cli.findings import opening, rates, sections
from geovq.cli.findings.cloud import MOST_TOKENS, Cloud, make_cloud
from geovq.cli.findings.cloud_section import cloud_section
from geovq.cli.findings.codes import draw_codes
from geovq.cli.findings.explorer import explorer_section
from geovq.cli.findings.neighbours import Explored, explore, spread_tokens
from geovq.cli.findings.origin import origin_facts
from geovq.cli.findings.score_tables import score_table
from geovq.cli.findings.systems import (
    AUTOENCODER,
    OWN,
    Shown,
    System,
    bits_per_pixel,
    crop_images,
    reconstruct,
    scores_of,
)
from geovq.cli.interruption import same_command
from geovq.cli.loading import load, make_assigner, plan_of
from geovq.cli.page.content import Page, Section
from geovq.cli.page.render import check_packages, render
from geovq.cli.progress import Progress, as_time
from geovq.corpus.sources import open_images
from geovq.storage.files import check_writable, write_bytes
from geovq.tokenizer.file import Summary, describe_assigner
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import check_images

_EXPLORED = 3
"""Images whose tokens can be explored."""

_ROWS, _COLUMNS = 3, 3
"""Tokens of each that can be."""


def run(options: argparse.Namespace) -> None:
    """Writes the page, and says how long it took."""
    began = time.monotonic()
    check_packages()
    check_writable(options.out)
    shards = open_images(options.images)
    (tokenizer, summary), plan = load(options), plan_of(options)
    shown = crop_images(shards, tokenizer.sizes, options.crop, options.max_images, options.seed)
    compared = _compared(tokenizer, options.assigners)
    page = make_page(tokenizer, shown, compared, plan)
    title = f"{options.tokenizer.name} on images of {options.images.name}"
    origin = _origin(tokenizer, summary, shown, time.monotonic() - began)
    data = render(page._replace(title=title, sections=[*page.sections, origin])).encode()
    write_bytes(options.out, data)
    took = as_time(time.monotonic() - began)
    print(f"wrote {options.out}, {len(data) / 1e6:.1f} MB, {len(shown):,} images, in {took}")


def make_page(
    tokenizer: Tokenizer,
    shown: Sequence[Shown],
    compared: Mapping[str, Assigner],
    plan: Plan,
    more: Sequence[np.ndarray] = (),
) -> Page:
    """All that the page says of the tokenizer, in its order.

    Args:
        tokenizer: With its own assigner.
        shown: The images.
        compared: Other assigners by their names.
        plan: How much at once.
        more: Images that are not shown, whose tokens are in the cloud of latents.
    """
    images = [each.image for each in shown]
    with Progress("tokens", (len(compared) + 2) * len(images), "images") as progress:
        systems = reconstruct(tokenizer, images, compared, plan, progress)
    scores = {each.key: scores_of(images, each.images) for each in systems}
    bits = {each.key: bits_per_pixel(tokenizer, each) for each in systems}
    own, own_bits = systems[-1], bits[OWN]
    assert own_bits is not None  # it has tokens
    curves = _curves(tokenizer, images, compared, systems, own_bits, plan)
    return Page(
        "",
        opening.sentence(tokenizer, shown, scores, own_bits),
        opening.numbers(tokenizer, own, shown, scores, own_bits),
        [f"0/{each}" for each in (sections.ORIGINAL, AUTOENCODER, OWN)],
        [
            sections.wipes(shown, systems),
            sections.errors(shown, systems),
            sections.rate_section(images, curves, systems, scores, own_bits),
            sections.codebook_section(tokenizer, own, draw_codes(tokenizer, own.tokens, plan)),
            sections.tokens_section(tokenizer, shown, own),
            explorer_section(tokenizer, _explore(tokenizer, images, own, plan), shown),
            cloud_section(_cloud(tokenizer, [*images, *more], plan)),
            Section("scores", "All scores", "scores.html", {"tables": [score_table(tokenizer, systems, scores, bits)]}),
        ],
        sections.pictures_of(shown, systems, scores),
        opening.WORDS,
    )


def _compared(tokenizer: Tokenizer, names: Sequence[str]) -> dict[str, Assigner]:
    """Assigners beside the tokenizer's own, without its own."""
    made = [make_assigner(name, 0) for name in dict.fromkeys(names)]
    own = describe_assigner(tokenizer.assigner)
    return {type(each).__name__: each for each in made if describe_assigner(each) != own}


def _curves(
    tokenizer: Tokenizer,
    images: Sequence[np.ndarray],
    compared: Mapping[str, Assigner],
    systems: Sequence[System],
    bits: float,
    plan: Plan,
) -> dict[str, list[rates.Point]]:
    """By the name of what has tokens, and of WebP files."""
    found: dict[str, list[rates.Point]] = {}
    assigners = [*compared.values(), tokenizer.assigner]
    with Progress("tokens of fewer codes", None, "images") as progress:
        for system, assigner in zip(systems[1:], assigners, strict=True):
            fewer = rates.points_of_fewer_codes(tokenizer, assigner, images, plan, progress)
            found[system.name] = [*fewer, rates.Point(bits, system.images)]
    webp = rates.points_of_webp(images, bits)
    return found | ({rates.WEBP: webp} if webp else {})


def _explore(tokenizer: Tokenizer, images: Sequence[np.ndarray], own: System, plan: Plan) -> dict[int, list[Explored]]:
    """Tokens of the first images."""
    found, count = {}, min(_EXPLORED, len(images))
    with Progress("explore", count, "images") as progress:
        for i in range(count):
            grid, (image,) = own.tokens[i], check_images(images[i][None])
            found[i] = explore(
                tokenizer, image, own.images[i], grid, spread_tokens(grid.shape[:2], _ROWS, _COLUMNS), plan
            )
            progress(1)
    return found


def _cloud(tokenizer: Tokenizer, images: Sequence[np.ndarray], plan: Plan) -> Cloud:
    """Of some tokens of the images."""
    count = min(MOST_TOKENS, sum(math.prod(tokenizer.sizes.grid_of(image.shape[:2])) for image in images))
    with Progress("latents", count, "tokens") as progress:
        return make_cloud(tokenizer, images, plan, progress)


def _origin(tokenizer: Tokenizer, summary: Summary, shown: Sequence[Shown], seconds: float) -> Section:
    """How it came about, last."""
    source = summary.autoencoder
    facts = [
        ("Command", same_command()),
        ("Tokenizer", f"{describe_assigner(tokenizer.assigner)}, sha256 {summary.sha256[:16]}"),
        ("Autoencoder", "not named" if source is None else f"{source.path}, sha256 {source.sha256[:16]}"),
        ("Images", ", ".join(f"{name} ({image.shape[0]}x{image.shape[1]})" for name, image in shown)),
        *origin_facts(),
        ("Time", as_time(seconds)),
    ]
    return Section("origin", "How this page came about", "origin.html", {"facts": facts, "notes": ""})
