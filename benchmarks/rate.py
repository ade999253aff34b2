"""Does a VAE of a higher rate lose more when each of its tokens becomes one code?

    python -m benchmarks.rate --data-dir DIR

Fifteen minutes on two CPU cores. Trains FashionMNIST VAEs that differ in the noise variance β alone, for two epochs each, and
compares on the validation images, in dB: the VAE, the VAE with a sample of its posterior (what its KL bits pay for), and K = 512
k-means codes assigned by Euclidean and by whitened distance. Also says how unevenly the bits lie: tokens differ in KL, while each
code has the same 9 bits. Resumes in RUN/beta-*. Writes benchmarks/results/rate.json.
"""

import dataclasses
from typing import Any

from benchmarks.common.record import save
from train.config.options import Config
from train.run.command_line import NoExtra, parse, run_program
from train.run.folder import Run

NOISE_VARIANCES = (0.005, 0.011, 0.025, 0.06)
EPOCHS = 2
MEASURED_IMAGES = 200


def posterior(run: Run, images: Any) -> Any:
    """Images decoded from one sample of the posterior, and the KL bits of every token (n, h, w)."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from geovq.batching.chunks import map_chunks
    from train.stages import networks

    graphdef, params = nnx.split(networks.trained_vae(run, images.shape[1:]))

    @jax.jit
    def sampled(batch):
        model = nnx.merge(graphdef, params)
        mean, logvar = model.encoder.posteriors(batch)
        noise = jax.random.normal(jax.random.key(1), mean.shape)
        bits = 0.5 * jnp.sum(mean**2 + jnp.exp(logvar) - 1 - logvar, axis=-1) / jnp.log(2)
        return jnp.clip(model.decoder(mean + jnp.exp(logvar / 2) * noise), 0, 1), bits

    return map_chunks(sampled, images, chunk=500)


def scored(run: Run) -> list[dict[str, Any]]:
    """The rows of one VAE."""
    import numpy as np

    from geovq.assignment.nearest import assign_euclidean, assign_whitened
    from geovq.batching.run import DEFAULT_PLAN
    from geovq.decoder.adapters import single
    from geovq.decoder.autoencoder import decode_latents, encode_images
    from geovq.geometry.measured import draw
    from geovq.metric.batched import token_metrics
    from geovq.models.spatial_vae import callables
    from geovq.numerics.kmeans import POINTS, kmeans
    from geovq.scores.reconstruction import psnr
    from geovq.validation import check_images
    from train.evaluation.scoring import Row, row
    from train.stages import inputs as stages
    from train.stages import networks

    data = stages.images(run.config.data)
    images = check_images(data.dataset.val_images)
    encode, decode = callables(networks.trained_vae(run, images.shape[1:]))
    train_latents = encode_images(encode, check_images(data.dataset.train_images))
    latents = encode_images(encode, images)
    d = latents.shape[-1]
    k, seed = run.config.codebook.num_codes, run.config.codebook.seed
    sample = draw(train_latents.reshape(-1, d), POINTS, seed)
    codes, _ = kmeans(sample, k, root=np.eye(d, dtype=np.float32), seed=seed)
    metrics = token_metrics(single(decode), draw(train_latents, MEASURED_IMAGES, seed), plan=DEFAULT_PLAN)
    tokens = {
        "euclidean": assign_euclidean(latents.reshape(-1, d), codes),
        "whitened": assign_whitened(latents.reshape(-1, d), codes, metrics.reshape(-1, d, d).mean(axis=0)),
    }
    sampled, bits = posterior(run, images)
    fields: Row = {"case": "rate", "noise_variance": run.config.vae.noise_variance, "split": "validation"}
    rows = [
        row(fields, "bits_per_token", bits.mean(axis=(1, 2))),
        row(fields, "bits_per_token_std", float(bits.std()), bits.size),
        row(fields | {"system": "vae"}, "psnr", psnr(images, decode_latents(decode, latents))),
        row(fields | {"system": "vae, posterior sample"}, "psnr", psnr(images, sampled)),
    ]
    for assign, found in tokens.items():
        reconstructions = decode_latents(decode, codes[found].reshape(latents.shape))
        rows.append(
            row(
                fields | {"system": "ours", "codebook": "kmeans", "assign": assign},
                "psnr",
                psnr(images, reconstructions),
            )
        )
    return rows


def with_noise(config: Config, noise_variance: float) -> Config:
    """The same options but for β and the length of the training."""
    return dataclasses.replace(
        config, vae=dataclasses.replace(config.vae, bits=0, noise_variance=noise_variance, epochs=EPOCHS)
    )


def main() -> None:
    """Runs the benchmark."""
    asked, _ = parse(__doc__, ("data",), NoExtra(), bound=False)

    from train.evaluation.report import text_table
    from train.stages import vae

    rows: list[dict[str, Any]] = []
    for noise_variance in NOISE_VARIANCES:
        run = Run(asked.folder / f"beta-{noise_variance:g}", with_noise(asked.config, noise_variance))
        vae.run(run)
        rows += scored(run)
    cells = [[r["value"] for r in rows if r["noise_variance"] == beta] for beta in NOISE_VARIANCES]
    columns = ["β", "KL bits", "their std", "VAE dB", "posterior sample dB", "euclidean dB", "whitened dB"]
    print(text_table(columns, [[beta, *values] for beta, values in zip(NOISE_VARIANCES, cells, strict=True)]))
    config = asked.config
    seeds = {"split": config.data.split_seed, "vae": config.vae.seed, "codebook": config.codebook.seed}
    save("rate", rows, seeds, f"{EPOCHS} epochs")


if __name__ == "__main__":
    run_program(main)
