"""Good arguments of the functions of geovq, geovq.corpus, metric, models and scores, and what holds of their results.

tests/test_any_input.py changes them one by one.
"""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import geovq
from geovq import (
    Amortised,
    Codebook,
    Geodesic,
    Greedy,
    Joint,
    Local,
    Nearest,
    Plan,
    Tokenizer,
    Whitened,
    corpus,
    metric,
    models,
    scores,
)
from geovq.batching.plan import settle
from tests.tokenizer.test_measured import IMAGES, decode, encode

X = IMAGES[:12].astype(np.float32) / 255
LATENTS = np.asarray(encode(X))
POINTS = LATENTS.reshape(-1, 2)
CODES = POINTS[:4].copy()
METRICS = np.tile(np.eye(2, dtype=np.float32), (1, 2, 1, 1))
TOKENIZER = Tokenizer(encode, decode, Codebook(CODES[None], METRICS), assigner=Nearest(), image_shape=(2, 4, 1))
TOKENS = TOKENIZER.encode(X)
FEATURES = np.random.default_rng(0).standard_normal((12, 3))


def is_sound(found: Any, **_: Any) -> bool:
    """Something, in which no number is NaN or infinite."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(found) if isinstance(leaf, np.ndarray | float)]
    return found is not None and all(np.isfinite(leaf).all() for leaf in leaves if leaf.dtype.kind == "f")


class Case(NamedTuple):
    """A public function, good arguments, and what holds of its result."""

    call: Callable[..., Any]
    good: dict[str, Any]
    holds: Callable[..., bool] = is_sound


def is_finite(found: Any, **_: Any) -> bool:
    return bool(np.isfinite(np.asarray(found, np.float64)).all())


def is_not_negative(found: Any, **_: Any) -> bool:
    return is_finite(found) and bool((np.asarray(found) >= 0).all())


def is_metric(found: np.ndarray, **_: Any) -> bool:
    return (
        is_finite(found)
        and found.shape[-1] == found.shape[-2]
        and np.allclose(found, np.swapaxes(found, -1, -2), rtol=1e-3)
    )


def is_view(found: np.ndarray, **_: Any) -> bool:
    return found.ndim in (3, 4)


def is_interval(found: Any, **_: Any) -> bool:
    return found.low <= found.mean <= found.high


def is_tokens(found: Any, **_: Any) -> bool:
    grids = found if isinstance(found, list) else [found]
    return all(grid.dtype == np.int32 and grid.min() >= 0 and grid.max() < len(CODES) for grid in grids)


def is_graph(found: Any, **_: Any) -> bool:
    return found.data.min() > 0 and abs(found - found.T).nnz == 0


def is_tokenizer(found: Tokenizer, **_: Any) -> bool:
    return is_tokens(found.encode(X)) and found.codes.dtype == np.float32 and is_finite(found.codes)


def is_callable(found: Any, **_: Any) -> bool:
    return callable(found)


def is_autoencoder(found: geovq.Autoencoder, **_: Any) -> bool:
    return callable(found.encode) and callable(found.decode)


def is_clusters(found: np.ndarray, **_: Any) -> bool:
    return found.shape == (len(POINTS),) and found.min() >= 0


def fit_medoids(**options: Any) -> np.ndarray:
    """Labels of POINTS: arrays are scikit-learn's to check, and its own tests of estimators change them."""
    return geovq.GeodesicKMedoids(**options).fit(POINTS).labels_


