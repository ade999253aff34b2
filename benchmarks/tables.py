"""Puts the tables of the results files and the map of the code into the README and the pages in docs.

    python -m benchmarks.tables

Every number of those tables comes from benchmarks/results/*.json by this command; a test holds them together.
"""

import ast
import pathlib
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from benchmarks import autoencoders, entropy, perceptual
from benchmarks.common.harness import FOLDER, captioned, markdown, no_options, read_results
from benchmarks.common.rows import Row, Table, judged_by, select, value_of
from benchmarks.generation import tables as generation
from benchmarks.large import tables as large
from benchmarks.tokenizer import tables as tokenizer
from benchmarks.vq_models import tables as vq_models
from geovq.storage.files import write_bytes
from geovq.validation import InputError
from train.evaluation.presentation import tables as run_tables
from train.run.command_line import run_program

_HERE = pathlib.Path(__file__).parents[1]

PAGES = (_HERE / "README.md", *sorted((_HERE / "docs").glob("*.md")))
"""What has tables."""

_BLOCK = re.compile(r"<!-- (\w+): begin -->\n.*?<!-- \1: end -->", re.DOTALL)


def pipeline(rows: list[Row]) -> str:
    """Scores and times of a whole run."""
    seconds: list[list[object]] = [[row["case"], row["value"]] for row in rows if row["score"] == "seconds"]
    seconds.append(["all", sum(row["value"] for row in rows if row["score"] == "seconds")])
    parts = {**run_tables(rows), "Time": (["stage", "seconds"], seconds)}
    return captioned({caption: markdown(columns, cells) for caption, (columns, cells) in parts.items()})


def gpt(rows: list[Row]) -> str:
    """The Transformer compared with other ways to train it and to sample from it."""
    seconds = {(r["case"], r["sizes"], r.get("batch"), r["peer"]): r["value"] for r in rows if r["score"] == "seconds"}
    found = [r for r in rows if r["score"] == "ratio"]
    keys = [(r["case"], r["sizes"], r.get("batch"), r["peer"]) for r in found]
    cells = [[*key, seconds.get(key), r["value"]] for key, r in zip(keys, found, strict=True)]
    return markdown(["case", "layers/width/heads", "batch", "way", "s", "times ours"], cells)


def gpt_memory(rows: list[Row]) -> str:
    """Memory of a training step by the grid."""
    grids, ways = (list(dict.fromkeys(r[name] for r in rows)) for name in ("grid", "peer"))
    cells = [[grid, *(value_of(rows, grid=grid, peer=way) / 2**30 for way in ways)] for grid in grids]
    return markdown(["GiB, by the grid", *ways], cells)


