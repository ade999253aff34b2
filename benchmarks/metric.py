"""How much faster are compiled, chunked pullback metrics than what is written without compilation?

    python -m benchmarks.metric

Two minutes on two CPU cores. The decoder is a SpatialVAE of the default sizes with its initial parameters: the cost does not
depend on their values. All ways must agree before they are timed; they are timed in turn, and the ratio of the medians counts.
Writes benchmarks/results/metric.json.
"""

import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.record import no_options, save

ROUNDS = 5
SEED = 0


def own_context(decode: Callable, grid: Any, row: int, column: int, jacobian: Callable) -> Any:
    """Metric of one token by a whole-Jacobian transform of JAX."""

    def of_token(z):
        return decode(grid.at[row, column].set(z)).ravel()

    j = jacobian(of_token)(grid[row, column])
    return j.T @ j


def main() -> None:
    """Runs the benchmark."""
    no_options(__doc__)

    import jax
    import jax.numpy as jnp
    import numpy as np

    from geovq.autoencoder import single
    from geovq.config import VAEConfig
    from geovq.metric import token_metrics
    from geovq.report import text_table
    from geovq.vae import SpatialVAE, callables

    vae = SpatialVAE(VAEConfig(), jax.random.key(SEED))
    decode = single(callables(vae)[1])
    plain = single(vae.decode)
    grids = np.asarray(jax.random.normal(jax.random.key(SEED + 1), (4, *vae.config.grid, vae.config.latent_dim)))
    places = list(np.ndindex(grids.shape[:3]))

    def one_by_one(kernel: Callable, count: int) -> np.ndarray:
        """The first `count` tokens, one call each."""
        return np.stack([np.asarray(kernel(jnp.asarray(grids[n]), row, column)) for n, row, column in places[:count]])

    naive = functools.partial(own_context, plain)
    forward = jax.jit(functools.partial(own_context, decode, jacobian=jax.jacfwd))
    reverse = jax.jit(functools.partial(own_context, decode, jacobian=jax.jacrev))
    ways: dict[str, tuple[Callable[[int], np.ndarray], int]] = {
        "geovq.token_metrics": (
            lambda count: token_metrics(decode, grids).reshape(len(places), 16, 16)[:count],
            len(places),
        ),
        "jitted jacfwd, token by token": (functools.partial(one_by_one, forward), 16),
        "jitted jacrev, token by token": (functools.partial(one_by_one, reverse), 4),
        "unjitted jacfwd, token by token": (
            functools.partial(one_by_one, functools.partial(naive, jacobian=jax.jacfwd)),
            2,
        ),
    }
    truth = token_metrics(decode, grids).reshape(len(places), 16, 16)
    scale = np.abs(truth).max()
    for name, (way, count) in ways.items():
        np.testing.assert_allclose(way(count), truth[:count], atol=1e-4 * scale, err_msg=name)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, (way, count) in ways.items():
            started = time.perf_counter()
            way(count)
            seconds[name].append((time.perf_counter() - started) / count)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ours = medians["geovq.token_metrics"]
    rows = []
    for name, value in medians.items():
        fields = {"case": "exact token metrics", "peer": name}
        low, high = min(seconds[name]), max(seconds[name])
        rows.append({**fields, "score": "seconds", "value": value, "low": low, "high": high, "n": ROUNDS})
        rows.append({**fields, "score": "ratio", "value": value / ours, "low": None, "high": None, "n": ROUNDS})
    print(text_table(["way", "ms a token", "times ours"], [[n, v * 1e3, v / ours] for n, v in medians.items()]))
    save("metric", rows, seeds=[SEED], schedule=f"{ROUNDS} rounds in turn")


if __name__ == "__main__":
    main()
