"""The stage that trains a quantizer end to end with an encoder and a decoder like the VAE's: VQ-VAE or FSQ, for comparison."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PyTree, UInt8

from geovq.assignment.nearest_codes import nearest_codes
from geovq.batching.chunks import map_chunks
from geovq.models.fsq import bound, round_levels
from geovq.models.spatial_vae import SpatialVAE
from geovq.models.vq import MovingCodes, initial_codes, straight_through, update_codes
from train.config.options import BaselineOptions, VAEOptions
from train.data.intensities import to_intensities
from train.loop import loop
from train.loop.schedule import Schedule
from train.loop.task import Means, State, Task, apply_gradients
from train.run.folder import Run
from train.stages import inputs, networks

_COMMITMENT = 0.25
"""Weight of the squared distance between latents and codes (van den Oord et al. 2017); the images' error weighs 1 / variance."""


class _Passed(NamedTuple):
    """What the networks make of a batch."""

    latents: Float[Array, "n h w d"]
    tokens: Int[Array, " m"] | None
    """Of all m = n·h·w latents; None for FSQ."""
    decoded: Float[Array, "n H W C"]


class BaselineTask(Task):
    """A VQ-VAE, whose codes are moving averages, or FSQ, which has no codes to learn."""

    def __init__(
        self,
        network: SpatialVAE,
        images: UInt8[np.ndarray, "n H W C"],
        val_images: UInt8[np.ndarray, "m H W C"],
        options: BaselineOptions,
        training: VAEOptions,
        schedule: Schedule,
    ):
        """The task.

        Args:
            network: With its initial weights.
            images: Training images.
            val_images: Validation images.
            options: Which quantizer.
            training: How it is trained, as the VAE.
            schedule: How long.
        """
        self._graphdef, self._params = nnx.split(network)
        self._images, self._val_images, self._options = images, val_images, options
        self._latent_dim = network.config.latent_dim
        self._vq = options.system == "vqvae"
        self._optimizer = schedule.adamw(training)
        # The commitment then weighs the same whatever the images.
        self._variance = float(np.var(to_intensities(images[:1000])))
        self._scores = jax.jit(self._score_batch)

    def initial_state(self) -> State:
        """The network and the codes are "params"; moments are of the network alone."""
        codes = initial_codes(self._options.num_codes, self._latent_dim) if self._vq else ()
        return {
            "params": {"network": self._params, "codes": codes},
            "optimizer": self._optimizer.init(self._params),
        }

    def batch(self, indices: np.ndarray) -> tuple[Any, ...]:
        """The images."""
        return (self._images[indices],)

    def loss(
        self, network: PyTree, codes: MovingCodes | tuple[()], images: Float[Array, "n H W C"]
    ) -> tuple[Float[Array, ""], tuple[_Passed, Float[Array, ""]]]:
        """Squared error over the images' variance, and a VQ-VAE's commitment; also what the networks made, and the error."""
        passed = self._pass(network, codes, images)
        error = jnp.mean((passed.decoded - images) ** 2)
        if not isinstance(codes, MovingCodes):
            return error / self._variance, (passed, error)
        # Before the first batch there are no codes to be near to.
        started = (codes.counts.sum() > 0).astype(jnp.float32)
        commitment = jnp.mean((passed.latents.reshape(-1, self._latent_dim) - codes.codes[passed.tokens]) ** 2)
        return error / self._variance + started * _COMMITMENT * commitment, (passed, error)

    def step(self, state: State, key: jax.Array, *batch: Any) -> tuple[State, Means]:
        """A step of the network along the gradient, and of a VQ-VAE's codes towards their latents."""
        network, codes = state["params"]["network"], state["params"]["codes"]
        images = to_intensities(*batch)
        gradients, (passed, error) = jax.grad(self.loss, has_aux=True)(network, codes, images)
        found = apply_gradients(self._optimizer, {"params": network, "optimizer": state["optimizer"]}, gradients)
        if passed.tokens is not None:
            codes = update_codes(codes, passed.latents.reshape(-1, self._latent_dim), passed.tokens, key)
        params = {"network": found["params"], "codes": codes}
        return {"params": params, "optimizer": found["optimizer"]}, {"squared_error": error * images[0].size}

    def validate(self, state: State) -> Mapping[str, float]:
        """Squared error and PSNR of the validation images."""
        error, psnr = map_chunks(lambda batch: self._scores(state["params"], batch), self._val_images, chunk=500)
        return {"loss": float(np.mean(error)), "psnr": float(np.mean(psnr))}

    def _pass(self, network: PyTree, codes: MovingCodes | tuple[()], images: Float[Array, "n H W C"]) -> _Passed:
        """Images through encoder, quantizer and decoder."""
        vae = nnx.merge(self._graphdef, network)
        latents, levels = vae.encoder(images), self._options.levels
        if not isinstance(codes, MovingCodes):
            return _Passed(latents, None, vae.decoder(round_levels(bound(latents, levels), levels)))
        tokens = nearest_codes(latents.reshape(-1, self._latent_dim), codes.codes)
        quantized = straight_through(latents, codes.codes[tokens].reshape(latents.shape))
        return _Passed(latents, tokens, vae.decoder(quantized))

    def _score_batch(
        self, params: PyTree, batch: UInt8[Array, "n H W C"]
    ) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        images = to_intensities(batch)
        decoded = self._pass(params["network"], params["codes"], images).decoded
        error = jnp.mean((jnp.clip(decoded, 0, 1) - images) ** 2, axis=(1, 2, 3))
        return error, -10 * jnp.log10(error)


def run(run: Run) -> None:
    """Trains the run's baseline, unless that is done."""
    data = inputs.images(run.config.data)
    dataset, options, training = data.dataset, run.config.baseline, run.config.vae
    network = networks.new_baseline(run, dataset.train_images.shape[1:])
    schedule = Schedule.of(len(dataset.train_images), training)
    stage = run.begin("baseline", ("data", "vae", "baseline"), {"data": data.sha256})
    if stage is None:
        return
    task = BaselineTask(network, dataset.train_images, dataset.val_images, options, training, schedule)
    loop.train(stage.folder, options.system, task, schedule, stage.pause)
    stage.finish("baseline/checkpoints")
