"""The stage that scores a run on the test images: codebooks with assigners, and the Transformer's likelihood."""

import numpy as np

from geovq.models.spatial_vae import callables
from geovq.storage.arrays import save_arrays
from geovq.storage.records import read_record, write_results
from train.evaluation import presentation, scoring
from train.evaluation.report import save_grid
from train.run import blocks
from train.run.folder import Run
from train.stages import inputs, networks, tokenizers


def run(run: Run) -> None:
    """Scores the run, unless that is done."""
    data = inputs.images(run.config.data)
    made_from = {"data": data.sha256, **{name: run.fingerprint(name) for name in ("vae", "codebook", "gpt")}}
    stage = run.begin("evaluate", ("data", "vae", "codebook", "gpt", "evaluate"), made_from)
    if stage is None:
        presentation.print_tables(read_record(run.folder / "results.json")["rows"])
        if not (run.folder / "report.html").exists():
            presentation.save_report(run)
        return
    vae = networks.trained_vae(run, data.dataset.train_images.shape[1:])
    test = scoring.measure_test_images(run, stage, data, *callables(vae))
    rows, reconstructions = scoring.score_continuous(run, vae, test)
    pictures = {"original": test.images[: scoring.SHOWN], "VAE": reconstructions}
    codes: dict[str, np.ndarray] = {}
    for codebook in run.config.codebook.codebooks:
        tokenizer = tokenizers.of_codebook(run, codebook, "whitened")
        path = f"evaluate/{codebook}.npz"
        if not (run.folder / path).exists():
            found, shown = scoring.score_codebook(run, tokenizer, codebook, test, data.dataset.train_images)
            save_arrays(run.folder / path, shown, {"rows": found})
            stage.pause()
        shown, meta = run.read("evaluate", path)
        rows += meta["rows"]
        pictures |= {f"{codebook} codes, {assigner}": images for assigner, images in shown.items()}
        codes[f"{codebook} codes"] = scoring.codes_as_images(tokenizer, test)
    rows += scoring.score_likelihood(run)
    write_results(run.folder / "results.json", scoring.meta(run), rows)
    save_grid(run.folder / "reconstructions.png", pictures)
    save_grid(run.folder / "codes.png", codes)
    presentation.print_tables(rows)
    stage.finish("results.json", "reconstructions.png", "codes.png")
    blocks.remove(stage.folder / "metrics")
    presentation.save_report(run)
