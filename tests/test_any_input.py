"""Every public function with one argument that is something else: a result that is sound, or InputError, and nothing else."""

import contextlib
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

import geovq
from geovq import (
    Amortised,
    Codebook,
    Geodesic,
    Greedy,
    InputError,
    Joint,
    Local,
    Nearest,
    Plan,
    Tokenizer,
    Whitened,
    scores,
)
from geovq.batching.plan import settle
from tests.tokenizer.test_measured import IMAGES, decode, encode
from tests.typechecker import annotations_off

X = IMAGES[:12].astype(np.float32) / 255
LATENTS = np.asarray(encode(X))
POINTS = LATENTS.reshape(-1, 2)
CODES = POINTS[:4].copy()
METRICS = np.tile(np.eye(2, dtype=np.float32), (1, 2, 1, 1))
TOKENIZER = Tokenizer(encode, decode, Codebook(CODES[None], METRICS), assigner=Nearest(), image_shape=(2, 4, 1))
TOKENS = TOKENIZER.encode(X)
FEATURES = np.random.default_rng(0).standard_normal((12, 3))


class Case(NamedTuple):
    """A public function, good arguments, and what holds of its result."""

    call: Callable[..., Any]
    good: dict[str, Any]
    holds: Callable[..., bool] = lambda found, **_: found is not None


def is_finite(found: Any, **_: Any) -> bool:
    return bool(np.isfinite(np.asarray(found, np.float64)).all())


def is_shares(found: Any, **_: Any) -> bool:
    return is_finite(found) and bool((np.asarray(found) >= 0).all())


def is_metric(found: np.ndarray, **_: Any) -> bool:
    return (
        is_finite(found)
        and found.shape[-1] == found.shape[-2]
        and np.allclose(found, np.swapaxes(found, -1, -2), rtol=1e-3)
    )


def is_interval(found: Any, **_: Any) -> bool:
    return found.low <= found.mean <= found.high


def is_tokens(found: Any, **_: Any) -> bool:
    grids = found if isinstance(found, list) else [found]
    return all(grid.dtype == np.int32 and grid.min() >= 0 and grid.max() < len(CODES) for grid in grids)


def is_graph(found: Any, **_: Any) -> bool:
    return found.data.min() > 0 and abs(found - found.T).nnz == 0


def is_tokenizer(found: Tokenizer, **_: Any) -> bool:
    return is_tokens(found.encode(X)) and found.codes.dtype == np.float32 and is_finite(found.codes)


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
    "frechet_distance": Case(scores.frechet_distance, SETS, is_shares),
    "frechet_interval": Case(scores.frechet_interval, {**SETS, "n_resamples": 5, "seed": 0, "level": 0.9}, is_interval),
    "kernel_distances": Case(scores.kernel_distances, {**SETS, "subsets": 3, "size": 5, "seed": 0}, is_finite),
    "nearest_training": Case(scores.nearest_training, {"train": FEATURES, "rows": FEATURES[:3]}),
    "usage": Case(scores.usage, {"tokens": TOKENS, "num_codes": 4}, is_shares),
    "perplexity": Case(scores.perplexity, {"tokens": TOKENS, "num_codes": 4}, is_shares),
    "unigram_nats": Case(scores.unigram_nats, {"train_tokens": TOKENS, "tokens": TOKENS, "num_codes": 4}),
    "metric_errors": Case(
        scores.metric_errors,
        {"latents": POINTS, "quantized": POINTS + 1, "metrics": np.tile(np.eye(2), (24, 1, 1))},
        is_finite,
    ),
    "latent_errors": Case(scores.latent_errors, {"latents": POINTS, "quantized": POINTS + 1}, is_shares),
}

