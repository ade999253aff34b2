"""The stage that samples images of every class from the Transformer: RUN/samples.png."""

import dataclasses

from geovq.storage.arrays import save_arrays
from train.config.options import needed_for_samples, token_sections
from train.evaluation import presentation
from train.evaluation.report import save_grid
from train.run.folder import Run
from train.stages.sampling import draw


def run(run: Run) -> None:
    """Samples images of every class, unless that is done."""
    made_from = {name: run.fingerprint(name) for name in needed_for_samples(run.config)}
    stage = run.begin("sample", (*token_sections(run.config), "gpt", "sample"), made_from)
    if stage is None:
        return
    tokens, rows = draw(run)
    save_arrays(stage.folder / "tokens.npz", {"tokens": tokens}, dataclasses.asdict(run.config.sample))
    print(f"sample: {len(tokens):,} images -> {save_grid(run.folder / 'samples.png', rows)}", flush=True)
    stage.finish("sample/tokens.npz", "samples.png")
    if (run.folder / "results.json").exists():
        presentation.save_report(run)
