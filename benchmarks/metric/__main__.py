"""How fast are compiled pullback metrics, beside what is written without care, and beside what the machine can do?

    python -m benchmarks.metric --run runs/quick --data-dir DIR

Fifteen minutes on two idle CPU cores; the run needs its VAE. Takes latents of training images. All ways must agree before they
are timed; they are timed in turn, and the ratio to ours is taken round by round. PyTorch is timed where it is installed
(pip install -e '.[peers]'). On a GPU, `--images 60000` measures all 960,000 tokens of FashionMNIST's training files, end to end,
and compares with the CPU. Writes benchmarks/results/metric.json.
"""

import dataclasses
import functools
import time
from typing import Any

from benchmarks.common.harness import in_turn, peak_bytes_of, save
from benchmarks.common.rows import Row, mean_row, ratio_row, row, spread_row
from train.run.command_line import parse, run_program

ROUNDS = 7
GRIDS = 100
"""Grids of a timed call."""
GRAPH_IMAGES = 1000
NEIGHBOURS = 16
EAGER_EDGES = 500
COMPILED_EDGES = 2048
PROBES = (8, 16, 32, 64, 128)
SCALES = (100, 1_000, 10_000)
"""Grids of the calls whose time per token is compared; the last is `--images`."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of this benchmark."""

    images: int = SCALES[-1]
    """Images whose tokens are measured in the largest call."""


def agree(found: Any, wanted: Any, name: str) -> None:
    """Stops the benchmark where two ways do not give the same."""
    import numpy as np

    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max(), err_msg=name)


def exact(vae: Any, decode: Any, grids: Any) -> list[Row]:
    """Exact metrics of tokens, beside other ways to write them."""
    from benchmarks.metric import peers
    from geovq.metric.batched import token_metrics

    d = grids.shape[-1]
    tokens = grids[..., 0].size
    truth = token_metrics(decode, grids).reshape(tokens, d, d)
    ways = {**peers.jax_ways(vae), **peers.torch_ways(vae)}
    for name, (way, count) in ways.items():
        agree(way(grids, count), truth[:count], name)
    calls = {"geovq": lambda: token_metrics(decode, grids)} | {
        name: functools.partial(way, grids, count) for name, (way, count) in ways.items()
    }
    counts = {"geovq": tokens} | {name: count for name, (_, count) in ways.items()}
    times = {name: [s / counts[name] for s in found] for name, found in in_turn(calls, ROUNDS).items()}
    rows = []
    for name, found in times.items():
        fields = {"case": "exact, per token", "peer": name}
        rows += [spread_row(fields, "seconds", found), ratio_row(fields, found, times["geovq"])]
    return rows


def limit(decode_batch: Any, decode: Any, grids: Any) -> tuple[list[Row], float]:
    """How near to the arithmetic: decoder passes that the metric of a token costs, and floating-point rates.

    Also the seconds that a token would take at the rate of a matrix product.
    """
    import jax
    import jax.numpy as jnp

    from geovq.batching.plan import fast_options
    from geovq.metric.batched import token_metrics

    matrix = jnp.ones((2048, 2048), jnp.float32)
    multiply = jax.jit(lambda a: a @ a)
    plain = jax.jit(lambda f, z: f(z))
    fast = jax.jit(lambda f, z: f(z), compiler_options=dict(fast_options()))
    analysis: Any = plain.lower(decode_batch, grids[:1]).compile().cost_analysis()
    flops = analysis["flops"]
    n, t, d = len(grids), grids[0, ..., 0].size, grids.shape[-1]
    agree(fast(decode_batch, grids), plain(decode_batch, grids), "decoder with other options")
    times = in_turn(
        {
            "metrics": lambda: token_metrics(decode, grids),
            "decoder": lambda: plain(decode_batch, grids).block_until_ready(),
            "decoder, our compiler options": lambda: fast(decode_batch, grids).block_until_ready(),
            "matrix product": lambda: multiply(matrix).block_until_ready(),
        },
        3 * ROUNDS,
    )
    done = {
        "metrics": n * (1 + t * d) * flops,
        "decoder": n * flops,
        "decoder, our compiler options": n * flops,
        "matrix product": 2 * 2048**3,
    }
    rows = [row({"case": "limit"}, "flop_per_decoder_pass", flops)]
    for name, found in times.items():
        rate = [done[name] / s for s in found]
        rows.append(spread_row({"case": "limit", "peer": name}, "flop_per_second", rate))
    for name in ("decoder", "decoder, our compiler options"):
        passes = [m / t / s for m, s in zip(times["metrics"], times[name], strict=True)]
        rows.append(spread_row({"case": "limit", "peer": name}, "decoder_passes_per_token", passes))
    return rows, (1 / t + d) * flops / 2048**3 / 2 * min(times["matrix product"])


