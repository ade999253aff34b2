"""Charts as inline SVG by matplotlib, in the page's own colours: they follow light and dark, and print."""

import contextlib
import html
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

_INK, _RULE = "#000001", "#000002"
SERIES = tuple(f"#00001{i}" for i in range(1, 7))
"""Colours that stand for those of the page, of which there is one set for light and one for dark."""

_COLOURS = {_INK: "currentColor", _RULE: "var(--rule)"} | {
    colour: f"var(--series-{i})" for i, colour in enumerate(SERIES, 1)
}

_MARKERS = "osD^vP"

_WIDTH, _HEIGHT = 4.6, 3.1
"""Inches. Small, so that the letters stay readable on a phone."""

_CLOUD_HEIGHT = 4.6
"""The same of a cloud."""

_CLASSES = 6
"""Shades of a cloud."""

_EDGES = (1.1, 0.6, 0.35, 0.2)
"""Widths of the quarters of the edges of a cloud, the shortest first, in points."""


class Curve(NamedTuple):
    """Points of a chart."""

    name: str
    points: Sequence[tuple[float, float]]
    """By rising first coordinate."""
    marked: bool = True
    """Whether each point has a mark."""


class Shade(NamedTuple):
    """A number of each point of a cloud, shown as its shade."""

    name: str
    values: Float[np.ndarray, " m"]
    """At least 0."""


def rates(score: str, curves: Sequence[Curve], limit: tuple[str, float], best: tuple[str, float, float]) -> str:
    """Quality over bits a pixel.

    Args:
        score: Label of the vertical axis.
        curves: Bits a pixel and the score.
        limit: Name and score of what has no rate, drawn as a line.
        best: Name, bits and score of the point that the page is about.
    """
    with _figure(score) as (figure, axis):
        for curve, colour, marker in zip(curves, SERIES, _MARKERS, strict=False):
            axis.plot(
                *zip(*curve.points, strict=True), "-", color=colour, marker=marker, markersize=4, label=curve.name
            )
        axis.axhline(limit[1], color=_INK, linestyle="--", linewidth=1, label=limit[0])
        axis.plot(*best[1:], "o", markersize=12, markerfacecolor="none", markeredgecolor=_INK, label=best[0])
        axis.set(xlabel="bits a pixel", ylabel=score)
        axis.set_xlim(left=0)
        axis.legend(fontsize=7)
        points = "; ".join(f"{c.name}: " + ", ".join(f"{y:.4g} at {x:.3g} bits" for x, y in c.points) for c in curves)
        return _svg(figure, f"{score}, against bits a pixel", f"{points}; {limit[0]}: {limit[1]:.4g}")


def dots(score: str, values: Sequence[tuple[str, float]], limit: tuple[str, float]) -> str:
    """Qualities at one rate, a line for each name.

    Args:
        score: Label of the axis.
        values: Names and scores.
        limit: Name and score of what has no rate, drawn as a line.
    """
    with _figure(f"{score} at one rate", height=1.4 + 0.25 * len(values)) as (figure, axis):
        names, numbers = zip(*values, strict=True)
        axis.plot(numbers, range(len(names)), "o", color=SERIES[0], markersize=6)
        axis.axvline(limit[1], color=_INK, linestyle="--", linewidth=1, label=limit[0])
        axis.set(xlabel=score, yticks=range(len(names)), yticklabels=names, ylim=(-0.6, len(names) - 0.4))
        axis.invert_yaxis()
        axis.locator_params(axis="x", nbins=5)
        axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, 1.3))
        said = "; ".join(f"{name}: {value:.4g}" for name, value in values)
        return _svg(figure, score, f"{said}; {limit[0]}: {limit[1]:.4g}")


def usage(counts: Int[np.ndarray, "S K"]) -> str:
    """How often codes are used, from the most used one to the least: a line for each quantizer."""
    with _figure("usage") as (figure, axis):
        for s, (row, colour) in enumerate(zip(counts, SERIES, strict=False)):
            falling = np.sort(row)[::-1]
            axis.step(np.arange(1, len(row) + 1), falling, where="mid", color=colour, label=f"code {s + 1} of a token")
        axis.set(xlabel="codes, the most used first", ylabel="tokens")
        axis.set_yscale("symlog", linthresh=1)
        axis.set_ylim(bottom=0)
        if len(counts) > 1:
            axis.legend(fontsize=7)
        used = ", ".join(f"{np.count_nonzero(row):,} of {len(row):,}" for row in counts)
        return _svg(figure, "How often each code is used", f"Codes in use: {used}.")


