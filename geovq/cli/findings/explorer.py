"""The explorer: tokens that one can click, and the codes that they could have instead."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from geovq.cli.findings.neighbours import EUCLIDEAN, PULLBACK, Explored, Neighbour
from geovq.cli.findings.systems import OWN, Shown
from geovq.cli.page import charts
from geovq.cli.page.content import Section
from geovq.cli.page.pictures import picture, thumbnail
from geovq.tokenizer.tokenizer import Tokenizer

_QUALITY = 85


def explorer_section(
    tokenizer: Tokenizer, explored: Mapping[int, Sequence[Explored]], shown: Sequence[Shown]
) -> Section:
    """Tokens that one can click, with the codes that they could have instead."""
    images, data = [], []
    for i, tokens in explored.items():
        height, width = shown[i].image.shape[:2]
        images.append({"key": f"{i}/{OWN}", "tokens": [_button(each, tokenizer, height, width) for each in tokens]})
        grid, count = tokenizer.sizes.grid_of((height, width)), tokenizer.num_quantizers
        data.append({"tokens": [_choices(each, count, grid, (height, width)) for each in tokens]})
    said = (
        "Choose a token, then one of the codes that are nearest to its own: in latent space (Euclidean), or by what they do to "
        "the decoded image (pullback). The picture shows the image with that code. The number under a code says how much the "
        "image changes: the root of the summed squared differences of intensities in [0, 1]."
    )
    found = _all_neighbours(explored)
    truth = np.array([each.change for each in found])
    measures = {
        EUCLIDEAN: (np.array([each.euclidean for each in found]), "latent units"),
        PULLBACK: (np.array([each.pullback for each in found]), "intensity"),
    }
    drawn = [
        charts.prediction(name, distances, unit, truth, float(spearmanr(distances, truth).statistic))
        for name, (distances, unit) in measures.items()
    ]
    content: dict[str, Any] = {
        "said": said,
        "thumbs": [thumbnail(shown[i].image, shown[i].name, 96) for i in explored],
        "images": images,
        "data": data,
        "charts": drawn,
        "chart_title": "Which distance knows what the image will do?",
        "chart_said": f"Each of the {len(found):,} points is one of the codes above in the place of a token's own.",
    }
    return Section("explorer", "Explore: other codes for a token", "explorer.html", content)


def _all_neighbours(explored: Mapping[int, Sequence[Explored]]) -> list[Neighbour]:
    """Each other code of each token once."""
    found = []
    for tokens in explored.values():
        for token in tokens:
            found += list({(n.quantizer, n.code): n for group in token.nearest.values() for n in group}.values())
    return found


def _button(each: Explored, tokenizer: Tokenizer, height: int, width: int) -> dict[str, Any]:
    """Where a token is on its image, in percent: its middle and its size."""
    h, w = tokenizer.sizes.grid_of((height, width))
    name = f"code {each.codes[0]}" if len(each.codes) == 1 else f"codes {', '.join(map(str, each.codes))}"
    return {
        "row": each.row,
        "column": each.column,
        "name": name,
        "left": round(100 * (each.column + 0.5) / w, 3),
        "top": round(100 * (each.row + 0.5) / h, 3),
        "width": round(100 / w, 3),
        "height": round(100 / h, 3),
    }


def _choices(each: Explored, count: int, grid: tuple[int, int], size: tuple[int, int]) -> dict[str, Any]:
    """What the script reads of a token of an image (H, W) with a grid (h, w)."""
    (height, width), (top, left, tall, wide) = size, each.box
    percent = {"left": left / width, "top": top / height, "width": wide / width, "height": tall / height}
    groups = []
    for (quantizer, measure), found in each.nearest.items():
        which = f"Code {quantizer + 1} of {count}, " if count > 1 else ""
        mean = sum(n.change for n in found) / len(found)
        title = f"{which}nearest by {measure} distance: mean change {mean:.2g}"
        groups.append({"title": title, "options": [_option(n, each.psnr) for n in found]})
    patch = picture(each.patch, "", quality=_QUALITY).source
    middle = (
        100 * ((each.column + 0.5) * width / grid[1] - left) / wide,
        100 * ((each.row + 0.5) * height / grid[0] - top) / tall,
    )
    own = {
        "own": True,
        "label": ["as it is"],
        "patch": patch,
        "said": f"The image as it is has {each.psnr:.2f} dB.",
    }
    region = {name: f"{100 * value:.4f}%" for name, value in percent.items()}
    return {"region": region, "middle": f"{middle[0]:.2f}% {middle[1]:.2f}%", "own": own, "groups": groups}


def _option(found: Neighbour, before: float) -> dict[str, Any]:
    patch = picture(found.patch, "", quality=_QUALITY).source
    said = (
        f"With code {found.code} the image changes by {found.change:.3g}; the pullback metric says {found.pullback:.3g}. "
        f"Euclidean distance of the codes: {found.euclidean:.3g}. PSNR {before:.2f} to {found.psnr:.2f} dB."
    )
    return {
        "own": False,
        "label": [f"code {found.code}", f"{found.change:.2g}"],
        "patch": patch,
        "said": said,
    }