def agreement(decode: Any, grids: Any) -> list[Row]:
    """How far an accelerator's metrics are from the CPU's, relative to the largest entry; nothing on a CPU."""
    import jax
    import numpy as np

    from geovq.batching.plan import Plan
    from geovq.metric.batched import token_metrics

    if jax.default_backend() == "cpu":
        return []
    there = token_metrics(decode, grids)
    here = token_metrics(jax.device_put(decode, jax.devices("cpu")[0]), grids, plan=Plan(passes=256, options=()))
    worst = float(np.abs(there - here).max() / np.abs(here).max())
    return [row({"case": "agreement with the CPU"}, "relative_difference", worst, here[..., 0, 0].size)]


def sketched(decode: Any, grids: Any) -> list[Row]:
    """Times and errors of sketched metrics, compared with exact ones; the probes of a call are the same for all grids."""
    import numpy as np

    from geovq.metric.batched import token_metrics

    calls = {"exact": lambda: token_metrics(decode, grids)} | {
        str(r): functools.partial(token_metrics, decode, grids, probes=r) for r in PROBES
    }
    tokens = grids[..., 0].size
    times = {name: [s / tokens for s in found] for name, found in in_turn(calls, ROUNDS).items()}
    exact = calls["exact"]()
    sizes = np.linalg.norm(exact, axis=(-2, -1))
    rows = []
    for r in PROBES:
        fields = {"case": "sketched, per token", "probes": r}
        error = np.linalg.norm(calls[str(r)]() - exact, axis=(-2, -1)) / np.maximum(sizes, 1e-12)
        rows += [
            spread_row(fields, "seconds", times[str(r)]),
            ratio_row(fields, times[str(r)], times["exact"], "ratio_to_exact"),
            mean_row(fields, "relative_frobenius_error", error.reshape(len(grids), -1).mean(axis=1)),
        ]
    return rows


def weighed_edges(vae: Any, decode: Any, grids: Any) -> list[Row]:
    """Lengths of a graph's edges from cached metrics, beside products at both ends of every edge."""
    import numpy as np

    from benchmarks.metric import peers
    from geovq.graph.csr import edges, knn_graph
    from geovq.graph.deduplicate import merge_duplicates
    from geovq.metric.batched import token_metrics
    from geovq.metric.edge_lengths import measure_edges

    d = grids.shape[-1]
    z = grids.reshape(-1, d)
    metrics = token_metrics(decode, grids).reshape(-1, d, d)
    kept = merge_duplicates(z).index
    first = np.unique(kept, return_index=True)[1]  # one token for every distinct latent
    senders, receivers = (first[end] for end in edges(knn_graph(z[first], NEIGHBOURS)))
    m, n = len(senders), len(first)
    chosen = np.random.default_rng(0).permutation(m)
    few, some = chosen[:EAGER_EDGES], chosen[:COMPILED_EDGES]
    part = GRIDS * grids[0, ..., 0].size
    wanted = measure_edges(z, metrics, senders, receivers)
    eager = peers.eager_edges(vae)
    compiled = {chunk: peers.compiled_edges(vae, chunk) for chunk in (16, 256)}
    for way in (eager, *compiled.values()):
        agree(way(grids, senders[few[:16]], receivers[few[:16]]), wanted[few[:16]], "edges")
    blocks = np.array_split(few, ROUNDS)
    turns = {"eager": iter([blocks[0][:8], *blocks])}
    times = in_turn(
        {
            "metrics": lambda: token_metrics(decode, grids[:GRIDS]),
            "lengths": lambda: measure_edges(z, metrics, senders, receivers),
            "eager": lambda: eager(grids, senders[(b := next(turns["eager"]))], receivers[b]),
            **{str(c): functools.partial(way, grids, senders[some], receivers[some]) for c, way in compiled.items()},
        },
        ROUNDS,
    )
    whole = [a / part * n + b for a, b in zip(times["metrics"], times["lengths"], strict=True)]
    graph = {"k": NEIGHBOURS, "nodes": n, "edges": m}
    per_edge = [s / m for s in times["lengths"]]
    rows = [spread_row({"case": "re-weighting, per edge", "peer": "geovq", **graph}, "seconds", per_edge)]
    rows.append(spread_row({"case": "graph", "peer": "geovq", **graph}, "seconds", whole))
    others = {
        "unjitted products at both ends": [s / len(b) * m for s, b in zip(times["eager"], blocks, strict=True)]
    } | {f"jitted products at both ends, chunks of {c}": [s / len(some) * m for s in times[str(c)]] for c in compiled}
    for name, found in others.items():
        fields = {"case": "graph", "peer": name, **graph}
        rows += [spread_row(fields, "seconds", found), ratio_row(fields, found, whole)]
    return rows


