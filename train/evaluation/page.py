"""A run as a page: what its results file, its logs and its pictures say. Reads no images and no networks."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import PIL.Image

from geovq.cli.page import charts
from geovq.cli.page.content import Number, Page, Picture, Score, ScoreTable, Section
from geovq.cli.page.pictures import picture
from geovq.scores.intervals import Interval
from geovq.storage.records import read_record
from train.run.folder import Run

_NAMES = {
    "psnr": "PSNR dB",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "usage": "usage",
    "perplexity": "perplexity",
    "latent_error": "latent²",
    "metric_error": "ΔᵀGΔ",
    "geodesic_error": "geodesic",
}
"""Scores of reconstructions, with the headings of their columns."""

_BETTER: Mapping[str, Literal["higher", "lower"]] = {"psnr": "higher", "ssim": "higher", "lpips": "lower"}

_STAGES = {
    "vae": "VAE",
    "gpt": "Transformer",
    "baseline": "baseline with a quantizer of its own",
    "finetune": "fine-tuning",
}
"""What charts call the networks of folders."""

_CONTINUOUS = "continuous VAE"

_PICTURES = {
    "reconstructions.png": "Test images, and what becomes of them",
    "codes.png": "The most used codes, each decoded from a grid of nothing else",
    "samples.png": "Samples by class",
}


def page_of(run: Run) -> Page:
    """What a complete run says of itself.

    Args:
        run: With results.json.

    Raises:
        InputError: No results, or a damaged file.
    """
    results = read_record(run.folder / "results.json")
    rows, meta = results["rows"], results["meta"]
    shown = [(text, run.folder / name) for name, text in _PICTURES.items() if (run.folder / name).exists()]
    tables = {"tables": score_tables(rows, meta["protocol"])}
    sections = [
        Section("pictures", "Pictures", "pictures.html", {"pictures": [_open(path, text) for text, path in shown]}),
        *curves(run.folder),
        Section("scores", "All scores", "scores.html", tables),
    ]
    return Page(f"GeoVQ run {run.folder.name}", _sentence(rows), _numbers(rows), [], sections, {})


def combine_pages(of_run: Page, of_images: Page, samples: Section, last: Section) -> Page:
    """The page of a run with what its tokens do to some images.

    Args:
        of_run: Of `page_of`.
        of_images: Of `geovq.cli.report.make_page`.
        samples: Of the Transformer.
        last: How it came about.
    """
    shown = {each.anchor: each for each in of_images.sections}
    latents, scores = shown.pop("latents"), shown.pop("scores")
    told = {
        each.anchor: each._replace(anchor=f"run-{each.anchor}", title=f"The run: {each.title.lower()}")
        for each in of_run.sections
    }
    run_scores = told.pop("scores")
    shown_scores = scores._replace(title=f"{scores.title}, of the images above")
    sections = [*shown.values(), *told.values(), samples, latents, run_scores, shown_scores, last]
    return of_run._replace(first=of_images.first, sections=sections, pictures=of_images.pictures, words=of_images.words)


def origin(run: Run) -> Section:
    """How the results came about, with all options."""
    meta = read_record(run.folder / "results.json")["meta"]
    facts = [(name, str(meta[name])) for name in ("schedule", "date", "machine", "device", "command")]
    versions = ", ".join(f"{name} {version}" for name, version in meta["versions"].items())
    notes = json.dumps(dataclasses.asdict(run.config), indent=2)
    content = {"facts": [*facts, ("versions", versions)], "notes": notes}
    return Section("origin", "How this run came about", "origin.html", content)


def score_tables(rows: Sequence[Mapping[str, Any]], protocol: Mapping[str, str]) -> list[ScoreTable]:
    """Reconstructions, rate and likelihood, with intervals.

    Args:
        rows: Of a results file.
        protocol: What each score means.
    """
    columns = [Score(heading, protocol[name], _BETTER.get(name)) for name, heading in _NAMES.items()]
    cases = [(_name(found), [_value(found.get(score)) for score in _NAMES]) for found in _cases(rows)]
    vae = {row["score"]: row for row in rows if row["case"] == "continuous"}
    bits = [
        ("KL of the posterior", [_value(vae["bits_per_token"])]),
        ("index of a code", [_value(vae["code_bits_per_token"])]),
    ]
    nats: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        if row["case"] == "likelihood":
            nats.setdefault(row["system"], {})[row["split"]] = row
    splits = ("validation", "test")
    likelihood = [(name, [_value(found.get(split)) for split in splits]) for name, found in nats.items()]
    meaning = protocol["nats_per_token"]
    return [
        ScoreTable(
            "Reconstruction of the test images, with 95% intervals; the best tokens are bold",
            "codes and assigner",
            columns,
            cases,
            [_CONTINUOUS],
        ),
        ScoreTable("Rate", "of a token", [Score("bits", protocol["bits_per_token"])], bits),
        ScoreTable(
            "Likelihood of the tokens, nats a token", "model", [Score(each, meaning) for each in splits], likelihood
        ),
    ]


def curves(folder: pathlib.Path) -> list[Section]:
    """Learning curves of every stage that has a log: a chart for each number that is validated; no section without a log."""
    drawn, best = [], []
    for log in sorted([*folder.glob("*/metrics.jsonl"), *folder.glob("*/*/metrics.jsonl")]):
        stage = log.parent.relative_to(folder).parts
        network = ", ".join([_STAGES.get(stage[0], stage[0]), *stage[1:]]).replace("-", " ")
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        validated = [name.removeprefix("val_") for name in (lines[0] if lines else {}) if name.startswith("val_")]
        for name in validated:
            found = [
                charts.Curve(split, [(line["epoch"], line[f"{split}_{name}"]) for line in lines])
                for split in ("train", "val")
                if f"{split}_{name}" in lines[0]
            ]
            words = name.replace("_", " ")
            drawn.append(charts.lines(f"{network}: {words}", found, "epoch", words))
            if name == "loss":
                lowest = min(lines, key=lambda line: line["val_loss"])
                best.append(f"{network}, after epoch {lowest['epoch']} of {lines[-1]['epoch']}")
    if not drawn:
        return []
    said = ["Means over the training images during each epoch (train), and over the validation images after it (val)."]
    if best:
        said.append(
            f"The validation loss was lowest: {'; '.join(best)}. Where that is the last epoch, longer training may "
            "help; where it is long before, it would not."
        )
    return [Section("curves", "Learning curves", "charts.html", {"paragraphs": said, "charts": drawn})]


def _cases(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows by codebook and assigner, the continuous VAE first: a row for each score."""
    cases: dict[tuple, dict[str, Any]] = {}
    for row in rows:
        if row["case"] in ("continuous", "quantized"):
            cases.setdefault((row.get("codebook"), row.get("assign")), {"first": row})[row["score"]] = row
    return list(cases.values())


