"""Trains the continuous VAE: images -> a grid of latents -> images.

On scikit-learn's digits, half a minute on two CPU cores:

    python -m train.vae --preset demo

On FashionMNIST, ten minutes; DIR holds the four official files, and without --data-dir tensorflow-datasets is asked:

    python -m train.vae --preset quick --data-dir DIR

Writes RUN/vae/checkpoints and RUN/vae/metrics.jsonl. Run it again to go on after an interruption.
"""

from train.cli import NoExtra, parse, run_program
from train.run import Run


def run(run: Run) -> None:
    """Trains the run's VAE, unless that is done."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from flax import nnx

    from geovq.chunks import map_chunks
    from geovq.vae import negative_elbo
    from train import loop, stages

    options = run.config.vae
    data = stages.images(run.config.data)
    train_images, val_images = data.dataset.train_images, data.dataset.val_images
    graphdef, params = nnx.split(stages.new_vae(run, train_images.shape[1:]))
    schedule = loop.Schedule.of(len(train_images), options)
    stage = run.begin("vae", ("data", "vae"), {"data": data.sha256})
    if stage is None:
        return

    def loss(params, key, batch):
        elbo = negative_elbo(nnx.merge(graphdef, params), scaled(batch), options.noise_variance, key)
        means = jax.tree.map(jnp.mean, elbo)
        # In units of intensity² rather than nats, gradients are of order one whatever β is.
        return means.nats * options.noise_variance, means._asdict()

    @jax.jit
    def score(params, batch):
        vae, batch = nnx.merge(graphdef, params), scaled(batch)
        elbo = negative_elbo(vae, batch, options.noise_variance, jax.random.key(options.seed))
        error = jnp.mean((vae.decode(vae.encode(batch)) - batch) ** 2, axis=(1, 2, 3))
        return elbo.nats, elbo.bits_per_token, -10 * jnp.log10(error)

    def validate(params):
        nats, bits, psnr = map_chunks(lambda batch: score(params, batch), val_images, chunk=500)
        return {"loss": np.mean(nats), "bits_per_token": np.mean(bits), "psnr": np.mean(psnr)}

    optimizer = loop.adamw(schedule, options.learning_rate, options.weight_decay)
    model = loop.Model(params, optimizer, loss, lambda indices: (train_images[indices],), validate)
    loop.train(stage.folder, "vae", model, schedule, stage.pause)
    stage.finish("vae/checkpoints")


def scaled(images):
    """Bytes as intensities in [0, 1]."""
    return images.astype("float32") / 255


def main() -> None:
    """Runs the program."""
    run(parse(__doc__, ("data", "vae"), NoExtra())[0])


if __name__ == "__main__":
    run_program(main)