def scaling(decode: Any, grids: Any, sizes: tuple[int, ...], floor: float) -> list[Row]:
    """Time per token, from few grids to many and back, beside that of the arithmetic alone; memory beyond the result."""
    from geovq.metric.batched import token_metrics

    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    memory: dict[int, list[int]] = {size: [] for size in sizes}
    token_metrics(decode, grids[: sizes[0]])
    for size in (*sizes, *reversed(sizes[:-1])):
        for _ in range(3 if size == sizes[0] else 1):
            started = time.perf_counter()
            found, peak = peak_bytes_of(functools.partial(token_metrics, decode, grids[:size]))
            seconds[size].append((time.perf_counter() - started) / found[..., 0, 0].size)
            if peak is not None:
                memory[size].append(max(0, peak - found.nbytes))
            print(f"{found[..., 0, 0].size:,} tokens: {1e3 * seconds[size][-1]:.3f} ms a token", flush=True)
    rows = []
    for size in sizes:
        fields = {"case": "scaling, per token", "tokens": size * grids[0, ..., 0].size}
        rows.append(spread_row(fields, "seconds", seconds[size]))
        rows.append(row(fields, "floor_seconds", floor))
        if memory[size]:
            rows.append(row(fields, "peak_bytes_beyond_result", max(memory[size]), len(memory[size])))
    return rows


def main() -> None:
    """Runs the benchmark."""
    run, options = parse(__doc__, ("data",), Options(), needs=("vae",), bound=False)

    import numpy as np

    from geovq.decoder.adapters import single
    from geovq.decoder.autoencoder import encode_images
    from geovq.models.spatial_vae import callables
    from geovq.validation import check_images
    from train.evaluation.report import text_table
    from train.stages import inputs as stages
    from train.stages import networks

    dataset = stages.images(run.config.data).dataset
    images = check_images(np.concatenate([dataset.train_images, dataset.val_images])[: options.images])
    vae = networks.trained_vae(run, images.shape[1:])
    encode, decode_batch = callables(vae)
    decode = single(decode_batch)
    started = time.perf_counter()
    grids = encode_images(encode, images)
    rows = [row({"case": "encoder", "tokens": grids[..., 0].size}, "seconds", time.perf_counter() - started)]
    near, floor = limit(decode_batch, decode, grids[:GRIDS])
    rows += near
    rows += agreement(decode, grids[:GRIDS]) + exact(vae, decode, grids[:GRIDS])
    rows += sketched(decode, grids[:GRIDS])
    rows += weighed_edges(vae, decode, grids[:GRAPH_IMAGES])
    sizes = tuple(size for size in SCALES[:-1] if size < len(grids))
    rows += scaling(decode, grids, (*sizes, len(grids)), floor)
    cells = [[r["case"], r.get("peer") or r.get("probes") or r.get("tokens"), r["score"], r["value"]] for r in rows]
    print(text_table(["case", "of", "score", "value"], cells))
    save("metric", rows, {"vae": run.config.vae.seed}, f"{ROUNDS} rounds in turn, {len(grids)} images")


if __name__ == "__main__":
    run_program(main)