def _name(case: Mapping[str, Any]) -> str:
    first = case["first"]
    return _CONTINUOUS if first["case"] == "continuous" else f"{first['codebook']}, {first['assign']}"


def _value(row: Mapping[str, Any] | None) -> Interval | float | None:
    """A row's value with its interval, if it has one."""
    if row is None:
        return None
    return row["value"] if row["low"] is None else Interval(row["value"], row["low"], row["high"])


def _best(rows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The continuous VAE, and the tokens of the highest PSNR."""
    vae, *quantized = _cases(rows)
    return vae, max(quantized, key=lambda case: case["psnr"]["value"])


def _nats(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Of the run's own Transformer on the test images."""
    return next(
        row for row in rows if row["case"] == "likelihood" and (row["system"], row["split"]) == ("ours", "test")
    )


def _sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    vae, best = _best(rows)
    first, quality, alone = best["first"], best["psnr"]["value"], vae["psnr"]["value"]
    return (
        f"The best tokens of this run, {first['codebook']} codes chosen by {first['assign']}, bring test images back with "
        f"{quality:.2f} dB; the VAE without tokens reaches {alone:.2f} dB. The Transformer needs {_nats(rows)['value']:.2f} nats "
        "for a token."
    )


def _numbers(rows: Sequence[Mapping[str, Any]]) -> list[Number]:
    vae, best = _best(rows)
    found = []
    for score, unit, form in (("psnr", " dB", ".2f"), ("lpips", "", ".3g")):
        value, alone = best[score], vae[score]["value"]
        said = f"95% interval {value['low']:{form}} to {value['high']:{form}}; VAE {alone:{form}}{unit}"
        found.append(Number(f"{value['value']:{form}}{unit}", _NAMES[score].split()[0], said))
    bits, nats = vae["code_bits_per_token"]["value"], _nats(rows)["value"]
    return [
        *found,
        Number(f"{bits:.3g}", "bits a token", f"KL of the VAE {vae['bits_per_token']['value']:.3g}"),
        Number(f"{nats:.2f}", "nats a token", f"of the Transformer on test images; uniform {bits * np.log(2):.2f}"),
    ]


def _open(path: pathlib.Path, text: str) -> Picture:
    with PIL.Image.open(path) as file:
        return picture(np.asarray(file.convert("RGB")), text)
