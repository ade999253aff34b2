"""Findings as the parts of a page."""

from collections.abc import Mapping, Sequence

import numpy as np

from geovq.cli.findings.codes import CodePictures, count_codes
from geovq.cli.findings.rates import WEBP, Point
from geovq.cli.findings.systems import AUTOENCODER, OWN, Shown, System, scores_of
from geovq.cli.page import charts
from geovq.cli.page.content import Picture, Section
from geovq.cli.page.pictures import LOSSLESS, code_colours, error_map, heat, picture, sheet, thumbnail, token_map
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import check_images

ORIGINAL = "original"

_QUALITY = 85
"""Of pictures in which nobody looks for small differences."""

_AXES = {"PSNR": "PSNR, dB (higher is better)", "LPIPS": "LPIPS (lower is better)"}
"""Scores of which there are charts, with the labels of their axes."""

_NAMED = 12
"""Codes that are shown with their numbers."""

_COLUMNS = 32
"""Codes of a row of a sheet."""

_LOSSLESS_PIXELS = 2_000_000
"""Of all pictures together: about 2 bytes a pixel, a third more as text."""


def pictures_of(
    shown: Sequence[Shown], systems: Sequence[System], scores: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, Picture]:
    """Every version of every image by key: number, slash, version.

    Args:
        shown: The images.
        systems: What became of them.
        scores: By system and score, one for each image.
    """
    found, quality = {}, _quality_for(shown, len(systems) + 1)
    for i, (name, image) in enumerate(shown):
        found[f"{i}/{ORIGINAL}"] = picture(image, f"{name}, original", quality=quality)
        for system in systems:
            alt = f"{name}, {system.name}, {scores[system.key]['PSNR'][i]:.2f} dB"
            found[f"{i}/{system.key}"] = picture(system.images[i], alt, quality=quality)
    return found


def wipes(shown: Sequence[Shown], systems: Sequence[System]) -> Section:
    """Sliders between the original and the tokens, and between two ways to choose tokens."""
    thumbs = [thumbnail(image, name, 96) for name, image in shown]
    other = systems[1].key if len(systems) > 2 else AUTOENCODER
    versions = [(ORIGINAL, "original"), *((each.key, each.name) for each in systems)]
    content = {"thumbs": thumbs, "versions": versions, "pairs": [(ORIGINAL, OWN), (other, OWN)]}
    return Section("compare", "What was lost", "wipes.html", content)


def errors(shown: Sequence[Shown], systems: Sequence[System]) -> Section:
    """A map of the errors of every image and system, all with one scale."""
    originals = [check_images(image[None])[0] for _, image in shown]
    all_errors = [
        np.sqrt(((image - other) ** 2).mean(axis=2)).ravel()
        for system in systems
        for image, other in zip(originals, system.images, strict=True)
    ]
    full = float(max(0.05, np.ceil(20 * np.quantile(np.concatenate(all_errors), 0.995)) / 20))
    rows = []
    for i, ((name, _), image) in enumerate(zip(shown, originals, strict=True)):
        maps = [
            picture(error_map(image, system.images[i], full), f"{name}, errors of {system.name}", quality=_QUALITY)
            for system in systems
        ]
        rows.append([thumbnail(shown[i].image, f"{name}, original", 256), *maps])
    scale = picture(heat(np.linspace(0, 1, 128)[None].repeat(8, 0)), "from black, no error, to light yellow")
    said = (
        "The brighter a pixel, the larger its error: the root mean square over the colours, as a part of the whole range from "
        "black to white. All maps have the same scale."
    )
    content = {"said": said, "scale": scale, "full": f"{full:.2f}", "rows": rows}
    return Section("errors", "Where the errors are", "errors.html", content)


def rate_section(
    images: Sequence[np.ndarray],
    curves: Mapping[str, Sequence[Point]],
    systems: Sequence[System],
    scores: Mapping[str, Mapping[str, np.ndarray]],
    bits: float,
) -> Section:
    """Rate against distortion: a chart for PSNR, and one for LPIPS where it is installed.

    Args:
        images: The originals.
        curves: By name.
        systems: The autoencoder first, the tokenizer's own tokens last.
        scores: By system and score, one for each image.
        bits: A pixel, of the tokens.
    """
    known = {id(each.images): scores[each.key] for each in systems}
    found = {
        name: [(point.bits, known.get(id(point.images)) or scores_of(images, point.images)) for point in points]
        for name, points in curves.items()
    }
    drawn, one_rate = [], len({point.bits for points in curves.values() for point in points}) == 1
    for score in _AXES:
        if score in scores[OWN]:
            points = [
                charts.Curve(name, [(rate, float(each[score].mean())) for rate, each in some])
                for name, some in found.items()
            ]
            limit = ("autoencoder, no tokens", float(scores[AUTOENCODER][score].mean()))
            if one_rate:
                drawn.append(charts.dots(_AXES[score], [(each.name, each.points[0][1]) for each in points], limit))
            else:
                here = ("this tokenizer", bits, float(scores[OWN][score].mean()))
                drawn.append(charts.rates(_AXES[score], points, limit, here))
    said = [
        f"Means over the {len(images)} images of this page. Tokens cost log2 of the number of codes each; an entropy coder would "
        "need less."
    ]
    if any(len(points) > 1 for name, points in curves.items() if name != WEBP):
        said.append(
            "Tokens with fewer codes have the first codes of each token alone, and the mean of the others; ways that run the "
            "decoder are shown with all codes only."
        )
    if WEBP in found:
        said.append(_webp_said(found[WEBP], scores[OWN], bits))
    said.append(
        "The autoencoder without tokens is no upper limit: tokens that are chosen for the decoded image can beat the latents "
        "that the encoder gives."
    )
    return Section("rate", "Rate against distortion", "charts.html", {"paragraphs": said, "charts": drawn})


