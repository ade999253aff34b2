"""The stage that trains the continuous VAE: images -> a grid of latents -> images."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PyTree, UInt8

from geovq.batching.chunks import map_chunks
from geovq.models.rate import update_multipliers
from geovq.models.spatial_vae import Elbo, SpatialVAE, negative_elbo
from train.config.options import VAEOptions
from train.data.intensities import to_intensities
from train.loop import loop
from train.loop.schedule import Schedule
from train.loop.task import Means, State, Task, apply_gradients
from train.run.folder import Run
from train.stages import inputs, networks

_OFF_RATE = 10
"""The best epoch has the least squared error, where a missed bit costs so many times the first multiplier."""


SCORED = 500
"""Images that are scored at once, with the same noise for every such batch."""


def latent_shape(options: VAEOptions) -> tuple[int, int, int]:
    """(h, w, d)."""
    return (*options.grid, options.latent_dim)


def posterior_noise(options: VAEOptions, n: int) -> Float[np.ndarray, "n h w d"]:
    """What places the samples of scored images in their posteriors: the same in every epoch, so that epochs compare."""
    key, shape = jax.random.key(options.seed), latent_shape(options)
    sizes = [min(SCORED, n - start) for start in range(0, n, SCORED)]
    return np.concatenate([jax.random.normal(key, (size, *shape)) for size in sizes])


class VAETask(Task):
    """A VAE with a fixed β, or held at a rate by a multiplier of the bits at each position of the grid."""

    def __init__(
        self,
        vae: SpatialVAE,
        images: UInt8[np.ndarray, "n H W C"],
        val_images: UInt8[np.ndarray, "m H W C"],
        options: VAEOptions,
        schedule: Schedule,
    ):
        """The task.

        Args:
            vae: With its initial weights.
            images: Training images.
            val_images: Validation images.
            options: How it is trained; at a rate if they ask for bits.
            schedule: How long.
        """
        self._graphdef, self._params = nnx.split(vae)
        self._images, self._val_images, self._options = images, val_images, options
        self._optimizer = schedule.adamw(options)
        self._scores = jax.jit(self._score_batch)

    def initial_state(self) -> State:
        """Parameters, moments, and a multiplier of the bits at each position."""
        return {
            "params": self._params,
            "optimizer": self._optimizer.init(self._params),
            "multipliers": jnp.full(self._options.grid, self._options.noise_variance, jnp.float32),
        }

    def batch(self, indices: np.ndarray) -> tuple[Any, ...]:
        """The images."""
        return (self._images[indices],)

    def loss(
        self,
        params: PyTree,
        multipliers: Float[Array, "h w"],
        noise: Float[Array, "n h w d"],
        images: UInt8[Array, "n H W C"],
    ) -> tuple[Float[Array, " n"], Elbo]:
        """Cost of each image in intensity², whose gradients are of order one whatever β is; and the bound."""
        elbo = negative_elbo(
            nnx.merge(self._graphdef, params), to_intensities(images), self._options.noise_variance, noise
        )
        if not self._options.bits:
            return elbo.nats * self._options.noise_variance, elbo
        rate = math.log(2) * jnp.sum(multipliers[None] * elbo.bits, axis=(1, 2))
        return elbo.squared_error / 2 + rate, elbo

    def step(self, state: State, key: jax.Array, *batch: Any) -> tuple[State, Means]:
        """A step along the gradient; then the multipliers answer to the rate of the batch."""

        noise = jax.random.normal(key, (len(batch[0]), *latent_shape(self._options)))

        def mean_loss(params: PyTree) -> tuple[jax.Array, Elbo]:
            costs, elbo = self.loss(params, state["multipliers"], noise, *batch)
            return costs.mean(), elbo

        gradients, elbo = jax.grad(mean_loss, has_aux=True)(state["params"])
        means = {
            "nats": elbo.nats.mean(),
            "squared_error": elbo.squared_error.mean(),
            "bits_per_token": elbo.bits.mean(),
        }
        multipliers = state["multipliers"]
        if self._options.bits:
            multipliers = update_multipliers(multipliers, elbo.bits, self._options.bits)
        return apply_gradients(self._optimizer, state, gradients) | {"multipliers": multipliers}, means

    def validate(self, state: State) -> Mapping[str, float]:
        """Loss, rate and PSNR of the validation images."""
        options = self._options
        costs, squared_error, bits, psnr = map_chunks(
            lambda *batch: self._scores(state["params"], state["multipliers"], *batch),
            posterior_noise(options, len(self._val_images)),
            self._val_images,
            chunk=SCORED,
        )
        loss = float(np.mean(costs))
        if options.bits:  # multipliers change, so that costs of different epochs cannot be compared
            missed = math.prod(options.grid) * np.abs(bits.mean() - options.bits)
            loss = float(np.mean(squared_error) / 2 + _OFF_RATE * options.noise_variance * math.log(2) * missed)
        rate = {"bits_per_token": float(np.mean(bits)), "bits_std": float(np.std(bits))}
        return {"loss": loss, **rate, "psnr": float(np.mean(psnr))}

    def _score_batch(
        self,
        params: PyTree,
        multipliers: Float[Array, "h w"],
        noise: Float[Array, "n h w d"],
        batch: UInt8[Array, "n H W C"],
    ) -> tuple[Float[Array, " n"], Float[Array, " n"], Float[Array, "n h w"], Float[Array, " n"]]:
        costs, elbo = self.loss(params, multipliers, noise, batch)
        vae, images = nnx.merge(self._graphdef, params), to_intensities(batch)
        error = jnp.mean((vae.decoder(vae.encoder(images)) - images) ** 2, axis=(1, 2, 3))
        return costs, elbo.squared_error, elbo.bits, -10 * jnp.log10(error)


def run(run: Run) -> None:
    """Trains the run's VAE, unless that is done."""
    data = inputs.images(run.config.data)
    dataset, options = data.dataset, run.config.vae
    vae = networks.new_vae(run, dataset.train_images.shape[1:])
    schedule = Schedule.of(len(dataset.train_images), options)
    stage = run.begin("vae", ("data", "vae"), {"data": data.sha256})
    if stage is None:
        return
    task = VAETask(vae, dataset.train_images, dataset.val_images, options, schedule)
    loop.train(stage.folder, "vae", task, schedule, stage.pause)
    stage.finish("vae/checkpoints")
