"""The cloud of latents as a part of a page."""

import numpy as np

from geovq.cli.findings.cloud import LINE, NUM_NEIGHBOURS, Cloud, Film, main_directions
from geovq.cli.findings.neighbours import EUCLIDEAN, PULLBACK
from geovq.cli.page import charts
from geovq.cli.page.content import Section
from geovq.cli.page.pictures import picture, sheet

_QUALITY = 90

_ORDER = {LINE: LINE, EUCLIDEAN: "shortest path, Euclidean", PULLBACK: "shortest path, pullback"}
"""Rows of a route, with what they are called."""


def cloud_section(cloud: Cloud) -> Section:
    """Two charts of the graph, and film strips of the routes."""
    directions, parts = main_directions(cloud.latents)
    points = np.zeros((len(cloud.latents), 2))
    points[:, : len(directions[:2])] = (cloud.latents - cloud.latents.mean(axis=0)) @ directions[:2].T
    units = {EUCLIDEAN: "latent units", PULLBACK: "change of the image"}
    drawn = [
        charts.cloud(
            f"{name} graph: thick edges are short, by {units[name]}",
            points,
            charts.Shade("magnification, intensity per latent unit", cloud.magnifications),
            cloud.edges,
            lengths,
            [films[name].nodes for films in cloud.routes],
        )
        for name, lengths in cloud.lengths.items()
    ]
    low, high = np.quantile(cloud.magnifications, (0.05, 0.95))
    said = [
        f"Each point is the latent of one of {len(cloud.latents):,} tokens, drawn at random. It is shown along the two "
        f"directions in which latents differ most ({100 * parts[:2].sum():.0f} % of the variance). Its shade is the "
        "magnification: the change of the image for a step of one latent unit, root mean square over directions. Nine tokens of "
        f"ten have {low:.2g} to {high:.2g}.",
        f"Both graphs join each token to its {NUM_NEIGHBOURS} nearest in latent space. The first measures an edge by its "
        "length in latent space, the second by the change of the decoded image. Coloured lines are shortest paths between "
        "pairs of tokens.",
    ]
    routes = [
        {
            "title": f"Path {i}",
            "films": [
                picture(
                    sheet(films[name].frames, len(films[name].frames)), _caption(name, films[name]), quality=_QUALITY
                )
                for name in _ORDER
            ],
        }
        for i, films in enumerate(cloud.routes, 1)
    ]
    lengths = [[films[name].length for name in (LINE, EUCLIDEAN, PULLBACK)] for films in cloud.routes]
    least = sum(line <= min(euclidean, pullback) for line, euclidean, pullback in lengths)
    shorter = sum(pullback < euclidean for _, euclidean, pullback in lengths)
    films_said = (
        "The ends of a path are tokens near the two ends of a main direction. The latent of the first end moves to the latent "
        "of the other, and the tokens around it stay as they are. The pictures are at about equal steps of the image's way. "
        f"Of {len(lengths)} pairs, the image changes least along the straight line in {least}; it changes less along the "
        f"pullback path than along the Euclidean one in {shorter}. A path of the graph goes through the latents of other tokens, "
        "whose metrics were taken among their own neighbours. Among the neighbours of this token, such a path may be longer."
    )
    content = {"paragraphs": said, "charts": drawn, "films_said": films_said, "routes": routes}
    return Section("latents", "The latents and their geometry", "latents.html", content)


def _caption(name: str, film: Film) -> str:
    between = len(film.nodes) - 2
    through = f", through {between} token{'s' * (between > 1)}" if between else ""
    return f"{_ORDER[name]}{through}: the image changes by {film.length:.3g} in all"
