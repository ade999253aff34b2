"""What metrics are compared with: other ways to write them, other devices, and the arithmetic alone.

Other ways take the first `count` tokens of some grids, in raster order, to their metrics (count, d, d); or edges to their
lengths: in JAX with and without compilation, and in PyTorch. Other devices get the same inputs. For benchmarks.metric and
benchmarks.accelerator.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from benchmarks.common.rows import Row, row
from geovq.assignment.joint import Joint
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import encode_images
from geovq.metric.batched import token_metrics
from geovq.models.config import VAEConfig
from geovq.models.spatial_vae import SpatialVAE, callables, negative_elbo
from geovq.tokenizer.tokenizer import Tokenizer

Metrics = Callable[[np.ndarray, int], np.ndarray]
Lengths = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def indices(grids: np.ndarray, count: int) -> list[tuple[int, ...]]:
    """Grid, row and column of the first tokens."""
    return list(np.ndindex(grids.shape[:3]))[:count]


def of_token(decode: Callable, grid: Any, row: Any, column: Any) -> Callable:
    """The decoder as a function of one token, the rest of its grid held fixed."""
    return lambda z: decode(grid.at[row, column].set(z)).ravel()


def metric_by(jacobian: Callable, decode: Callable, grid: Any, row: Any, column: Any) -> Any:
    """Metric of one token by a transform that gives whole Jacobians."""
    j = jacobian(of_token(decode, grid, row, column))(grid[row, column])
    return j.T @ j


def one_by_one(kernel: Callable) -> Metrics:
    """A Python loop over the tokens."""

    def metrics(grids: np.ndarray, count: int) -> np.ndarray:
        return np.stack([np.asarray(kernel(jnp.asarray(grids[n]), r, c)) for n, r, c in indices(grids, count)])

    return metrics


def in_chunks(kernel: Callable, chunk: int) -> Metrics:
    """A compiled kernel of one token, batched; the tokens are copied into arrays first, as they must be."""
    batched = jax.jit(jax.vmap(kernel))

    def metrics(grids: np.ndarray, count: int) -> np.ndarray:
        n, rows, columns = np.array(indices(grids, count)).T
        chunks = [slice(start, start + chunk) for start in range(0, count, chunk)]
        return np.concatenate([np.asarray(batched(grids[n[c]], rows[c], columns[c])) for c in chunks])

    return metrics


def jax_ways(vae: SpatialVAE) -> dict[str, tuple[Metrics, int]]:
    """Name -> way, and how many tokens it takes in a round."""
    decode = single(callables(vae)[1])

    def eager(grid: Any) -> Any:
        return vae.decoder(grid[None])[0]

    def compiled_anew(grid: Any, row: int, column: int) -> Any:
        j = jax.jacfwd(jax.jit(of_token(eager, grid, row, column)))(grid[row, column])
        return j.T @ j

    def kernel(jacobian: Callable) -> Callable:
        return lambda grid, row, column: metric_by(jacobian, decode, grid, row, column)

    return {
        "unjitted jacfwd, token by token": (one_by_one(lambda *a: metric_by(jax.jacfwd, eager, *a)), 4),
        "unjitted jacrev, token by token": (one_by_one(lambda *a: metric_by(jax.jacrev, eager, *a)), 1),
        "jacfwd of a function jitted in the loop": (one_by_one(compiled_anew), 2),
        "jitted jacrev, token by token": (one_by_one(jax.jit(kernel(jax.jacrev))), 4),
        "jitted jacfwd, token by token": (one_by_one(jax.jit(kernel(jax.jacfwd))), 64),
        "jitted vmap(jacfwd), chunks of 256": (in_chunks(kernel(jax.jacfwd), 256), 256),
        "jitted vmap(jacfwd), chunks of 8": (in_chunks(kernel(jax.jacfwd), 8), 256),
    }


def edge_ends(grids: np.ndarray, senders: np.ndarray, receivers: np.ndarray) -> tuple[np.ndarray, ...]:
    """For both ends of every edge: the grid, row and column to differentiate at, and the step: (2, m, ...)."""
    z = grids.reshape(-1, grids.shape[-1])
    step = z[receivers] - z[senders]
    n, rows, columns = np.unravel_index(np.stack([senders, receivers]), grids.shape[:3])
    return grids[n], rows, columns, np.stack([step, step])


def length_by_jvp(decode: Callable, grid: Any, row: Any, column: Any, step: Any) -> Any:
    """How far the image moves by the step, to first order."""
    return jnp.linalg.norm(jax.jvp(of_token(decode, grid, row, column), (grid[row, column],), (step,))[1])


def eager_edges(vae: SpatialVAE) -> Lengths:
    """The original study's recipe: a product at either end of every edge, edge after edge, without compilation."""

    def lengths(grids: np.ndarray, senders: np.ndarray, receivers: np.ndarray) -> np.ndarray:
        ends = edge_ends(grids, senders, receivers)
        found = [
            float(length_by_jvp(lambda grid: vae.decoder(grid[None])[0], jnp.asarray(g), r, c, s))
            for end in range(2)
            for g, r, c, s in zip(*(part[end] for part in ends), strict=True)
        ]
        return np.array(found).reshape(2, -1).mean(axis=0)

    return lengths


