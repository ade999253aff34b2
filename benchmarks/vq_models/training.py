"""Training of a model with vector-quantized latents: resumable, and equal to the bit however often it was interrupted."""

import functools
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from benchmarks.common.photographs import Photograph, draw_batch
from benchmarks.vq_models.networks import Networks, quantize
from benchmarks.vq_models.schedules import Model
from geovq.decoder.adapters import from_nnx
from geovq.models.vq import MovingCodes, initial_codes, straight_through, update_codes
from geovq.storage.arrays import load_arrays, save_arrays

_SAVED_EVERY = 100
"""Steps."""

_RATE = 1e-3

_COMMITMENT = 0.25
"""Weight of the latents' distance from their codes (van den Oord et al. 2017)."""

_VARIANCE = 0.06
"""Of a pixel of photographs, intensity²: the unit of the image's error in the loss."""


class Trained(NamedTuple):
    """A trained model as a person has it."""

    encode: Callable
    decode: Callable
    codes: np.ndarray
    """(S, K, d)."""
    seconds: float
    """That training took."""


def train(model: Model, photographs: Sequence[Photograph], folder: pathlib.Path, *, seed: int) -> Trained:
    """The trained model out of the folder, after the steps that are missing."""
    path = folder / f"{model.name}-{seed}.npz"
    networks = Networks(model, rngs=nnx.Rngs(seed))
    graphdef, params = nnx.split(networks, nnx.Param)
    optimizer = optax.adam(optax.warmup_cosine_decay_schedule(0, _RATE, model.steps // 20, model.steps))
    moving = [initial_codes(model.num_codes, model.d)] * model.num_quantizers
    state = params, optimizer.init(params), jax.tree.map(lambda *each: jnp.stack(each), *moving)
    made_from = {"model": list(model), "seed": seed}
    state, done, seconds = _restore(path, state, made_from)
    step = _compile(graphdef, optimizer)
    started = time.perf_counter()
    while done < model.steps:
        crops = draw_batch(photographs, model.crop, model.batch, seed, done)
        state, error = step(state, crops, jax.random.fold_in(jax.random.key(seed), done))
        done += 1
        if done % _SAVED_EVERY == 0 or done == model.steps:
            psnr = -10 * np.log10(float(error))
            spent = seconds + time.perf_counter() - started
            print(f"{model.name}: step {done} of {model.steps}, {psnr:.2f} dB, {spent:.0f} s", flush=True)
            leaves = {str(i): np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
            save_arrays(path, leaves, made_from | {"done": done, "seconds": spent})
            if done == model.steps:
                seconds = spent
    trained = nnx.merge(graphdef, state[0])
    return Trained(from_nnx(trained.encoder), from_nnx(trained.decoder), np.asarray(state[2].codes), seconds)


def _restore(path: pathlib.Path, initial: Any, made_from: dict[str, Any]) -> tuple[Any, int, float]:
    """State, steps and seconds of a training that was interrupted; the initial state where there is none like it."""
    if path.exists():
        arrays, meta = load_arrays(path)
        if {name: meta.get(name) for name in made_from} == made_from:
            leaves = [jnp.asarray(arrays[str(i)]) for i in range(len(arrays))]
            return jax.tree.unflatten(jax.tree.structure(initial), leaves), meta["done"], meta["seconds"]
    return initial, 0, 0.0


def _compile(graphdef: Any, optimizer: optax.GradientTransformation) -> Callable:
    """(state, crops, key) -> the next state and the mean squared error of the batch; the state is donated."""

    def loss_of(params: Any, images: jax.Array, codes: jax.Array) -> tuple[jax.Array, tuple]:
        networks = nnx.merge(graphdef, params)
        latents = networks.encoder(images)
        found = quantize(latents.reshape(-1, latents.shape[-1]), codes)
        quantized = found.sums.reshape(latents.shape)
        decoded = networks.decoder(straight_through(latents, quantized))
        error = jnp.mean((decoded - images) ** 2)
        commitment = jnp.mean((latents - jax.lax.stop_gradient(quantized)) ** 2)
        return error / _VARIANCE + _COMMITMENT * commitment, (error, found)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: tuple, crops: jax.Array, key: jax.Array) -> tuple[tuple, jax.Array]:
        params, moments, moving = state
        images = crops.astype(jnp.float32) / 255
        (_, (error, found)), gradient = jax.value_and_grad(loss_of, has_aux=True)(params, images, moving.codes)
        updates, moments = optimizer.update(gradient, moments, params)
        quantizers = [
            update_codes(
                MovingCodes(*(each[s] for each in moving)),
                jax.lax.stop_gradient(found.inputs[s]),
                found.tokens[:, s],
                jax.random.fold_in(key, s),
            )
            for s in range(len(moving.codes))
        ]
        moving = jax.tree.map(lambda *each: jnp.stack(each), *quantizers)
        return (optax.apply_updates(params, updates), moments, moving), error

    return step
