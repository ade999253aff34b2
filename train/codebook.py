"""Measures the latents of a trained VAE and builds the codebooks on them.

    python -m train.codebook --run runs/demo
    python -m train.codebook --run runs/quick --codebook.codes 1024

Needs RUN/vae. Writes RUN/codebook/geometry.npz (latents, metrics, graph) and one tokenizer file for each codebook, which
`geovq.tokenizer.Tokenizer.load` reads. What an interrupted run finished is not made again.
"""

import functools

from train.cli import NoExtra, parse, run_program
from train.run import Run


def run(run: Run) -> None:
    """Builds the run's codebooks, unless that is done."""
    from geovq.autoencoder import encode_images, single
    from geovq.checks import check_images
    from geovq.codebook import fit_codes
    from geovq.geometry import measure
    from geovq.store import stored_digest
    from geovq.tokenizer import Tokenizer, draw
    from geovq.vae import callables
    from train import stages
    from train.progress import Progress

    options = run.config.codebook
    data = stages.images(run.config.data)
    stage = run.begin("codebook", ("data", "vae", "codebook"), {"data": data.sha256, "vae": run.fingerprint("vae")})
    if stage is None:
        return
    encode, decode = callables(stages.trained_vae(run, data))
    images = check_images(data.dataset.train_images)
    latents = encode_images(encode, images)
    print(f"codebook: encoded {len(images):,} images", flush=True)
    grids = draw(latents, options.measured_images, options.seed)
    path = stage.folder / "geometry.npz"
    if not path.exists():
        with Progress("codebook: metrics", len(grids), "images") as progress:
            geometry = measure(
                single(decode), grids, neighbours=options.neighbours, components=options.components, progress=progress
            )
        stages.save_geometry(path, geometry)
        stage.pause()
    geometry = stages.load_geometry(path)
    print(f"codebook: graph of {len(geometry.nodes):,} nodes, {geometry.straight.nnz // 2:,} edges", flush=True)
    for name in options.codebooks:
        file = stage.folder / f"{name}.npz"
        if file.exists():
            continue
        codes = fit_codes(
            name,
            latents.reshape(-1, latents.shape[-1]),
            geometry,
            options.codes,
            seed=options.seed,
            progress=functools.partial(_say, name),
        )
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
    files = [path, *(stage.folder / f"{name}.npz" for name in options.codebooks)]
    stage.finish({f"codebook/{file.name}": stored_digest(file) for file in files})


def _say(codebook: str, iteration: int, cost: float) -> None:
    print(f"codebook: {codebook}, iteration {iteration}, cost {cost:.6g}", flush=True)


def main() -> None:
    """Runs the program."""
    run(parse(__doc__, ("data", "vae", "codebook"), NoExtra())[0])


if __name__ == "__main__":
    run_program(main)
