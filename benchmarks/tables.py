"""Puts the tables of the results files into the README, between their markers.

    python -m benchmarks.tables

Every number of the README's tables comes from benchmarks/results/*.json by this command; a test holds them together.
"""

import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import tokenizer_tables
from benchmarks.record import FOLDER, no_options
from geovq.checks import InputError
from geovq.report import cell
from geovq.store import read_json, write_bytes
from train.cli import run_program
from train.presentation import tables

Row = dict[str, Any]

README = pathlib.Path(__file__).parents[1] / "README.md"
_BLOCK = re.compile(r"<!-- (\w+): begin -->\n.*?<!-- \1: end -->", re.DOTALL)


def markdown(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    if not rows:
        raise InputError(
            f"results: expected rows for the columns {', '.join(columns)}, found none; run the benchmark again."
        )
    lines = [columns, ["---"] * len(columns), *([cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def pipeline(rows: list[Row]) -> str:
    """The tables of a pipeline."""
    seconds: list[list[object]] = [[row["case"], row["value"]] for row in rows if row["score"] == "seconds"]
    seconds.append(["all", sum(row["value"] for row in rows if row["score"] == "seconds")])
    return "\n\n".join(
        f"**{caption}**\n\n{markdown(columns, cells)}"
        for caption, (columns, cells) in {**tables(rows), "Time": (["stage", "seconds"], seconds)}.items()
    )


def rate(rows: list[Row]) -> str:
    """One line for each noise variance."""
    columns = ["β", "KL bits of a token", "their std", "VAE", "posterior sample", "`euclidean`", "`whitened`"]
    variances = dict.fromkeys(row["noise_variance"] for row in rows)
    cells = [[beta, *(row["value"] for row in rows if row["noise_variance"] == beta)] for beta in variances]
    return markdown(columns, cells)


def metric(rows: list[Row]) -> str:
    """What a metric costs beside other ways, the decoder, and the machine."""

    def of(case: str, score: str, key: str = "peer") -> list[tuple[Any, float]]:
        return [(row.get(key), row["value"]) for row in rows if row["case"] == case and row["score"] == score]

    def beside(case: str, unit: float) -> list[list[object]]:
        ratios = dict(of(case, "ratio"))
        return [[name, seconds * unit, ratios.get(name, 1)] for name, seconds in of(case, "seconds")]

    probes = dict(of("sketched, per token", "ratio_to_exact", "probes"))
    memory = dict(of("scaling, per token", "peak_bytes_beyond_result", "tokens"))
    parts = {
        "Exact metrics of tokens": markdown(["way", "ms a token", "times ours"], beside("exact, per token", 1e3)),
        "All edges of a graph, k = 16": markdown(["way", "s", "times ours"], beside("graph", 1)),
        "Rates": markdown(["of", "GFLOP/s"], [[name, v / 1e9] for name, v in of("limit", "flop_per_second")]),
        "A token's metric costs, in passes of a whole batch": markdown(
            ["passes of the", "number"], of("limit", "decoder_passes_per_token")
        ),
        "Sketched metrics": markdown(
            ["probes", "ms a token", "part of exact"],
            [[r, 1e3 * v, probes[r]] for r, v in of("sketched, per token", "seconds", "probes")],
        ),
        "Many tokens": markdown(
            ["tokens", "ms a token", "MB beyond the result at the peak"],
            [
                [n, 1e3 * v, memory[n] / 1e6 if n in memory else None]
                for n, v in of("scaling, per token", "seconds", "tokens")
            ],
        ),
        "Edges": markdown(["way", "µs an edge"], [[n, 1e6 * v] for n, v in of("re-weighting, per edge", "seconds")]),
    }
    return "\n\n".join(f"**{caption}**\n\n{cells}" for caption, cells in parts.items())


def sketch(rows: list[Row]) -> str:
    """One line for each number of probes."""
    found: dict[tuple[object, object], dict[str, float]] = {}
    for row in rows:
        found.setdefault((row["assign"], row.get("probes")), {})[row["score"]] = row["value"]
    cells = [
        [assign, probes, *(scores.get(name) for name in ("psnr", "psnr_beyond_exact", "relative_frobenius_error"))]
        for (assign, probes), scores in found.items()
    ]
    return markdown(["assign", "probes", "PSNR dB", "beyond exact, dB", "relative error of G"], cells)


def geometry(rows: list[Row]) -> str:
    """How right lengths of edges and distances in the graph are, and what a metric depends on."""
    near = next(row["context"] for row in rows if row["case"] == "yardstick")  # the context that is looked at closely
    kinds = dict.fromkeys(
        (row["refined"], row.get("indicator")) for row in rows if row["case"] == "edges" and row["score"] == "error_p95"
    )
    edge_scores = ("error_median", "error_p95", "bias_of_sum", "above_tolerance")
    edges = []
    for refined, indicator in kinds:
        of = {"refined": refined, "indicator": indicator}
        path = maybe(rows, case="refined distances", score="ratio_median", **of)
        cells = [one(rows, case="edges", score=score, **of) for score in edge_scores]
        edges.append([f"{refined}, by {indicator}" if indicator else refined, *cells, 1 if refined == "all" else path])
    graphs = [row for row in rows if row["case"] == "distance" and row["lengths"] == "trapezoid"]
    sizes = sorted({row["points"] for row in graphs})
    distances = []
    for context, neighbours, k in dict.fromkeys((row["context"], row["neighbours"], row["k"]) for row in graphs):
        of = {"case": "distance", "lengths": "trapezoid", "context": context, "neighbours": neighbours, "k": k}
        found = [[maybe(rows, score=score, points=n, **of) for score in PAIR_SCORES] for n in sizes]
        distances.append([context, neighbours, k, *(f"{a:.3f} ({b:.3f})" if a else "-" for a, b in found)])
    direct = [
        [lengths, *(one(rows, case="distance", context=near, lengths=lengths, score=score) for score in PAIR_SCORES)]
        for lengths in ("straight line, decoded", "mean metric", "euclidean")
    ]
    effects = dict.fromkeys(row["effect"] for row in rows if row["case"] == "variance" and "tokens" in row)
    shares = [
        [effect, *(one(rows, case="variance", of=of, effect=effect) for of in ("metric", "metric / trace"))]
        for effect in effects
    ]
    edge_columns = ["refined", "median error", "95th percentile", "error of the sum", "above 2%", "graph distance"]
    parts = {
        "Edges from cached metrics beside 64 decoded segments; graph distance over that of refined edges": markdown(
            edge_columns, edges
        ),
        "Distance in the graph over that of the continuous geodesic: median (Spearman)": markdown(
            ["context", "nearest under", "k", *(f"{n:,} points" for n in sizes)], distances
        ),
        "The same without a graph": markdown(["length", "median ratio", "Spearman"], direct),
        "What G varies with, shares of its variance": markdown(["effect", "G", "G / tr G"], shares),
    }
    return "\n\n".join(f"**{caption}**\n\n{cells}" for caption, cells in parts.items())


PAIR_SCORES = ("ratio_median", "spearman")


def medoids(rows: list[Row]) -> str:
    """Quality and speed of medoids beside other ways, and what a million nodes cost."""
    small = [r for r in rows if r["case"] == "beside FasterPAM" and r["score"] == "seconds"]
    large = [r for r in rows if r["case"] == "beside Voronoi" and r["score"] == "seconds"]
    found = [r for r in rows if r["case"] == "neighbours" and r["score"] == "seconds"]
    whole = [r for r in rows if r["case"] == "from latents to medoids"]
    sizes = list(dict.fromkeys(r["tokens"] for r in whole))

    def of(row: Row, score: str, **other: object) -> float:
        return one(
            rows, **{name: row[name] for name in ("case", "data", "nodes", "codes", "way")}, score=score, **other
        )

    def line(name: str, unit: float = 1, **wanted: Any) -> list[object]:
        return [name, *(one(whole, tokens=tokens, **wanted) * unit for tokens in sizes)]

    def of_codes(name: str, **wanted: Any) -> list[list[object]]:
        return [line(f"{name}, K = {k}", codes=k, **wanted) for k in (512, 1024)]

    scale = [
        line("nodes", score="nodes"),
        line("edges", score="edges"),
        line("bridges among them", score="bridges"),
        line("recall of neighbours", score="recall"),
        *(
            line(f"s, {stage}", stage=stage, score="seconds")
            for stage in ("metrics", "duplicates", "neighbours", "bridges", "lengths")
        ),
        *of_codes("s, medoids", stage="medoids", score="seconds"),
        *of_codes("s, all but metrics", stage="graph and medoids", score="seconds"),
        *of_codes("s, all", stage="all", score="seconds"),
        *of_codes("candidates tried", score="candidates"),
        *of_codes("cost of a node", score="cost_per_node"),
        line("GB beyond the latents at the peak", 1e-9, score="bytes"),
    ]
    parts = {
        "Beside FasterPAM on the whole distance matrix; its time includes the matrix, by SciPy on one core": markdown(
            ["data", "nodes", "K", "way", "cost / FasterPAM's", "s", "times faster"],
            [
                [
                    *(r[x] for x in ("data", "nodes", "codes", "way")),
                    of(r, "ratio", of="cost"),
                    r["value"],
                    of(r, "ratio", of="speed"),
                ]
                for r in small
            ],
        ),
        "Beside Voronoi iteration with exact cells, until no medoid moves, and CLARA": markdown(
            ["data", "nodes", "K", "way", "s", "our cost / its", "our time / its"],
            [
                [
                    *(r[x] for x in ("data", "nodes", "codes", "way", "value")),
                    of(r, "ratio", of="our cost"),
                    of(r, "ratio", of="our time"),
                ]
                for r in large
            ],
        ),
        "From latents to medoids: sketched metrics (32 probes), 16 neighbours; one seed": markdown(
            ["of tokens", *map(str, sizes)], scale
        ),
        "Slope of log time over log tokens": markdown(
            ["K", "stage", "slope"],
            [[r["codes"], r["stage"], r["value"]] for r in rows if r["score"] == "slope"],
        ),
        "16 neighbours of every node": markdown(
            ["nodes", "way", "s", "recall"],
            [
                [r["nodes"], r["way"], r["value"], one(rows, case=r["case"], way=r["way"], score="recall")]
                for r in found
            ],
        ),
    }
    return "\n\n".join(f"**{caption}**\n\n{lines}" for caption, lines in parts.items())


def nearest(rows: list[Row]) -> str:
    """The nearest-medoid pass beside other ways."""
    ratios = {(r["nodes"], r["way"]): r["value"] for r in rows if r["score"] == "ratio"}
    found = [r for r in rows if r["score"] == "seconds"]
    cells = [[r["nodes"], r["way"], r["value"], ratios[r["nodes"], r["way"]]] for r in found]
    return markdown(["nodes", "way", "s", "times ours"], cells)


def gpt(rows: list[Row]) -> str:
    """The Transformer beside other ways to train and to sample it."""
    seconds = {(r["case"], r["sizes"], r.get("batch"), r["peer"]): r["value"] for r in rows if r["score"] == "seconds"}
    found = [r for r in rows if r["score"] == "ratio"]
    keys = [(r["case"], r["sizes"], r.get("batch"), r["peer"]) for r in found]
    cells = [[*key, seconds.get(key), r["value"]] for key, r in zip(keys, found, strict=True)]
    return markdown(["case", "layers/width/heads", "batch", "way", "s", "times ours"], cells)


def maybe(rows: Sequence[Row], **wanted: object) -> float | None:
    """The value of the row with these fields; None where there is none."""
    found = [row["value"] for row in rows if all(row.get(name) == value for name, value in wanted.items())]
    if len(found) > 1:
        raise InputError(
            f"results: expected one row with {wanted}, found {len(found)}; tell them apart by another field."
        )
    return found[0] if found else None


def one(rows: Sequence[Row], **wanted: object) -> float:
    """The value of the row with these fields.

    Raises:
        InputError: None, or several.
    """
    found = maybe(rows, **wanted)
    if found is None:
        raise InputError(f"results: expected a row with {wanted}, found none; run the benchmark again.")
    return found


def resume(rows: list[Row]) -> str:
    """One line for each output."""
    return markdown(["output", "same bits"], [[row["output"], "yes" if row["value"] else "no"] for row in rows])


TABLES: dict[str, Callable[[list[Row]], str]] = {
    "pipeline_demo": pipeline,
    "pipeline_quick": pipeline,
    "rate": rate,
    "metric": metric,
    "sketch": sketch,
    "geometry": geometry,
    "medoids": medoids,
    "nearest": nearest,
    "gpt": gpt,
    "resume": resume,
    "study_headline": lambda rows: tokenizer_tables.headline(rows, markdown),
    "study_reached": lambda rows: tokenizer_tables.reached(rows, markdown),
    "study_ladder": lambda rows: tokenizer_tables.ladder(rows, markdown),
    "study_systems": lambda rows: tokenizer_tables.systems(rows, markdown),
    "study_codebooks": lambda rows: tokenizer_tables.codebooks(rows, markdown),
    "study_meaning": lambda rows: tokenizer_tables.meaning(rows, markdown),
    "encoding": lambda rows: tokenizer_tables.encoding(rows, markdown),
}

STUDY = "tokenizer_part"
"""Results file of all tables of the tokenizer study."""


def table(name: str) -> str:
    """The table of a results file, and how it came about."""
    path = FOLDER / f"{STUDY if name.startswith('study_') else name}.json"
    if not path.exists():
        raise InputError(f"{path}: expected a results file, found none; the README says which benchmark writes it.")
    found = read_json(path)
    meta = found["meta"]
    several = sum(str(name).startswith("networks") for name in meta["seeds"])  # of the study alone
    seeds = f"{several} seeds" if several > 1 else "one seed"
    how = f"{meta['machine']}, {meta['date']}, {meta['schedule']}; {seeds} of the networks."
    source = f"`benchmarks/results/{path.name}`, by `{meta['command']}`, {how}"
    return f"{TABLES[name](found['rows'])}\n\n{source}"


def rendered(text: str) -> str:
    """The README with its tables as the results files have them."""
    return _BLOCK.sub(lambda found: f"<!-- {found[1]}: begin -->\n{table(found[1])}\n<!-- {found[1]}: end -->", text)


def main() -> None:
    """Rewrites the README."""
    no_options(__doc__)
    write_bytes(README, rendered(README.read_text()).encode())


if __name__ == "__main__":
    run_program(main)
