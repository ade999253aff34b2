"""Scores a run on the test images: every codebook with every assignment, and the Transformer's likelihood.

    python -m train.evaluate --run runs/demo

Needs RUN/vae, RUN/codebook and RUN/gpt. Writes RUN/results.json, RUN/reconstructions.png, RUN/codes.png and RUN/report.html,
and prints the table. All scores are means over the test images, with 95% bootstrap intervals in results.json.
"""

from train.run.command_line import NoExtra, parse, run_program
from train.run.folder import Run


def run(run: Run) -> None:
    """Scores the run, unless that is done."""
    import numpy as np

    from geovq.models.spatial_vae import callables
    from geovq.storage import read_json, save_arrays, write_results
    from train.evaluation import presentation, scoring
    from train.evaluation.report import save_grid
    from train.run import blocks
    from train.stages import inputs as stages
    from train.stages import networks, tokenizers

    data = stages.images(run.config.data)
    inputs = {"data": data.sha256, **{name: run.fingerprint(name) for name in ("vae", "codebook", "gpt")}}
    stage = run.begin("evaluate", ("data", "vae", "codebook", "gpt", "evaluate"), inputs)
    if stage is None:
        presentation.print_tables(read_json(run.folder / "results.json")["rows"])
        return
    vae = networks.trained_vae(run, data.dataset.train_images.shape[1:])
    test = scoring.tested(stage, data, *callables(vae))
    rows, reconstructions = scoring.continuous(run, vae, test)
    pictures = {"original": test.images[: scoring.SHOWN], "VAE": reconstructions}
    codes: dict[str, np.ndarray] = {}
    for codebook in run.config.codebook.codebooks:
        base = tokenizers.of_codebook(run, codebook, "whitened")
        path = f"evaluate/{codebook}.npz"
        if not (run.folder / path).exists():
            found, quantized = scoring.quantized(run, base, codebook, test, data.dataset.train_images)
            save_arrays(run.folder / path, quantized, {"rows": found})
            stage.pause()
        quantized, meta = run.read("evaluate", path)
        rows += meta["rows"]
        pictures |= {f"{codebook} codes, {assign}": shown for assign, shown in quantized.items()}
        codes[f"{codebook} codes"] = scoring.codes_as_images(base, test)
    rows += scoring.likelihood(run)
    write_results(run.folder / "results.json", scoring.meta(run), rows)
    save_grid(run.folder / "reconstructions.png", pictures)
    save_grid(run.folder / "codes.png", codes)
    presentation.print_tables(rows)
    stage.finish("results.json", "reconstructions.png", "codes.png")
    blocks.remove(stage.folder / "metrics")
    presentation.save_report(run)


def main() -> None:
    """Runs the program."""
    run(parse(__doc__, ("data", "evaluate"), NoExtra(), needs=("vae", "codebook", "gpt"))[0])


if __name__ == "__main__":
    run_program(main)