def metric(rows: list[Row]) -> str:
    """The cost of a metric compared with other ways, with the decoder, and with the machine."""

    def of(case: str, score: str, key: str = "peer") -> list[tuple[Any, float]]:
        return [(row.get(key), row["value"]) for row in rows if row["case"] == case and row["score"] == score]

    def beside(case: str, unit: float) -> list[list[object]]:
        ratios = dict(of(case, "ratio"))
        return [[name, seconds * unit, ratios.get(name, 1)] for name, seconds in of(case, "seconds")]

    probes = dict(of("sketched, per token", "ratio_to_exact", "probes"))
    errors = dict(of("sketched, per token", "relative_frobenius_error", "probes"))
    memory = dict(of("scaling, per token", "peak_bytes_beyond_result", "tokens"))
    parts = {
        "Exact metrics of tokens": markdown(["way", "ms a token", "times ours"], beside("exact, per token", 1e3)),
        "All edges of a graph, k = 16": markdown(["way", "s", "times ours"], beside("graph", 1)),
        "Rates": markdown(["of", "GFLOP/s"], [[name, v / 1e9] for name, v in of("limit", "flop_per_second")]),
        "A token's metric costs, in passes of a whole batch": markdown(
            ["passes of the", "number"], of("limit", "decoder_passes_per_token")
        ),
        "Sketched metrics": markdown(
            ["probes", "ms a token", "relative to exact", *(["relative error of G"] if errors else [])],
            [
                [r, 1e3 * v, probes[r], *([errors[r]] if errors else [])]
                for r, v in of("sketched, per token", "seconds", "probes")
            ],
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


def medoids(rows: list[Row]) -> str:
    """Quality and speed of medoids compared with other ways, and the cost of a million nodes."""
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
    """The nearest-medoid pass compared with other ways."""
    ratios = {(r["nodes"], r["way"]): r["value"] for r in rows if r["score"] == "ratio"}
    found = [r for r in rows if r["score"] == "seconds"]
    cells = [[r["nodes"], r["way"], r["value"], ratios[r["nodes"], r["way"]]] for r in found]
    return markdown(["nodes", "way", "s", "times ours"], cells)


def encoding(rows: list[Row]) -> str:
    """One line for each assignment."""
    quality = {row.get("assign"): row["value"] for row in rows if row["score"] == "psnr"}
    against = {(row["assign"], row["peer"]): row["value"] for row in rows if row["score"] == "ratio"}
    cells = [
        [
            row["assign"],
            row["value"],
            against[row["assign"], "encoder"],
            against[row["assign"], "joint"],
            quality.get(row["assign"]),
        ]
        for row in rows
        if row["score"] == "images_per_second"
    ]
    return markdown(["assign", "images a second", "time / encoder's", "time / joint's", "PSNR dB"], cells)


def _rendered(table: Callable[[Sequence[Row]], Table]) -> Callable[[list[Row]], str]:
    return lambda rows: markdown(*table(rows))


_STUDY = "tokenizer"

TABLES: dict[str, tuple[str, Callable[[list[Row]], str]]] = {
    "pipeline_demo": ("pipeline_demo", pipeline),
    "metric": ("metric", metric),
    "medoids": ("medoids", medoids),
    "nearest": ("nearest", nearest),
    "gpt": ("gpt", gpt),
    "gpt_memory": ("gpt_memory", gpt_memory),
    "tokenizer_front": (_STUDY, tokenizer.front),
    "tokenizer_headline": (_STUDY, tokenizer.headline),
    "tokenizer_reached": (_STUDY, tokenizer.reached),
    "tokenizer_ladder": (_STUDY, tokenizer.ladder),
    "tokenizer_systems": (_STUDY, tokenizer.systems),
    "tokenizer_codebooks": (_STUDY, tokenizer.codebooks),
    "tokenizer_meaning": (_STUDY, tokenizer.meaning),
    "encoding_front": ("encoding", tokenizer.choice),
    "encoding": ("encoding", encoding),
    "generation_reached": ("generation", _rendered(generation.reached)),
    "generation_systems": ("generation", _rendered(generation.systems)),
    "generation_further": ("generation", _rendered(generation.further)),
    "generation_likelihood": ("generation", _rendered(generation.likelihood)),
    "generation_positions": ("generation", _rendered(generation.positions)),
    "generation_guidance": ("generation", _rendered(generation.guidance)),
    "longer_systems": ("longer", _rendered(generation.systems)),
    "longer_further": ("longer", _rendered(generation.further)),
    "longer_guidance": ("longer", _rendered(generation.guidance)),
    "longer_apart": ("longer", _rendered(generation.apart)),
    "longest_systems": ("longer_long", _rendered(generation.systems)),
    "longest_further": ("longer_long", _rendered(generation.further)),
    "longest_guidance": ("longer_long", _rendered(generation.guidance)),
    "longest_apart": ("longer_long", _rendered(generation.apart)),
    "likelihood": ("likelihood", _rendered(generation.predicted)),
    "likelihood_positions": ("likelihood", _rendered(lambda rows: generation.positions(select(rows, split="test")))),
    "autoencoders": ("autoencoders", autoencoders.table),
    "perceptual": ("perceptual", _rendered(perceptual.table)),
    "entropy": ("entropy", _rendered(entropy.table)),
    "vq_models": ("vq_models", vq_models.tables),
    **{f"large_{name}": ("large", _rendered(table)) for name, table in large.TABLES.items()},
    "study_legacy": ("study", _rendered(generation.legacy)),
    "study_honest": ("study", _rendered(generation.honest)),
}
"""The results file of each marker, and what makes its rows a table."""


def table(name: str) -> str:
    """The table of a marker, and how its results file came about."""
    if name not in TABLES:
        raise InputError(f"tables: expected markers of {', '.join(TABLES)}, found {name!r}; change the page.")
    file, made = TABLES[name]
    path = FOLDER / f"{file}.json"
    if not path.exists():
        raise InputError(f"{path}: expected a results file, found none; the README says which benchmark writes it.")
    found = read_results(path)
    meta = found["meta"]
    how = f"{meta['machine']}, {meta['date']}, {meta['schedule']}; {_replicated(meta['seeds'])}."
    caption = f"`benchmarks/results/{path.name}`, by `{meta['command']}`, {how} {judged_by(found['rows'])}"
    return f"{made(found['rows'])}\n\n{caption.rstrip()}"


def _replicated(names: Collection[object]) -> str:
    """How often networks were trained, by what a results file calls its seeds."""
    if not names or all(str(name).startswith("codes ") for name in names):
        return "published networks"
    of_all, of_some = (sum(str(name).startswith(kind) for name in names) for kind in ("networks", "Transformer"))
    seeds = f"{of_all} seeds" if of_all > 1 else "one seed"
    return f"{seeds} of the networks" + (f", {of_all + of_some} of the Transformers" if of_some else "")


def rendered(text: str) -> str:
    """A page with its tables as the results files have them, and its map as the packages have it."""

    def block(name: str) -> str:
        return f"<!-- {name}: begin -->\n{tree() if name == 'tree' else table(name)}\n<!-- {name}: end -->"

    return _BLOCK.sub(lambda found: block(found[1]), text)


def tree() -> str:
    """The map of the code: a line for every package and module, with the first line of its docstring."""
    lines = []
    for folder in ("geovq", "train", "benchmarks", "examples"):
        for path in sorted(_HERE.joinpath(folder).rglob("*.py"), key=_position):
            package = path.name == "__init__.py"
            where = path.parent if package else path
            depth = len(where.relative_to(_HERE).parts) - 1
            name = f"{'    ' * depth}{where.name}{'/' if package else ''}"
            said = ast.get_docstring(ast.parse(path.read_text())) or ""
            lines.append(f"{name:<34}{said.splitlines()[0] if said else ''}".rstrip())
    return "\n".join(["```", *lines, "```"])


def _position(path: pathlib.Path) -> tuple[tuple[bool, str], ...]:
    """A package's docstring stands first, then its modules, then the packages in it."""
    *folders, name = path.parts
    return (*((True, folder) for folder in folders), (False, "" if name == "__init__.py" else name))


def main() -> None:
    """Rewrites the pages."""
    no_options(__doc__)
    texts = {page: rendered(page.read_text()) for page in PAGES}
    for page, text in texts.items():
        write_bytes(page, text.encode())


if __name__ == "__main__":
    run_program(main)