def _webp_said(
    points: Sequence[tuple[float, Mapping[str, np.ndarray]]], own: Mapping[str, np.ndarray], bits: float
) -> str:
    """How WebP compares at the rate of the tokens, between its two nearest rates."""
    rates = [rate for rate, _ in points]
    if bits < rates[0]:
        return f"WebP files are counted with their headers; the smallest take {rates[0]:.3g} bits a pixel, more than the tokens."
    if bits > rates[-1]:
        return f"WebP files are counted with their headers; none shown takes as many bits as the tokens, {bits:.3g} a pixel."
    names = [name for name in _AXES if name in own]
    theirs = {name: np.interp(bits, rates, [each[name].mean() for _, each in points]) for name in names}
    said = ", ".join(f"{name} {theirs[name]:.4g} (tokens {own[name].mean():.4g})" for name in names)
    return f"At the rate of the tokens WebP files, counted with their headers, have about {said}."


def codebook_section(tokenizer: Tokenizer, own: System, pictures: Sequence[CodePictures]) -> Section:
    """The codes as pictures, and how often each is used."""
    counts = count_codes(own.tokens, tokenizer.num_codes)
    sheets = []
    for s, (codes, patches) in enumerate(pictures):
        which = f"Code {s + 1} of {len(counts)} of a token" if len(counts) > 1 else "All codes"
        number = f"all {len(codes):,}" if len(codes) == tokenizer.num_codes else f"the {len(codes):,} most used"
        title = f"{which}: {number}, the most used first"
        alt = f"{len(codes):,} small pictures in rows of {_COLUMNS}, one for each code, by falling use"
        known = int(np.count_nonzero(counts[s][codes]))
        named = [
            picture(patch, f"code {code}: {counts[s][code]:,}", quality=_QUALITY)
            for code, patch in zip(codes[: min(_NAMED, known)], patches, strict=False)
        ]
        whole = picture(sheet(patches, _COLUMNS, known), alt, quality=_QUALITY)
        sheets.append({"title": title, "named": named, "picture": whole})
    used = [np.count_nonzero(row) for row in counts]
    said = (
        "Each code is decoded among the latents that it has around it in these images, on average; its token is in the middle. "
        f"In use are {' and '.join(f'{each:,}' for each in used)} of {tokenizer.num_codes:,} codes in {counts[0].sum():,} "
        "tokens: few images use few codes, so a code that is not used here need not be dead. Those are pale. Under the most used "
        "ones stand their numbers, and how many tokens have them."
    )
    return Section(
        "codebook", "The codebook", "codebook.html", {"said": said, "sheets": sheets, "usage": charts.usage(counts)}
    )


def tokens_section(tokenizer: Tokenizer, shown: Sequence[Shown], own: System) -> Section:
    """Maps of tokens beside their images."""
    colours = [code_colours(codes) for codes in tokenizer.codebook.codes]
    rows = []
    for i, (name, _) in enumerate(shown):
        h, w, count = own.tokens[i].shape
        maps = []
        for s in sorted({0, count - 1}):
            which = f", code {s + 1} of {count}" if count > 1 else ""
            maps.append(picture(token_map(own.tokens[i][..., s], colours[s]), f"{name}, {h}x{w} tokens{which}"))
        rows.append({"before": [f"{i}/{ORIGINAL}", f"{i}/{OWN}"], "maps": maps})
    said = "One square of a map is one token. Codes with similar colours are near each other in latent space."
    return Section("tokens", "The tokens of each image", "tokens.html", {"said": said, "rows": rows})


def _quality_for(shown: Sequence[Shown], versions: int) -> int:
    """Quality of the pictures: to the bit as long as a page stays below 8 MB, whatever they show."""
    pixels = versions * sum(image[..., 0].size for _, image in shown)
    return LOSSLESS if pixels <= _LOSSLESS_PIXELS else 90
