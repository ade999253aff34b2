"""Trains the continuous VAE: images -> a grid of latents -> images.

On scikit-learn's digits, half a minute on two CPU cores:

    python -m train.vae --preset demo

On FashionMNIST, six minutes; DIR holds the four official files, and without --data-dir tensorflow-datasets is asked:

    python -m train.vae --preset quick --data-dir DIR

At another rate, held by a controller, for a codebook of K = 4096 (--bits 0 leaves β fixed at --vae.noise-variance):

    python -m train.vae --preset quick --data-dir DIR --run runs/12-bits --bits 12

Writes RUN/vae/checkpoints and RUN/vae/metrics.jsonl. Run it again to go on after an interruption.
"""

from train.run.command_line import NoExtra, parse, run_program
from train.run.folder import Run

_OFF_RATE = 10
"""Which epoch is the best: the least squared error, a missed bit costing so many times the first price of one."""


def run(run: Run) -> None:
    """Trains the run's VAE, unless that is done."""
    import math

    import jax
    import jax.numpy as jnp
    import numpy as np
    from flax import nnx

    from geovq.batching.chunks import map_chunks
    from geovq.models.rate import next_prices
    from geovq.models.spatial_vae import negative_elbo
    from train.loop import loop, steps
    from train.stages import inputs as stages
    from train.stages import networks

    options = run.config.vae
    data = stages.images(run.config.data)
    train_images, val_images = data.dataset.train_images, data.dataset.val_images
    graphdef, params = nnx.split(networks.new_vae(run, train_images.shape[1:]))
    schedule = steps.Schedule.of(len(train_images), options)
    stage = run.begin("vae", ("data", "vae"), {"data": data.sha256})
    if stage is None:
        return
    optimizer = steps.adamw(schedule, options.learning_rate, options.weight_decay)

    def costs(params, prices, key, batch):
        """What an image costs in units of intensity², of which gradients are of order one whatever β is; and the bound."""
        elbo = negative_elbo(nnx.merge(graphdef, params), scaled(batch), options.noise_variance, key)
        if not options.bits:
            return elbo.nats * options.noise_variance, elbo
        return elbo.squared_error / 2 + math.log(2) * jnp.sum(prices[None] * elbo.bits, axis=(1, 2)), elbo

    def mean_cost(params, prices, key, batch):
        cost, elbo = costs(params, prices, key, batch)
        return jnp.mean(cost), elbo

    def step(state, key, batch):
        gradients, elbo = jax.grad(mean_cost, has_aux=True)(state["params"], state["prices"], key, batch)
        means = {
            "nats": elbo.nats.mean(),
            "squared_error": elbo.squared_error.mean(),
            "bits_per_token": elbo.bits.mean(),
        }
        prices = next_prices(state["prices"], elbo.bits, options.bits) if options.bits else state["prices"]
        return steps.descended(optimizer, state, gradients) | {"prices": prices}, means

    @jax.jit
    def score(params, prices, batch):
        cost, elbo = costs(params, prices, jax.random.key(options.seed), batch)
        vae, batch = nnx.merge(graphdef, params), scaled(batch)
        error = jnp.mean((vae.decode(vae.encode(batch)) - batch) ** 2, axis=(1, 2, 3))
        return cost, elbo.squared_error, elbo.bits, -10 * jnp.log10(error)

    def validate(state):
        cost, squared_error, bits, psnr = map_chunks(
            lambda batch: score(state["params"], state["prices"], batch), val_images, chunk=500
        )
        loss, rate = np.mean(cost), {"bits_per_token": np.mean(bits), "bits_std": np.std(bits)}
        if options.bits:  # prices move, so that costs of different epochs cannot be compared
            missed = math.prod(options.grid) * np.abs(bits.mean() - options.bits)
            loss = np.mean(squared_error) / 2 + _OFF_RATE * options.noise_variance * math.log(2) * missed
        return {"loss": loss, **rate, "psnr": np.mean(psnr)}

    state = {
        "params": params,
        "optimizer": optimizer.init(params),
        "prices": jnp.full(options.grid, options.noise_variance),
    }
    loop.train(
        stage.folder,
        "vae",
        steps.Model(state, step, lambda rows: (train_images[rows],), validate),
        schedule,
        stage.pause,
    )
    stage.finish("vae/checkpoints")


def scaled(images):
    """Bytes as intensities in [0, 1]."""
    return images.astype("float32") / 255


def main() -> None:
    """Runs the program."""
    run(parse(__doc__, ("data", "vae"), NoExtra())[0])


if __name__ == "__main__":
    run_program(main)