def prediction(
    name: str, distances: Float[np.ndarray, " n"], unit: str, truth: Float[np.ndarray, " n"], correlation: float
) -> str:
    """How well a distance between codes predicts the change of the image.

    Args:
        name: Of the measure.
        distances: One for each other code.
        unit: Of the distances.
        truth: Change of the image, in intensity.
        correlation: Rank correlation of both.
    """
    with _figure(f"prediction {name}", height=2.8) as (figure, axis):
        axis.plot(distances, truth, ".", color=SERIES[0], markersize=4)
        axis.set(xlabel=f"{name} distance, {unit}", ylabel="change of the image, intensity")
        axis.set(title=f"{name}: rank correlation {correlation:.2f}")
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
        said = f"Rank correlation {correlation:.2f}."
        return _svg(figure, f"{name} distance between codes against the change of the image", said)


def lines(title: str, curves: Sequence[Curve], across: str, up: str, *, log: bool = False) -> str:
    """Curves over a common axis.

    Args:
        title: Of the chart.
        curves: At least one.
        across: Label of the horizontal axis.
        up: Label of the vertical axis.
        log: Whether the vertical axis is logarithmic.
    """
    with _figure(title) as (figure, axis):
        for curve, colour, marker in zip(curves, SERIES, _MARKERS, strict=False):
            style = {"marker": marker, "markersize": 3} if curve.marked else {}
            axis.plot(*zip(*curve.points, strict=True), color=colour, label=curve.name, linewidth=1.2, **style)
        axis.set(title=title, xlabel=across, ylabel=up)
        if log:
            axis.set_yscale("log")
        axis.legend(fontsize=7)
        said = "; ".join(f"{c.name}: from {c.points[0][1]:.4g} to {c.points[-1][1]:.4g}" for c in curves)
        return _svg(figure, title, said)


def cloud(
    title: str,
    points: Float[np.ndarray, "m 2"],
    shade: Shade,
    edges: Int[np.ndarray, "e 2"],
    lengths: Float[np.ndarray, " e"],
    paths: Sequence[Int[np.ndarray, " _"]],
) -> str:
    """A graph in the plane, with paths in it.

    Args:
        title: Of the chart.
        points: Where its nodes are.
        shade: Of the nodes, in classes of equal ratios.
        edges: Pairs of nodes.
        lengths: Of the edges; the shorter, the thicker.
        paths: Nodes that they go through.
    """
    import matplotlib

    low, high = np.maximum(np.quantile(shade.values, (0.02, 0.98)), 1e-6)
    classes = np.geomspace(low, max(high, 1.1 * low), _CLASSES + 1)
    norm = matplotlib.colors.BoundaryNorm(classes, _CLASSES)
    colours = matplotlib.colormaps["viridis"].resampled(_CLASSES)
    with _figure(title, height=_CLOUD_HEIGHT) as (figure, axis):
        for some, width in zip(np.array_split(edges[np.argsort(lengths, kind="stable")], 4), _EDGES, strict=True):
            ends = np.full((len(some), 3, 2), np.nan)  # a gap after each edge
            ends[:, :2] = points[some]
            axis.plot(*ends.reshape(-1, 2).T, color=_INK, alpha=0.35, linewidth=width, zorder=1)
        nodes = axis.scatter(
            *points.T,
            s=14,
            c=np.clip(shade.values, low, classes[-1]),
            norm=norm,
            cmap=colours,
            edgecolors=_INK,
            zorder=2,
        )
        nodes.set_linewidth(0.3)
        for i, (path, colour, marker) in enumerate(zip(paths, SERIES[1:], _MARKERS, strict=False), 1):
            axis.plot(
                *points[path].T, color=colour, marker=marker, markersize=4, linewidth=1.8, label=f"path {i}", zorder=3
            )
        axis.set(title=title, xlabel="first main direction", ylabel="second main direction", xticks=[], yticks=[])
        axis.grid(visible=False)
        figure.colorbar(
            nodes, ax=axis, label=shade.name, format="%.2g", location="bottom", aspect=40, pad=0.02, extend="both"
        )
        if paths:
            axis.legend(fontsize=7)
        said = f"{len(points):,} nodes, {len(edges):,} edges; {shade.name}: mostly {low:.2g} to {high:.2g}."
        return _svg(figure, title, said)


@contextlib.contextmanager
def _figure(name: str, *, height: float = _HEIGHT) -> Iterator[tuple[Any, Any]]:
    """A figure in the page's colours that is closed afterwards; the name keeps its ids from those of other charts."""
    import matplotlib
    from matplotlib.figure import Figure  # without pyplot: no window, no state

    options: Any = {  # of rcParams
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": _RULE,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK),
    }
    with matplotlib.rc_context(options):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axis = figure.subplots()
        figure.patch.set_visible(False)
        axis.patch.set_visible(False)
        yield figure, axis


def _svg(figure: Any, title: str, description: str) -> str:
    """The figure as an element of HTML, with a title and a description that a screen reader reads."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    for colour, own in _COLOURS.items():
        text = text.replace(colour, own)
    start = text.index(">")
    (box,) = re.findall(r'viewBox="([^"]*)"', text[:start])
    label = html.escape(f"{title}. {description}", quote=True)
    return f'<svg class="chart" role="img" viewBox="{box}" aria-label="{label}">{text[start + 1 :]}'
