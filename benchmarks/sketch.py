"""How good are sketched metrics, and what do they cost `local` assignment?

    python -m benchmarks.sketch --run runs/quick --data-dir DIR

Half an hour on two CPU cores; the run needs its VAE and its k-means codes. For every number of probes and three seeds: the
relative Frobenius error of a token's metric, and the PSNR of `local` assignment on the test images, as a paired difference to
exact metrics. The random numbers of a seed are the same for all images. Writes benchmarks/results/sketch.json.
"""

from typing import Any

from benchmarks.common.record import save
from benchmarks.common.rows import Row
from train.run.command_line import NoExtra, parse, run_program

PROBES = (8, 16, 32, 64, 128)
SEEDS = (0, 1, 2)
BLOCK = 1000
CODEBOOK = "kmeans"


def main() -> None:
    """Runs the benchmark."""
    run, _ = parse(__doc__, ("data",), NoExtra(), needs=("vae", "codebook"), bound=False)

    import numpy as np

    from geovq.assignment.nearest import assign_euclidean, assign_local, assign_whitened
    from geovq.decoder.adapters import single
    from geovq.decoder.autoencoder import decode_latents, encode_images
    from geovq.metric.batched import token_metrics
    from geovq.models.spatial_vae import callables
    from geovq.scores.reconstruction import psnr
    from geovq.validation import check_images
    from train.evaluation.report import text_table
    from train.evaluation.scoring import row
    from train.loop.progress import Progress
    from train.stages import inputs as stages
    from train.stages import networks, tokenizers

    images = check_images(stages.images(run.config.data).dataset.test_images)
    encode, decode_batch = callables(networks.trained_vae(run, images.shape[1:]))
    decode, tokenizer = single(decode_batch), tokenizers.of_codebook(run, CODEBOOK, "whitened")
    codes, latents = tokenizer.codes, encode_images(encode, images)
    d = latents.shape[-1]

    def scored(tokens: np.ndarray, of: slice) -> np.ndarray:
        reconstructions = decode_latents(decode_batch, codes[tokens].reshape(latents[of].shape))
        return psnr(images[of], reconstructions)

    found: dict[Any, list[np.ndarray]] = {}
    errors: dict[Any, list[np.ndarray]] = {}
    with Progress("sketch", len(images), "images") as progress:
        for start in range(0, len(images), BLOCK):
            of = slice(start, start + BLOCK)
            z = latents[of].reshape(-1, d)
            exact = token_metrics(decode, latents[of]).reshape(-1, d, d)
            sizes = np.linalg.norm(exact, axis=(1, 2))
            found.setdefault("euclidean", []).append(scored(assign_euclidean(z, codes), of))
            found.setdefault("whitened", []).append(scored(assign_whitened(z, codes, tokenizer.mean_metric), of))
            found.setdefault("exact", []).append(scored(assign_local(z, codes, exact), of))
            for r in PROBES:
                for seed in SEEDS:
                    metrics = token_metrics(decode, latents[of], probes=r, seed=seed).reshape(-1, d, d)
                    found.setdefault((r, seed), []).append(scored(assign_local(z, codes, metrics), of))
                    relative = np.linalg.norm(metrics - exact, axis=(1, 2)) / np.maximum(sizes, 1e-12)
                    errors.setdefault(r, []).append(relative.reshape(len(images[of]), -1).mean(axis=1))
            progress(len(images[of]))
    scores = {name: np.concatenate(parts) for name, parts in found.items()}
    fields: Row = {"case": "local assignment", "codebook": CODEBOOK, "system": "ours", "decoder": "frozen"}
    rows = [row(fields | {"assign": name}, "psnr", scores[name]) for name in ("euclidean", "whitened")]
    rows.append(row(fields | {"assign": "local", "probes": None}, "psnr", scores["exact"]))
    for r in PROBES:
        over_seeds = np.mean([scores[r, seed] for seed in SEEDS], axis=0)
        case = fields | {"assign": "local", "probes": r}
        rows.append(row(case, "psnr", over_seeds))
        rows.append(row(case, "psnr_beyond_exact", over_seeds - scores["exact"]))
        rows.append(row(case, "relative_frobenius_error", np.concatenate(errors[r])))
    cells = [[r["assign"], r.get("probes"), r["score"], r["value"], r["low"], r["high"]] for r in rows]
    print(text_table(["assign", "probes", "score", "value", "low", "high"], cells))
    config = run.config
    seeds = {"vae": config.vae.seed, "codebook": config.codebook.seed, **{f"probes {seed}": seed for seed in SEEDS}}
    save("sketch", rows, seeds, f"{len(SEEDS)} seeds of the probes, one VAE")


if __name__ == "__main__":
    run_program(main)
