"""Puts the tables of the results files into the README and the pages in docs, between their markers.

    python -m benchmarks.tables

Every number of those tables comes from benchmarks/results/*.json by this command; a test holds them together.
"""

import pathlib
import re
from collections.abc import Callable, Collection

from benchmarks.common.markdown import captioned, markdown
from benchmarks.common.means import judged_by
from benchmarks.common.record import FOLDER, no_options
from benchmarks.common.rows import Row, value_of
from benchmarks.common.tree import tree
from benchmarks.generation import likelihood_tables, study_tables
from benchmarks.generation import tables as generation_tables
from benchmarks.medoids import tables as medoids_tables
from benchmarks.metric import tables as metric_tables
from benchmarks.tokenizer import tables as tokenizer_tables
from geovq.storage import read_json, write_bytes
from geovq.validation import InputError
from train.evaluation.presentation import tables
from train.run.command_line import run_program

_HERE = pathlib.Path(__file__).parents[1]

PAGES = (_HERE / "README.md", *sorted((_HERE / "docs").glob("*.md")))
"""What has tables."""

_BLOCK = re.compile(r"<!-- (\w+): begin -->\n.*?<!-- \1: end -->", re.DOTALL)


def pipeline(rows: list[Row]) -> str:
    """The tables of a pipeline."""
    seconds: list[list[object]] = [[row["case"], row["value"]] for row in rows if row["score"] == "seconds"]
    seconds.append(["all", sum(row["value"] for row in rows if row["score"] == "seconds")])
    parts = {**tables(rows), "Time": (["stage", "seconds"], seconds)}
    return captioned({caption: markdown(columns, cells) for caption, (columns, cells) in parts.items()})


def rate(rows: list[Row]) -> str:
    """One line for each noise variance."""
    columns: dict[str, Row] = {
        "KL bits of a token": {"score": "bits_per_token"},
        "their std": {"score": "bits_per_token_std"},
        "VAE": {"system": "vae", "score": "psnr"},
        "posterior sample": {"system": "vae, posterior sample", "score": "psnr"},
        "`euclidean`": {"assign": "euclidean", "score": "psnr"},
        "`whitened`": {"assign": "whitened", "score": "psnr"},
    }
    variances = dict.fromkeys(row["noise_variance"] for row in rows)
    cells = [
        [beta, *(value_of(rows, noise_variance=beta, **fields) for fields in columns.values())] for beta in variances
    ]
    return markdown(["β", *columns], cells)


def gpt(rows: list[Row]) -> str:
    """The Transformer beside other ways to train and to sample it."""
    seconds = {(r["case"], r["sizes"], r.get("batch"), r["peer"]): r["value"] for r in rows if r["score"] == "seconds"}
    found = [r for r in rows if r["score"] == "ratio"]
    keys = [(r["case"], r["sizes"], r.get("batch"), r["peer"]) for r in found]
    cells = [[*key, seconds.get(key), r["value"]] for key, r in zip(keys, found, strict=True)]
    return markdown(["case", "layers/width/heads", "batch", "way", "s", "times ours"], cells)


def resume(rows: list[Row]) -> str:
    """One line for each output."""
    return markdown(["output", "same bits"], [[row["output"], "yes" if row["value"] else "no"] for row in rows])


_STUDY = "tokenizer"