def compiled_edges(vae: SpatialVAE, chunk: int) -> Lengths:
    """The same products, batched and compiled."""
    decode = single(callables(vae)[1])
    batched = jax.jit(jax.vmap(lambda *a: length_by_jvp(decode, *a)))

    def lengths(grids: np.ndarray, senders: np.ndarray, receivers: np.ndarray) -> np.ndarray:
        flat = [part.reshape(-1, *part.shape[2:]) for part in edge_ends(grids, senders, receivers)]
        found = [np.asarray(batched(*(p[i : i + chunk] for p in flat))) for i in range(0, len(flat[0]), chunk)]
        return np.concatenate(found).reshape(2, -1).mean(axis=0)

    return lengths


def torch_ways(vae: SpatialVAE) -> dict[str, tuple[Metrics, int]]:
    """The same decoder in PyTorch; empty where PyTorch is not installed."""
    try:
        import torch
        from torch.nn import functional
    except ImportError:
        return {}

    def weights(conv: Any, shuffled: int = 1) -> tuple[Any, Any]:
        kernel = np.transpose(np.asarray(conv.kernel[...]), (3, 2, 0, 1))
        outputs = (
            np.arange(len(kernel)).reshape(shuffled**2, -1).T.ravel()
        )  # pixel_shuffle counts channels before positions
        return torch.tensor(kernel[outputs]), torch.tensor(np.asarray(conv.bias[...])[outputs])

    first = weights(vae.decoder.first)
    levels = [
        (weights(up.block.first), weights(up.block.second), weights(up.conv, up.stride), up.stride, up.size)
        for up in vae.decoder.up
    ]

    def conv(x: Any, pair: tuple[Any, Any]) -> Any:
        return functional.conv2d(x, *pair, padding=1)

    def decode(latents: Any) -> Any:
        x = conv(latents, first)
        for a, b, c, stride, (height, width) in levels:
            x = x + conv(functional.silu(conv(functional.silu(x), a)), b)
            x = functional.pixel_shuffle(conv(functional.silu(x), c), stride)[:, :, :height, :width]
        return torch.sigmoid(4 * x - 2)

    def metric(z: Any, grid: Any, mask: Any) -> Any:
        j = torch.func.jacfwd(lambda z: decode((grid * (1 - mask) + z[:, None, None] * mask)[None]).ravel())(z)
        return j.T @ j

    batched = torch.func.vmap(metric)

    def chunked(chunk: int) -> Metrics:
        def metrics(grids: np.ndarray, count: int) -> np.ndarray:
            n, rows, columns = np.array(indices(grids, count)).T
            contexts = torch.tensor(np.moveaxis(grids[n], -1, 1))
            masks = torch.zeros(count, *grids.shape[1:3])
            masks[np.arange(count), rows, columns] = 1
            z = torch.tensor(grids[n, rows, columns])
            parts = [slice(i, i + chunk) for i in range(0, count, chunk)]
            return np.concatenate([batched(z[p], contexts[p], masks[p]).numpy() for p in parts])

        return metrics

    def by_grid(grids: np.ndarray, count: int) -> np.ndarray:
        found = []
        for grid in torch.tensor(np.moveaxis(grids, -1, 1))[: -(-count // (grids.shape[1] * grids.shape[2]))]:
            j = torch.func.jacfwd(lambda g: decode(g[None]).ravel())(grid)  # (p, d, h, w)
            found.append(torch.einsum("pihw,pjhw->hwij", j, j).reshape(-1, j.shape[1], j.shape[1]).numpy())
        return np.concatenate(found)[:count]

    chunks = {f"PyTorch vmap(jacfwd), chunks of {chunk}": (chunked(chunk), 256) for chunk in (16, 64, 256)}
    return {**chunks, "PyTorch jacfwd of whole grids": (by_grid, 64)}


def compare_devices(
    config: VAEConfig, assigner: Joint, images: int, steps: int, tolerances: Mapping[str, float]
) -> Iterator[Row]:
    """Metrics, joint tokens and training losses of a fresh VAE on the default device, compared with the CPU.

    Args:
        config: Of the VAE.
        assigner: Of the tokens.
        images: Random images.
        steps: Training steps.
        tolerances: Relative difference that counts as agreement, by the precision of matrix products.
    """
    drawn = np.random.default_rng(0).random((images, *config.image_shape), np.float32)
    cpu, device = jax.devices("cpu")[0], jax.devices()[0]
    for precision, tolerance in tolerances.items():
        with jax.default_matmul_precision(precision):
            here = _on(cpu, config, assigner, drawn, steps, Plan(passes=256, options=()))
            there = _on(device, config, assigner, drawn, steps, DEFAULT_PLAN)
        for of, value in _differences(here, there).items():
            fields: Row = {"case": "agreement with the CPU", "of": of, "precision": precision, "tolerance": tolerance}
            yield row(fields | {"agrees": bool(value <= tolerance)}, "relative_difference", value, images)


def _on(
    device: Any, config: VAEConfig, assigner: Joint, images: np.ndarray, steps: int, plan: Plan
) -> dict[str, np.ndarray]:
    """What one device computes; the VAE has the same parameters on all."""
    with jax.default_device(jax.devices("cpu")[0]):
        vae = SpatialVAE(config, rngs=nnx.Rngs(0))
        graphdef, params = nnx.split(vae)
    with jax.default_device(device):
        params = jax.device_put(params, device)
        encode, decode = callables(nnx.merge(graphdef, params))
        latents = encode_images(encode, images)
        codes = np.random.default_rng(1).permutation(latents.reshape(-1, latents.shape[-1]))[:64]
        tokenizer = Tokenizer.from_codes(encode, decode, codes, images, assigner=assigner)
        tokens = tokenizer.encode(images, plan=plan)
        return {
            "latents": latents,
            "metrics": token_metrics(single(decode), latents, plan=plan),
            "tokens": tokens,
            "squared_error": ((tokenizer.decode(tokens) - images) ** 2).sum(axis=(1, 2, 3)),
            "losses": _losses(graphdef, params, images, steps),
        }


def _losses(graphdef: Any, params: Any, images: np.ndarray, steps: int) -> np.ndarray:
    """The VAE's loss before each training step."""
    optimizer = optax.adamw(1e-3)

    @jax.jit
    def step(params: Any, moments: Any, key: Any) -> Any:
        def loss(params: Any) -> Any:
            vae = nnx.merge(graphdef, params)
            noise = jax.random.normal(key, (len(images), *vae.config.grid, vae.config.latent_dim))
            return negative_elbo(vae, jnp.asarray(images), 0.011, noise).nats.mean()

        value, gradients = jax.value_and_grad(loss)(params)
        updates, moments = optimizer.update(gradients, moments, params)
        return optax.apply_updates(params, updates), moments, value

    moments, found = optimizer.init(params), []
    for number in range(steps):
        params, moments, value = step(params, moments, jax.random.key(number))
        found.append(float(value))
    return np.array(found)


def _differences(here: dict[str, np.ndarray], there: dict[str, np.ndarray]) -> dict[str, float]:
    """Largest differences relative to the largest value; of tokens the part that differs."""
    found = {
        name: float(np.abs(there[name] - here[name]).max() / np.abs(here[name]).max())
        for name in ("latents", "metrics", "losses")
    }
    error = {"error of joint tokens": float(abs(there["squared_error"].sum() / here["squared_error"].sum() - 1))}
    return found | error | {"joint tokens, part that differs": float((there["tokens"] != here["tokens"]).mean())}


def count_metrics(config: VAEConfig, images: np.ndarray, sizes: Sequence[int]) -> Iterator[Row]:
    """Time of exact metrics of all tokens of the first images, and of their decoder passes alone, at the measured rate.

    Args:
        config: Of a VAE with its initial parameters.
        images: In [0, 1], (n, H, W, C).
        sizes: How many of them.
    """
    encode, decode = callables(SpatialVAE(config, rngs=nnx.Rngs(0)))
    grids = encode_images(encode, images[: sizes[-1]])
    t, d = grids[0, ..., 0].size, grids.shape[-1]
    batch = jnp.asarray(grids[: min(len(grids), 4096)])
    jax.block_until_ready(decode(batch))
    started = time.perf_counter()
    for _ in range(10):
        jax.block_until_ready(decode(batch))
    pass_seconds = (time.perf_counter() - started) / (10 * len(batch))
    token_metrics(single(decode), grids[: sizes[0]])  # compiles
    for size in sizes:
        started = time.perf_counter()
        found = token_metrics(single(decode), grids[:size])
        seconds = time.perf_counter() - started
        fields: Row = {"case": "exact metrics", "tokens": size * t, "finite": bool(np.isfinite(found).all())}
        yield row(fields, "seconds", seconds, size)
        yield row(fields, "floor_seconds", size * (1 + t * d) * pass_seconds, size)
        yield row(fields, "metrics_per_second", size * t / seconds, size)
        if stats := jax.devices()[0].memory_stats():
            yield row(fields, "device_peak_bytes", stats["peak_bytes_in_use"], size)