FIT = {
    "encode": encode,
    "decode": decode,
    "images": X,
    "num_codes": 4,
    "codebook": "kmeans",
    "assigner": Whitened(),
    "num_quantizers": 1,
    "max_images": 12,
    "num_neighbours": 3,
    "probes": None,
    "seed": 0,
    "plan": Plan(),
}
PAIR = {"images": X, "reconstructions": np.clip(X + 0.1, 0, 1)}
LARGE_PAIR = {name: np.kron(images, np.ones((1, 8, 8, 1))).astype(np.float32) for name, images in PAIR.items()}
GRIDS = {"decode": geovq.single(decode), "grids": LATENTS}
EDGES = {"senders": np.arange(5), "receivers": np.arange(5, 10)}
PATHS = np.linspace(POINTS[:2], POINTS[2:4], 5, axis=1)
LINEN = linen.Dense(3)
FOLDER = pathlib.Path(__file__).parents[1] / "docs"
"""Has pictures."""
SETS = {"real": FEATURES, "generated": FEATURES[::-1] + 0.1}

CASES: dict[str, Case] = {
    "Tokenizer.fit": Case(Tokenizer.fit, FIT, is_tokenizer),
    "Tokenizer": Case(
        Tokenizer,
        {
            **{"encode": encode, "decode": decode, "codebook": TOKENIZER.codebook, "assigner": Nearest()},
            "image_shape": (2, 4, 1),
        },
        is_tokenizer,
    ),
    "Tokenizer.from_codes": Case(
        Tokenizer.from_codes,
        {"encode": encode, "decode": decode, "codes": CODES, "images": X, "assigner": Whitened()},
        is_tokenizer,
    ),
    "Tokenizer.encode": Case(TOKENIZER.encode, {"images": X, "plan": Plan()}, is_tokens),
    "Tokenizer.decode": Case(TOKENIZER.decode, {"tokens": TOKENS, "plan": Plan()}),
    "Tokenizer.dequantize": Case(TOKENIZER.dequantize, {"tokens": TOKENS}),
    "Tokenizer.assign_latents": Case(TOKENIZER.assign_latents, {"latents": LATENTS}, is_tokens),
    "Tokenizer.replace": Case(TOKENIZER.replace, {"assigner": Whitened(), "images": X, "seed": 0}),
    "Tokenizer.cost": Case(TOKENIZER.cost, {"image_shape": (2, 4, 1), "plan": Plan()}),
    "measure": Case(
        geovq.measure,
        {
            **{
                "encode": encode,
                "decode": decode,
                "images": X,
                "statistics": "graph",
                "max_images": 10,
                "max_tokens": 20,
            },
            **{"num_neighbours": 3, "components": "bridge", "probes": None, "seed": 0, "plan": Plan()},
        },
    ),
    "better_tokens": Case(geovq.better_tokens, {"encode": encode, "decode": decode, "codes": CODES, "images": X}),
    "pullback_metrics": Case(
        geovq.pullback_metrics, {"decode": jnp.tanh, "z": POINTS, "probes": 3, "seed": 0, "plan": Plan()}, is_metric
    ),
    "token_metrics": Case(
        geovq.token_metrics,
        {"decode": geovq.single(decode), "grids": LATENTS, "probes": 3, "seed": 0, "plan": Plan()},
        is_metric,
    ),
    "mean_metrics": Case(
        geovq.mean_metrics,
        {"decode": geovq.single(decode), "latents": LATENTS, "probes": 3, "seed": 0, "plan": Plan()},
    ),
    "knn_graph": Case(geovq.knn_graph, {"points": POINTS, "k": 3, "method": "auto", "seed": 0}, is_graph),
    "k_medoids": Case(
        geovq.k_medoids,
        {
            **{"graph": geovq.knn_graph(POINTS, 23), "k": 3, "weights": np.ones(24), "power": 1, "seed": 0},
            **{"max_candidates": 20, "max_seconds": None},
        },
        lambda found, **_: bool(np.isfinite(found.cost)) and len(set(found.medoids)) == len(found.medoids),
    ),
    "additive_codes": Case(geovq.additive_codes, {"groups": [CODES, CODES]}),
    "Plan": Case(lambda **options: settle(Plan(**options)), {"passes": None, "memory": None}),
    "Joint": Case(Joint, {"radius": None, "seed": 0, "jacobians": 1, "corrections": 0, "dampings": (1.0,)}),
    "Local": Case(Local, {"probes": None}),
    "Whitened": Case(Whitened, {"per_position": False}),
    "Geodesic": Case(Geodesic, {"probes": None}),
    "Greedy": Case(Greedy, {"candidates": 2, "sweeps": 1, "initial": Joint()}),
    "Amortised": Case(Amortised, {"steps": 1, "max_images": 3, "dampings": (1.0,)}),
    "psnr": Case(scores.psnr, PAIR, is_finite),
    "bootstrap_interval": Case(
        scores.bootstrap_interval, {"values": FEATURES[:, 0], "n_resamples": 20, "seed": 0, "level": 0.9}, is_interval
    ),
    "closeness": Case(scores.closeness, {**SETS, "num_neighbours": 2}),
    "frechet_distance": Case(scores.frechet_distance, SETS, is_not_negative),
    "frechet_interval": Case(scores.frechet_interval, {**SETS, "n_resamples": 5, "seed": 0, "level": 0.9}, is_interval),
    "kernel_distances": Case(scores.kernel_distances, {**SETS, "subsets": 3, "size": 5, "seed": 0}, is_finite),
    "nearest_training": Case(scores.nearest_training, {"train": FEATURES, "rows": FEATURES[:3]}),
    "usage": Case(scores.usage, {"tokens": TOKENS, "num_codes": 4}, is_not_negative),
    "perplexity": Case(scores.perplexity, {"tokens": TOKENS, "num_codes": 4}, is_not_negative),
    "unigram_nats": Case(scores.unigram_nats, {"train_tokens": TOKENS, "tokens": TOKENS, "num_codes": 4}),
    "metric_errors": Case(
        scores.metric_errors,
        {"latents": POINTS, "quantized": POINTS + 1, "metrics": np.tile(np.eye(2), (24, 1, 1))},
        is_finite,
    ),
    "latent_errors": Case(scores.latent_errors, {"latents": POINTS, "quantized": POINTS + 1}, is_not_negative),
    "ssim": Case(scores.ssim, LARGE_PAIR, is_finite),
    "lpips": Case(scores.lpips, {**LARGE_PAIR, "network": "alex"}, is_finite),
    "adapt": Case(
        geovq.adapt,
        {
            **{"encode": encode, "decode": decode, "layout": "NHWC", "range": (0.0, 1.0), "scale": 1.0, "shift": 0.0},
            **{"latents": None, "images": None},
        },
        is_autoencoder,
    ),
    "single": Case(geovq.single, {"decode": decode}, is_callable),
    "from_nnx": Case(geovq.from_nnx, {"module": nnx.Linear(2, 3, rngs=nnx.Rngs(0)), "method": "__call__"}, is_callable),
    "from_linen": Case(
        geovq.from_linen,
        {"module": LINEN, "variables": LINEN.init(jax.random.key(0), POINTS), "method": "__call__"},
        is_callable,
    ),
    "GeodesicKMedoids": Case(
        fit_medoids,
        {
            **{"n_clusters": 3, "n_neighbors": 5, "metric": None, "power": 1, "method": "auto"},
            **{"max_candidates": "auto", "max_seconds": None, "random_state": 0},
        },
        is_clusters,
    ),
    "neighbour_metrics": Case(metric.neighbour_metrics, {**GRIDS, "radius": 1, "spacing": None}, is_finite),
    "band_error": Case(metric.band_error, {**GRIDS, "radius": 1, "spacing": None, "tokens": 2, "seed": 0}, is_finite),
    "smoothed_metric": Case(
        metric.smoothed_metric, {**GRIDS, "covariance": 1e-3 * np.eye(2), "draws": 2, "probes": 2, "seed": 0}, is_metric
    ),
    "sketches": Case(metric.sketches, {"decode": jnp.tanh, "latents": POINTS, "probes": 2, "seed": 0}, is_finite),
    "measure_edges": Case(
        metric.measure_edges,
        {"z": POINTS, "metrics": np.tile(np.eye(2), (24, 1, 1)), **EDGES, "chunk": 8},
        is_not_negative,
    ),
    "polyline_lengths": Case(
        metric.polyline_lengths, {"decode": jnp.tanh, "latents": POINTS, **EDGES, "segments": 2}, is_not_negative
    ),
    "refine_lengths": Case(
        metric.refine_lengths,
        {"decode": jnp.tanh, "latents": POINTS, **EDGES, "tolerance": 0.1, "max_segments": 4},
        lambda found, **_: is_not_negative(found.lengths),
    ),
    "find_geodesics": Case(
        metric.find_geodesics,
        {"decode": jnp.tanh, "paths": PATHS, "iterations": 3, "tolerance": 0.1},
        lambda found, **_: is_not_negative(found.lengths),
    ),
    "channel_codes": Case(models.channel_codes, {"levels": (3, 2)}, is_finite),
    "grid_codes": Case(models.grid_codes, {"levels": (3, 2)}, is_finite),
    "grid_tokens": Case(models.grid_tokens, {"tokens": np.array([[2, 1], [0, 0]]), "levels": (3, 2)}, is_not_negative),
    "channel_tokens": Case(models.channel_tokens, {"tokens": np.array([5, 0]), "levels": (3, 2)}, is_not_negative),
    "initial_codes": Case(models.initial_codes, {"num_codes": 4, "d": 2}),
    "rising_guidance": Case(models.rising_guidance, {"scale": 2.0, "length": 4}, is_finite),
    "GPTConfig": Case(
        models.GPTConfig,
        {"num_codes": 4, "grid": (2, 2), "classes": 0, "layers": 1, "width": 8, "heads": 2, "dropout": 0.1},
    ),
    "VAEConfig": Case(
        models.VAEConfig, {"image_shape": (8, 8, 1), "grid": (2, 2), "latent_dim": 2, "width": 4, "max_width": 8}
    ),
    "crop_to_multiple": Case(corpus.crop_to_multiple, {"image": np.zeros((5, 7, 3), np.uint8), "multiple": 2}, is_view),
    "draw_crops": Case(corpus.draw_crops, {"folder_or_paths": FOLDER, "size": 4, "n": 3, "seed": 0}),
    "find_images": Case(corpus.find_images, {"folder": FOLDER}),
    "open_images": Case(corpus.open_images, {"source": FOLDER, "labels": False}),
    "read_image": Case(corpus.read_image, {"path": corpus.find_images(FOLDER)[0]}),
    "sample_crops": Case(corpus.sample_crops, {"shards": corpus.open_images(FOLDER), "size": 4, "n": 3, "seed": 0}),
}

ELSEWHERE = {
    "jitted code calls them, where values are not known": [
        *("edge_length", "grid_metric", "inner", "log_volume", "norm", "polyline_length", "pullback_metric", "sketch"),
        *("sketched_metric", "volume", "bound", "round_levels", "negative_elbo", "update_codes", "token_nats"),
    ],
    "files, which tests/test_hostile_files.py and tests/corpus change": [
        *("load_autoencoder", "open_tokens", "decode_corpus", "encode_corpus", "export_parquet", "export_stream"),
    ],
    "a network or its parameters": [
        *("AutoencoderKL", "AutoencoderKLConfig", "GPT", "SpatialVAE", "TinyAutoencoder", "TinyAutoencoderConfig"),
        *("callables", "sample"),
    ],
    "needs PyTorch, see tests/decoder/pytorch": ["from_torch"],
    "what functions return, and errors": [
        *("Autoencoder", "BetterTokens", "Codebook", "ConventionWarning", "InputError", "Measured", "BandError"),
        *("Geodesics", "MeanMetrics", "Refined", "Closeness", "Interval", "Nearest"),
    ],
}
"""Public names that no case is for, by the reason."""
