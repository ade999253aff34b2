"""Measures the latents of a trained VAE and builds the codebooks on them.

    python -m train.codebook --run runs/demo
    python -m train.codebook --run runs/quick --codebook.codes 1024

Needs RUN/vae. Writes RUN/codebook/geometry.npz (latents, metrics, graph) and one tokenizer file for each codebook, which
`geovq.tokenizer.Tokenizer.load` reads. What an interrupted run finished is not made again.
"""

import time

from train.cli import NoExtra, parse, run_program
from train.run import Run

_SECONDS = 5.0


def run(run: Run) -> None:
    """Builds the run's codebooks, unless that is done."""
    from geovq.autoencoder import encode_images
    from geovq.checks import check_images
    from geovq.codebook import fit_codes
    from geovq.decoders import single
    from geovq.geometry import measure
    from geovq.tokenizer import Tokenizer
    from geovq.vae import callables
    from train import stages
    from train.progress import Progress

    options = run.config.codebook
    data = stages.images(run.config.data)
    inputs = {"data": data.sha256, "vae": run.fingerprint("vae")}
    stage = run.begin("codebook", ("data", "vae", "codebook"), inputs)
    if stage is None:
        return
    encode, decode = callables(stages.trained_vae(run, data.dataset.train_images.shape[1:]))
    images = check_images(data.dataset.train_images)
    latents = encode_images(encode, images)
    print(f"codebook: encoded {len(images):,} images", flush=True)
    if not (run.folder / stages.GEOMETRY).exists():
        with Progress("codebook: metrics", min(options.measured_images, len(latents)), "images") as progress:
            geometry = measure(
                single(decode),
                latents,
                neighbours=options.neighbours,
                at_most=options.measured_images,
                probes=options.probes or None,
                seed=options.seed,
                components=options.components,
                progress=progress,
            )
        stages.save_geometry(run, geometry)
        stage.pause()
    geometry = stages.load_geometry(run)
    print(
        f"codebook: graph of {len(geometry.nodes):,} nodes, {geometry.straight.nnz // 2:,} edges, {geometry.bridges:,} of them "
        f"bridges, {geometry.dropped:,} nodes dropped; recall of neighbours {geometry.recall:.4f}",
        flush=True,
    )
    tokens = latents.reshape(-1, latents.shape[-1])
    for name in options.codebooks:
        file = stage.folder / f"{name}.npz"
        if file.exists():
            continue
        codes = fit_codes(name, tokens, geometry, options.codes, seed=options.seed, progress=_Lines(name))
        Tokenizer(
            encode,
            decode,
            codes,
            geometry.mean_metric,
            assign="whitened",
            grid=latents.shape[1:3],
            image_shape=images.shape[1:],
        ).save(file)
        stage.pause()
        print(f"codebook: {name}, {len(codes)} codes -> {file}", flush=True)
    stage.finish(stages.GEOMETRY, *(f"codebook/{name}.npz" for name in options.codebooks))


class _Lines:
    """How far the search for medoids is: a line when something else begins, and every few seconds."""

    def __init__(self, codebook: str) -> None:
        self._codebook, self._phase, self._spoke = codebook, "", 0.0

    def __call__(self, phase: str, done: int, cost: float) -> None:
        if phase != self._phase or time.monotonic() - self._spoke > _SECONDS:
            self._phase, self._spoke = phase, time.monotonic()
            print(f"codebook: {self._codebook}, {phase} {done:,}, cost {cost:.6g}", flush=True)


def main() -> None:
    """Runs the program."""
    run(parse(__doc__, ("data", "codebook"), NoExtra(), needs=("vae",))[0])


if __name__ == "__main__":
    run_program(main)
