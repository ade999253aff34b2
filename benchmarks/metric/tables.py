"""The tables of benchmarks.metric, sketch and geometry."""

from typing import Any

from benchmarks.common.markdown import captioned, markdown
from benchmarks.common.rows import Row, maybe, value_of

PAIR_SCORES = ("ratio_median", "spearman")


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
    return captioned(parts)


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
        cells = [value_of(rows, case="edges", score=score, **of) for score in edge_scores]
        edges.append([f"{refined}, by {indicator}" if indicator else refined, *cells, 1 if refined == "all" else path])
    graphs = [row for row in rows if row["case"] == "distance" and row["lengths"] == "trapezoid"]
    sizes = sorted({row["points"] for row in graphs})
    distances = []
    for context, neighbours, k in dict.fromkeys((row["context"], row["neighbours"], row["k"]) for row in graphs):
        of = {"case": "distance", "lengths": "trapezoid", "context": context, "neighbours": neighbours, "k": k}
        found = [[maybe(rows, score=score, points=n, **of) for score in PAIR_SCORES] for n in sizes]
        distances.append([context, neighbours, k, *(f"{a:.3f} ({b:.3f})" if a else "-" for a, b in found)])
    direct = [
        [
            lengths,
            *(value_of(rows, case="distance", context=near, lengths=lengths, score=score) for score in PAIR_SCORES),
        ]
        for lengths in ("straight line, decoded", "mean metric", "euclidean")
    ]
    effects = dict.fromkeys(row["effect"] for row in rows if row["case"] == "variance" and "tokens" in row)
    shares = [
        [effect, *(value_of(rows, case="variance", of=of, effect=effect) for of in ("metric", "metric / trace"))]
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
    return captioned(parts)