TABLES: dict[str, tuple[str, Callable[[list[Row]], str]]] = {
    "pipeline_demo": ("pipeline_demo", pipeline),
    "pipeline_quick": ("pipeline_quick", pipeline),
    "rate": ("rate", rate),
    "metric": ("metric", metric_tables.metric),
    "sketch": ("sketch", metric_tables.sketch),
    "geometry": ("geometry", metric_tables.geometry),
    "medoids": ("medoids", medoids_tables.medoids),
    "nearest": ("nearest", medoids_tables.nearest),
    "gpt": ("gpt", gpt),
    "resume": ("resume", resume),
    "tokenizer_front": (_STUDY, tokenizer_tables.front),
    "tokenizer_headline": (_STUDY, tokenizer_tables.headline),
    "tokenizer_reached": (_STUDY, tokenizer_tables.reached),
    "tokenizer_ladder": (_STUDY, tokenizer_tables.ladder),
    "tokenizer_systems": (_STUDY, tokenizer_tables.systems),
    "tokenizer_codebooks": (_STUDY, tokenizer_tables.codebooks),
    "tokenizer_meaning": (_STUDY, tokenizer_tables.meaning),
    "encoding_front": ("encoding", tokenizer_tables.choice),
    "encoding": ("encoding", tokenizer_tables.encoding),
    "generation_reached": ("generation", lambda rows: markdown(*generation_tables.reached(rows))),
    "generation_systems": ("generation", lambda rows: markdown(*generation_tables.systems(rows))),
    "generation_further": ("generation", lambda rows: markdown(*generation_tables.further(rows))),
    "generation_likelihood": ("generation", lambda rows: markdown(*likelihood_tables.likelihood(rows))),
    "generation_positions": ("generation", lambda rows: markdown(*likelihood_tables.positions(rows))),
    "generation_guidance": ("generation", lambda rows: markdown(*generation_tables.guidance(rows))),
    "longer_systems": ("longer", lambda rows: markdown(*generation_tables.systems(rows))),
    "longer_further": ("longer", lambda rows: markdown(*generation_tables.further(rows))),
    "longer_guidance": ("longer", lambda rows: markdown(*generation_tables.guidance(rows))),
    "longer_apart": ("longer", lambda rows: markdown(*generation_tables.apart(rows))),
    "longest_systems": ("longer_long", lambda rows: markdown(*generation_tables.systems(rows))),
    "longest_further": ("longer_long", lambda rows: markdown(*generation_tables.further(rows))),
    "longest_guidance": ("longer_long", lambda rows: markdown(*generation_tables.guidance(rows))),
    "longest_apart": ("longer_long", lambda rows: markdown(*generation_tables.apart(rows))),
    "likelihood": ("likelihood", lambda rows: markdown(*likelihood_tables.kinds(rows))),
    "likelihood_positions": ("likelihood", lambda rows: markdown(*likelihood_tables.kinds_by_position(rows))),
    "perceptual": ("perceptual", lambda rows: markdown(*generation_tables.prices(rows))),
    "entropy": ("entropy", lambda rows: markdown(*generation_tables.prices_of_nats(rows))),
    "study_legacy": ("study", lambda rows: markdown(*study_tables.legacy(rows))),
    "study_honest": ("study", lambda rows: markdown(*study_tables.honest(rows))),
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
    found = read_json(path)
    meta = found["meta"]
    how = f"{meta['machine']}, {meta['date']}, {meta['schedule']}; {_replicated(meta['seeds'])}."
    caption = f"`benchmarks/results/{path.name}`, by `{meta['command']}`, {how} {judged_by(found['rows'])}"
    return f"{made(found['rows'])}\n\n{caption.rstrip()}"


def _replicated(names: Collection[object]) -> str:
    """How often networks were trained, by what a results file calls its seeds."""
    of_all, of_some = (sum(str(name).startswith(kind) for name in names) for kind in ("networks", "Transformer"))
    seeds = f"{of_all} seeds" if of_all > 1 else "one seed"
    return f"{seeds} of the networks" + (f", {of_all + of_some} of the Transformers" if of_some else "")


def rendered(text: str) -> str:
    """A page with its tables as the results files have them, and its map as the packages have it."""

    def block(name: str) -> str:
        return f"<!-- {name}: begin -->\n{tree() if name == 'tree' else table(name)}\n<!-- {name}: end -->"

    return _BLOCK.sub(lambda found: block(found[1]), text)


def main() -> None:
    """Rewrites the pages."""
    no_options(__doc__)
    texts = {page: rendered(page.read_text()) for page in PAGES}
    for page, text in texts.items():
        write_bytes(page, text.encode())


if __name__ == "__main__":
    run_program(main)
