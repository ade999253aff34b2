"""A run's results as a person reads them: tables on the terminal, and one page with the pictures."""

from typing import Any

from geovq.cli.page.render import render
from geovq.storage.files import write_bytes
from train.evaluation.page import origin, page_of
from train.evaluation.report import text_table
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
    page = page_of(run)
    write_bytes(run.folder / "report.html", render(page._replace(sections=[*page.sections, origin(run)])).encode())
    print(f"\nresults: {run.folder}/results.json, report.html", flush=True)