NUMBERS: tuple[Any, ...] = (
    0,
    -1,
    1,
    2,
    10**9,
    2**64,
    10**5000,
    1.5,
    float("nan"),
    float("inf"),
    1e300,
    True,
    np.int64(2),
)
OTHERS: tuple[Any, ...] = (
    *(
        None,
        "",
        "x",
        "auto",
        b"x",
        [],
        (),
        {},
        {"a": 1},
        object(),
        [None],
        ["x"],
        [[1], [1, 2]],
        lambda *_: 1,
        1j,
        range(3),
    ),
    *(np.zeros(0), np.array("x"), np.array([None]), np.zeros((0, 2, 4, 1)), np.array(3), scipy.sparse.eye(3)),
)


def change_array(rng: np.random.Generator, array: np.ndarray) -> Any:
    """Another shape, dtype, order, container or content."""
    kinds = ("f2", "f4", "f8", "i4", "i8", "u1", "?", "c8", "O", "U3", ">f4", "M8[s]")
    changes: tuple[Callable[[], Any], ...] = (
        lambda: array.astype(kinds[int(rng.integers(len(kinds)))]),
        lambda: array[:0],
        lambda: array[:1],
        lambda: array[:2],
        lambda: array[..., None],
        lambda: array[0],
        lambda: array.T,
        lambda: array.reshape(-1),
        lambda: np.asfortranarray(array),
        lambda: array[::-1],
        lambda: array.tolist(),
        lambda: list(array),
        lambda: np.zeros_like(array),
        lambda: np.full_like(array, 1),
        lambda: array * 1e30,
        lambda: array * 1e-30,
        lambda: -array,
        lambda: spoil(array, np.nan),
        lambda: spoil(array, np.inf),
        lambda: np.ma.masked_array(array, mask=np.zeros(array.shape, bool)),
        lambda: np.broadcast_to(array[:1], array.shape),
    )
    return changes[int(rng.integers(len(changes)))]()


def spoil(array: np.ndarray, value: float) -> np.ndarray:
    changed = array.astype(np.float64)
    changed.flat[changed.size // 2] = value
    return changed


def change(rng: np.random.Generator, value: Any) -> Any:
    """Something else in the place of a good argument."""
    how = int(rng.integers(3))
    if isinstance(value, np.ndarray) and how:
        return change_array(rng, value)
    pool = NUMBERS if how == 1 else OTHERS
    return pool[int(rng.integers(len(pool)))]


def attempt(case: Case, name: str, seed: int) -> None:
    """Calls a function with one argument changed.

    Raises:
        AssertionError: It neither refuses the argument nor gives a sound result.
    """
    rng = np.random.default_rng([seed, len(name)])
    argument = list(case.good)[seed % len(case.good)]
    asked = case.good | {argument: change(rng, case.good[argument])}
    shown = f"{name}({argument}={_shown(asked[argument])}), seed {seed}"
    try:
        found = case.call(**asked)
    except InputError:
        return
    except Exception as error:
        raise AssertionError(f"{shown}: {type(error).__name__}: {error}") from error
    assert case.holds(found, **asked), f"{shown}: {found}"


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    try:
        return repr(value)[:80]
    except ValueError:
        return "a number of many digits"


def run(name: str, seeds: range) -> None:
    with annotations_off(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in seeds:
            attempt(CASES[name], name, seed)


SETTINGS: dict[str, Callable[[], contextlib.AbstractContextManager]] = {
    "defaults": contextlib.nullcontext,
    "jax_enable_x64": lambda: jax.enable_x64(True),
    "jax_debug_nans": lambda: jax.debug_nans(True),
}
"""What users set for their own programs; jax_numpy_rank_promotion="raise" holds in all tests."""


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_good_arguments_give_sound_results(setting, name):
    with warnings.catch_warnings(), SETTINGS[setting]():
        warnings.simplefilter("ignore")
        assert CASES[name].holds(CASES[name].call(**CASES[name].good), **CASES[name].good)


@pytest.mark.parametrize("name", CASES)
def test_any_argument_gives_a_sound_result_or_is_refused(name):
    run(name, range(20))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_many_arguments_give_a_sound_result_or_are_refused(name):
    run(name, range(20, 320))
