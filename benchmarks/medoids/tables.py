"""The tables of benchmarks.medoids and nearest."""

from typing import Any

from benchmarks.common.markdown import captioned, markdown
from benchmarks.common.rows import Row, value_of


def medoids(rows: list[Row]) -> str:
    """Quality and speed of medoids beside other ways, and what a million nodes cost."""
    small = [r for r in rows if r["case"] == "beside FasterPAM" and r["score"] == "seconds"]
    large = [r for r in rows if r["case"] == "beside Voronoi" and r["score"] == "seconds"]
    found = [r for r in rows if r["case"] == "neighbours" and r["score"] == "seconds"]
    whole = [r for r in rows if r["case"] == "from latents to medoids"]
    sizes = list(dict.fromkeys(r["tokens"] for r in whole))

    def of(row: Row, score: str, **other: object) -> float:
        return value_of(
            rows, **{name: row[name] for name in ("case", "data", "nodes", "codes", "way")}, score=score, **other
        )

    def line(name: str, unit: float = 1, **wanted: Any) -> list[object]:
        return [name, *(value_of(whole, tokens=tokens, **wanted) * unit for tokens in sizes)]

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
                [r["nodes"], r["way"], r["value"], value_of(rows, case=r["case"], way=r["way"], score="recall")]
                for r in found
            ],
        ),
    }
    return captioned(parts)


def nearest(rows: list[Row]) -> str:
    """The nearest-medoid pass beside other ways."""
    ratios = {(r["nodes"], r["way"]): r["value"] for r in rows if r["score"] == "ratio"}
    found = [r for r in rows if r["score"] == "seconds"]
    cells = [[r["nodes"], r["way"], r["value"], ratios[r["nodes"], r["way"]]] for r in found]
    return markdown(["nodes", "way", "s", "times ours"], cells)
