"""A run's results as a person reads them: tables on the terminal, and one page with the pictures."""

import dataclasses
import json
from typing import Any

from geovq.storage import read_record
from train.evaluation.report import save_page, text_table
from train.run.folder import Run

RECONSTRUCTION_COLUMNS = {
    "codebook": "codebook",
    "assign": "assign",
    "psnr": "PSNR dB",
    "ssim": "SSIM",
    "lpips": "LPIPS alex-64",
    "usage": "usage",
    "perplexity": "perplexity",
    "latent_error": "latent²",
    "metric_error": "ΔᵀGΔ",
    "geodesic_error": "geodesic",
}
PICTURES = {
    "reconstructions.png": "Reconstructions of test images",
    "codes.png": "The most used codes, each decoded from a grid of nothing else",
    "samples.png": "Samples by class",
}
Tables = dict[str, tuple[list[str], list[list[object]]]]


def tables(rows: list[dict[str, Any]]) -> Tables:
    """Headings and cells by caption.

    Args:
        rows: Of a results file.
    """
    cases: dict[tuple, dict] = {}
    for row in rows:
        if row["case"] in ("continuous", "quantized"):
            case = cases.setdefault((row.get("codebook"), row.get("assign")), {"codebook": "(continuous VAE)", **row})
            case[row["score"]] = row["value"]
    quality = [[case.get(name) for name in RECONSTRUCTION_COLUMNS] for case in cases.values()]
    vae = {row["score"]: row["value"] for row in rows if row["case"] == "continuous"}
    rate = [["KL of the posterior", vae["bits_per_token"]], ["index of a code", vae["code_bits_per_token"]]]
    nats: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["case"] == "likelihood":
            nats.setdefault(row["system"], {})[row["split"]] = row["value"]
    likelihood = [[system, by_split["validation"], by_split["test"]] for system, by_split in nats.items()]
    return {
        "Reconstruction of the test images": (list(RECONSTRUCTION_COLUMNS.values()), quality),
        "Rate": (["of a token", "bits"], rate),
        "Likelihood of the tokens, nats per token": (["model", "validation", "test"], likelihood),
    }


def print_tables(rows: list[dict[str, Any]]) -> None:
    """Prints the results."""
    for caption, (columns, cells) in tables(rows).items():
        print(f"\n{caption}\n{text_table(columns, cells)}", flush=True)


def save_report(run: Run) -> None:
    """Puts what the run has by now, results and pictures, on one page: report.html.

    Raises:
        InputError: The file cannot be written.
    """
    pictures = {text: run.folder / name for name, text in PICTURES.items() if (run.folder / name).exists()}
    results = read_record(run.folder / "results.json")
    meta = results["meta"]
    made = [[name, str(meta[name])] for name in ("schedule", "date", "machine", "device", "command")]
    legend = {"What the scores are": (["score", "meaning"], [[name, text] for name, text in meta["protocol"].items()])}
    found = tables(results["rows"]) | legend | {"How they came about": (["", ""], made)}
    options = json.dumps(dataclasses.asdict(run.config), indent=2)
    save_page(run.folder / "report.html", f"GeoVQ run {run.folder.name}", found, pictures, options)
    print(
        f"\nresults: {run.folder}/results.json, report.html, {', '.join(path.name for path in pictures.values())}",
        flush=True,
    )
