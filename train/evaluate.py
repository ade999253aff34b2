"""Scores a run on the test images: every codebook with every assignment, and the Transformer's likelihood.

    python -m train.evaluate --run runs/demo

Needs RUN/vae, RUN/codebook and RUN/gpt. Writes RUN/results.json, RUN/reconstructions.png, RUN/codes.png and RUN/report.html,
and prints the table. All scores are means over the test images, with 95% bootstrap intervals in results.json.
"""

import dataclasses
import json

from train.cli import NoExtra, parse, run_program
from train.run import Run

RECONSTRUCTION_COLUMNS = {
    "codebook": "codebook",
    "assign": "assign",
    "psnr": "PSNR dB",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "usage": "usage",
    "perplexity": "perplexity",
    "latent_error": "latent²",
    "metric_error": "ΔᵀGΔ",
    "geodesic_error": "geodesic",
}


def run(run: Run) -> None:
    """Scores the run, unless that is done."""
    from geovq.autoencoder import encode_images
    from geovq.checks import check_images
    from geovq.store import digest, read_json, write_json
    from geovq.vae import callables
    from train import scoring, stages

    data = stages.images(run.config.data)
    inputs = {"data": data.sha256, **{name: run.fingerprint(name) for name in ("vae", "codebook", "gpt")}}
    stage = run.begin("evaluate", ("data", "vae", "codebook", "gpt", "evaluate"), inputs)
    if stage is None:
        print_tables(read_json(run.folder / "results.json")["rows"])
        return
    images = check_images(data.dataset.test_images)
    encode, decode = callables(stages.trained_vae(run, data))
    latents = encode_images(encode, images)
    metrics = scoring.test_metrics(stage, decode, latents)
    rows, reconstructions = scoring.continuous(run, data, images, latents, decode)
    pictures = {"original": images[: scoring.SHOWN], "VAE": reconstructions[: scoring.SHOWN]}
    for codebook in run.config.codebook.codebooks:
        found, quantized = scoring.quantized(run, data, codebook, images, latents, metrics)
        rows += found
        pictures |= {f"{codebook}, {assign}": reconstructed for assign, reconstructed in quantized.items()}
    rows += scoring.likelihood(run, data)
    meta = scoring.meta(run)
    write_json(run.folder / "results.json", {"meta": meta, "rows": rows})
    show(run, rows, pictures, scoring.codes_as_images(run, data))
    stage.finish({"results.json": digest({}, {"rows": rows})})


def show(run: Run, rows: list[dict], reconstructions: dict, codes: dict) -> None:
    """Prints the tables, and saves the pictures and the page."""
    from geovq.report import save_grid, save_page

    grids = {
        "Reconstructions of test images": save_grid(run.folder / "reconstructions.png", reconstructions),
        "The most used codes, each decoded from a grid of nothing else": save_grid(run.folder / "codes.png", codes),
    }
    samples = run.folder / "samples.png"
    if samples.exists():
        grids["Samples by class"] = samples
    print_tables(rows)
    print(f"\nresults: {run.folder}/results.json, report.html, {', '.join(p.name for p in grids.values())}", flush=True)
    options = json.dumps(dataclasses.asdict(run.config), indent=2)
    save_page(run.folder / "report.html", f"GeoVQ run {run.folder.name}", tables(rows), grids, options)


def print_tables(rows: list[dict]) -> None:
    """Prints the results as tables."""
    from geovq.report import text_table

    for caption, (columns, cells) in tables(rows).items():
        print(f"\n{caption}\n{text_table(columns, cells)}", flush=True)


def tables(rows: list[dict]) -> dict[str, tuple[list[str], list[list[object]]]]:
    """Headings and cells by caption."""
    cases: dict[tuple, dict] = {}
    for row in rows:
        if row["case"] == "likelihood":
            continue
        case = cases.setdefault((row.get("codebook"), row.get("assign")), {"codebook": "(continuous VAE)", **row})
        case[row["score"]] = row["value"]
    quality = [[case.get(name) for name in RECONSTRUCTION_COLUMNS] for case in cases.values()]
    nats = [[row["system"], row["value"]] for row in rows if row["score"] == "nats_per_token"]
    vae = {row["score"]: row["value"] for row in rows if row["system"] == "vae"}
    rate = [["KL of the posterior", vae["bits_per_token"]], ["index of a code", vae["code_bits_per_token"]]]
    return {
        "Reconstruction of the test images": (list(RECONSTRUCTION_COLUMNS.values()), quality),
        "Rate": (["of a token", "bits"], rate),
        "Likelihood of the test tokens": (["model", "nats per token"], nats),
    }


def main() -> None:
    """Runs the program."""
    run(parse(__doc__, ("data", "vae", "codebook", "gpt", "evaluate"), NoExtra())[0])


if __name__ == "__main__":
    run_program(main)
