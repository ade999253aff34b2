"""The stage that measures the latents of a trained VAE and builds the codebooks on them."""

import time

from geovq.assignment.whitened import Whitened
from geovq.cli.progress import Progress
from geovq.codebook.fit import fit_codebook
from geovq.codebook.recipe import Recipe
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import encode_images
from geovq.geometry.measured import measure
from geovq.models.spatial_vae import callables
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import check_images
from train.run.folder import Run
from train.stages import inputs, networks

_SECONDS = 5.0


def run(run: Run) -> None:
    """Builds the run's codebooks, unless that is done."""
    options = run.config.codebook
    data = inputs.images(run.config.data)
    made_from = {"data": data.sha256, "vae": run.fingerprint("vae")}
    stage = run.begin("codebook", ("data", "vae", "codebook"), made_from)
    if stage is None:
        return
    encode, decode = callables(networks.trained_vae(run, data.dataset.train_images.shape[1:]))
    images = check_images(data.dataset.train_images)
    latents = encode_images(encode, images)
    print(f"codebook: encoded {len(images):,} images", flush=True)
    if not (run.folder / inputs.GEOMETRY).exists():
        with Progress("codebook: metrics", min(options.max_images, len(latents)), "images") as progress:
            geometry = measure(
                single(decode),
                latents,
                num_neighbours=options.num_neighbours,
                max_images=options.max_images,
                probes=options.probes or None,
                seed=options.seed,
                components=options.components,
                progress=progress,
            )
        inputs.save_geometry(run, geometry)
        stage.pause()
    geometry = inputs.load_geometry(run)
    print(
        f"codebook: graph of {len(geometry.nodes):,} nodes, {geometry.straight.nnz // 2:,} edges, {geometry.bridges:,} of them "
        f"bridges, {geometry.dropped:,} nodes dropped; recall of neighbours {geometry.recall:.4f}",
        flush=True,
    )
    for name in options.codebooks:
        file = stage.folder / f"{name}.npz"
        if file.exists():
            continue
        recipe = Recipe(name, options.num_codes, options.num_quantizers, options.composition, options.seed)
        lines = _Lines(name)
        found = fit_codebook(
            recipe, decode, images, latents, geometry, progress=lines.refining, medoid_progress=lines.searching
        )
        Tokenizer(encode, decode, found, assigner=Whitened(), image_shape=images.shape[1:]).save(file)
        stage.pause()
        print(f"codebook: {name}, {found.num_codes} codes -> {file}", flush=True)
    stage.finish(inputs.GEOMETRY, *(f"codebook/{name}.npz" for name in options.codebooks))


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
