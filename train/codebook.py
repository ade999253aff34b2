"""Measures the latents of a trained VAE and builds the codebooks on them.

    python -m train.codebook --run runs/demo
    python -m train.codebook --run runs/quick --codebook.codes 1024

Two codes for a token, of 1024 each, the second refining what the first leaves over:

    python -m train.codebook --run runs/two --codebook.codebooks whitened metric --codebook.stages 2 --codebook.codes 1024

Needs RUN/vae. Writes RUN/codebook/geometry.npz (latents, metrics, graph) and one tokenizer file for each codebook, which
`geovq.tokenizer.tokenizer.Tokenizer.load` reads. What an interrupted run finished is not made again.
"""

import time

from train.run.command_line import NoExtra, parse, run_program
from train.run.folder import Run

_SECONDS = 5.0


def run(run: Run) -> None:
    """Builds the run's codebooks, unless that is done."""
    from geovq.codebook.fit import Recipe, fit_codebook
    from geovq.decoder.adapters import single
    from geovq.decoder.autoencoder import encode_images
    from geovq.geometry.measured import measure
    from geovq.models.spatial_vae import callables
    from geovq.tokenizer.tokenizer import Tokenizer
    from geovq.validation import check_images
    from train.loop.progress import Progress
    from train.stages import inputs as stages
    from train.stages import networks

    options = run.config.codebook
    data = stages.images(run.config.data)
    inputs = {"data": data.sha256, "vae": run.fingerprint("vae")}
    stage = run.begin("codebook", ("data", "vae", "codebook"), inputs)
    if stage is None:
        return
    encode, decode = callables(networks.trained_vae(run, data.dataset.train_images.shape[1:]))
    images = check_images(data.dataset.train_images)
    latents = encode_images(encode, images)
    print(f"codebook: encoded {len(images):,} images", flush=True)
    if not (run.folder / stages.GEOMETRY).exists():
        with Progress("codebook: metrics", min(options.measured_images, len(latents)), "images") as progress:
            geometry = measure(
                single(decode),
                latents,
                num_neighbours=options.neighbours,
                max_images=options.measured_images,
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
    for name in options.codebooks:
        file = stage.folder / f"{name}.npz"
        if file.exists():
            continue
        recipe = Recipe(name, options.codes, options.stages, options.stacking, options.seed)
        lines = _Lines(name)
        found = fit_codebook(
            recipe, decode, images, latents, geometry, progress=lines.refining, medoid_progress=lines.searching
        )
        Tokenizer(encode, decode, found, assign="whitened", image_shape=images.shape[1:]).save(file)
        stage.pause()
        print(f"codebook: {name}, {found.codes.shape[-2]} codes -> {file}", flush=True)
    stage.finish(stages.GEOMETRY, *(f"codebook/{name}.npz" for name in options.codebooks))


class _Lines:
    """How far a codebook is: a line when something else begins, and every few seconds."""

    def __init__(self, codebook: str) -> None:
        self._codebook, self._phase, self._spoke, self._refined = codebook, "", 0.0, 0

    def searching(self, phase: str, done: int, cost: float) -> None:
        self._say(phase, f"{phase} {done:,}, cost {cost:.6g}")

    def refining(self, images: int) -> None:
        self._refined += images
        self._say("refining", f"refining, joint tokens of {self._refined:,} images")

    def _say(self, phase: str, text: str) -> None:
        if phase != self._phase or time.monotonic() - self._spoke > _SECONDS:
            self._phase, self._spoke = phase, time.monotonic()
            print(f"codebook: {self._codebook}, {text}", flush=True)


def main() -> None:
    """Runs the program."""
    run(parse(__doc__, ("data", "codebook"), NoExtra(), needs=("vae",))[0])


if __name__ == "__main__":
    run_program(main)
