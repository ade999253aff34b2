"""Trains a quantizer end to end with an encoder and a decoder like the VAE's: VQ-VAE or FSQ, for comparison.

On scikit-learn's digits, half a minute on two CPU cores:

    python -m train.baseline --preset demo --baseline.system vqvae

On FashionMNIST, with the networks, the batches and the schedule of the VAE, six minutes:

    python -m train.baseline --preset quick --data-dir DIR --baseline.system vqvae
    python -m train.baseline --preset quick --data-dir DIR --baseline.system fsq --run runs/fsq

Writes RUN/baseline/checkpoints and RUN/baseline/metrics.jsonl. Run it again to go on after an interruption.
`train.stages.tokenizers.load_baseline` gives its tokenizer, with any of our assignments.
"""

from train.run.command_line import NoExtra, parse, run_program
from train.run.folder import Run


def run(run: Run) -> None:
    """Trains the run's baseline, unless that is done."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from flax import nnx
    from geovq.models.quantizers import bounded, moved, new_codes, rounded, straight_through

    from geovq.assignment.nearest import nearest_codes
    from geovq.batching.chunks import map_chunks
    from train.loop import loop, steps
    from train.stages import inputs as stages
    from train.stages import networks
    from train.vae import scaled

    options, vae_options = run.config.baseline, run.config.vae
    data = stages.images(run.config.data)
    train_images, val_images = data.dataset.train_images, data.dataset.val_images
    model = networks.new_baseline(run, train_images.shape[1:])
    graphdef, network = nnx.split(model)
    schedule = steps.Schedule.of(len(train_images), vae_options)
    stage = run.begin("baseline", ("data", "vae", "baseline"), {"data": data.sha256})
    if stage is None:
        return
    optimizer = steps.adamw(schedule, vae_options.learning_rate, vae_options.weight_decay)
    d = model.config.latent_dim
    variance = float(np.var(scaled(train_images[:1000])))  # so that the commitment weighs the same whatever the images
    vq = options.system == "vqvae"

    def forward(network, codes, images):
        """Latents, tokens (none for FSQ), and images of the quantized latents."""
        vae = nnx.merge(graphdef, network)
        latents = vae.encode(images)
        if not vq:
            return latents, None, vae.decode(rounded(bounded(latents, options.levels), options.levels))
        tokens = nearest_codes(latents.reshape(-1, d), codes.codes)
        quantized = straight_through(latents, codes.codes[tokens].reshape(latents.shape))
        return latents, tokens, vae.decode(quantized)

    def loss(network, codes, started, images):
        latents, tokens, decoded = forward(network, codes, images)
        error = jnp.mean((decoded - images) ** 2)
        if not vq:
            return error / variance, (latents, tokens, error)
        commitment = jnp.mean((latents.reshape(-1, d) - codes.codes[tokens]) ** 2)
        return error / variance + started * options.commitment * commitment, (latents, tokens, error)

    def step(state, key, batch):
        params, images = state["params"], scaled(batch)
        # Before the first batch there are no codes to be near to.
        started = (params["codes"].counts.sum() > 0).astype(jnp.float32) if vq else 1.0
        gradients, (latents, tokens, error) = jax.grad(loss, has_aux=True)(
            params["network"], params["codes"], started, images
        )
        found = steps.descended(optimizer, {"params": params["network"], "optimizer": state["optimizer"]}, gradients)
        codes = moved(params["codes"], latents.reshape(-1, d), tokens, key) if vq else params["codes"]
        next_params = {"network": found["params"], "codes": codes}
        return {"params": next_params, "optimizer": found["optimizer"]}, {"squared_error": error * images[0].size}

    @jax.jit
    def score(params, batch):
        images = scaled(batch)
        _, _, decoded = forward(params["network"], params["codes"], images)
        error = jnp.mean((jnp.clip(decoded, 0, 1) - images) ** 2, axis=(1, 2, 3))
        return error, -10 * jnp.log10(error)

    def validate(state):
        error, psnr = map_chunks(lambda batch: score(state["params"], batch), val_images, chunk=500)
        return {"loss": np.mean(error), "psnr": np.mean(psnr)}

    params = {"network": network, "codes": new_codes(options.codes, d) if vq else ()}
    state = {"params": params, "optimizer": optimizer.init(network)}
    trained = steps.Model(state, step, lambda rows: (train_images[rows],), validate)
    loop.train(stage.folder, options.system, trained, schedule, stage.pause)
    stage.finish("baseline/checkpoints")


def main() -> None:
    """Runs the program."""
    run(parse(__doc__, ("data", "vae", "baseline"), NoExtra())[0])


if __name__ == "__main__":
    run_program(main)
