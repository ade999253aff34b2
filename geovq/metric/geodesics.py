"""Continuous geodesics of a decoder: the yardstick by which shortest paths in a graph are judged.

A path of s straight steps is moved, its ends held, until the energy E = s·Σ‖D(z_{i+1}) − D(z_i)‖² of its decoded points is least.
By Cauchy and Schwarz √E is at least the length, and equal to it where the steps are equally long: so the least energy is that of
a shortest path, walked evenly (do Carmo 1992, "Riemannian Geometry", chapter 9; Shao, Kumar & Fletcher 2018, "The Riemannian
Geometry of Deep Generative Models"). The minimum is a local one, and depends on the path that it is started from.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from geovq.batching.budget import passes_within, rows_of_call
from geovq.batching.chunks import Progress, map_chunks
from geovq.batching.plan import DEFAULT_PLAN, Options, Plan, settle
from geovq.decoder.adapters import Decoder, as_partial, flat
from geovq.decoder.checks import check_decoder
from geovq.metric.batched import pullback_metrics
from geovq.metric.curve_lengths import path_length
from geovq.numerics.linalg import eigen_root
from geovq.validation import InputError, as_array, check_finite, check_number, check_whole

_WHITENING_POINTS = 256
"""Points of the paths whose mean metric sets the scale of the steps."""

_FLAT = 1e-5
"""Eigenvalues of that metric below this fraction of the largest count as that: what the decoder ignores has no scale."""

_REMEDY = "take smaller images, or paths of fewer points"

_BACKTRACKS = 12
"""Halvings of a step before it is given up."""


class Geodesics(NamedTuple):
    """Paths between b pairs of latents, and how they came about."""

    paths: Float[np.ndarray, "b s1 d"]
    """s + 1 points each, the first and the last as they were given."""
    lengths: Float[np.ndarray, " b"]
    """Of the polyline through the decoded points, in intensity units; never above that of the path it was started from."""
    energies: Float[np.ndarray, " b"]
    """In intensity²; at least the squared length."""
    n_iter: Int[np.ndarray, " b"]
    """Steps of the optimiser."""
    converged: Bool[np.ndarray, " b"]
    """Whether the last step lowered the energy by less than the tolerance."""


class _Descent(NamedTuple):
    """What is carried from step to step, for one path or, with a leading axis, for many."""

    move: Array
    """Of the interior points, in whitened coordinates (s-1, d)."""
    optimiser: Any


class _Progress(NamedTuple):
    """What one step did."""

    decrease: Array
    """Of the energy."""
    energy: Array
    """After it."""
    conclusive: Array
    """Whether a small decrease says that there is no better path nearby."""
    sound: Array
    """Whether the gradient is finite."""


class _Whitening(NamedTuple):
    """Coordinates in which the energy would have the identity for its Hessian, were the metric the same everywhere."""

    rows: Float[np.ndarray, "s_1 s_1"]
    columns: Float[np.ndarray, "d d"]


def find_geodesics(
    decode: Decoder,
    paths: Float[np.ndarray, "b s1 d"],
    *,
    iterations: int = 100,
    tolerance: float = 1e-5,
    plan: Plan = DEFAULT_PLAN,
    progress: Progress | None = None,
) -> Geodesics:
    """Shortens discretised paths until their decoded energy is least (L-BFGS, Liu & Nocedal 1989, from optax).

    Args:
        decode: Takes one latent (d,) to one image of any shape, in intensity units.
        paths: Where to start (b, s+1, d), s >= 2: paths of the graph from `geovq.graph.paths.resample`, or straight lines.
        iterations: Steps of the optimiser at most, at least 1.
        tolerance: Relative decrease of the energy in one step below which a path has converged, > 0. Half of it is the relative
            decrease of the length. Below 1e-6 float32 only shows its rounding.
        plan: How much at once: a path takes a pass for each of its points. A mesh is not used.
        progress: Called with the number of paths that are finished.

    Returns:
        The paths, and how they ended. A path that became no shorter is returned as it was given.

    Raises:
        InputError: Paths of another shape, NaN or infinity, options out of range, or a decoder that cannot be differentiated or
            gives NaN.
    """
    paths = _check_paths(paths)
    check_whole("iterations", iterations)
    check_number("tolerance", tolerance, "a number > 0", lambda value: value > 0, "raise it")
    decode = as_partial(decode)
    check_decoder(decode, paths[:, 0])
    points, shape = paths.shape[1], paths.shape[2:]
    at_once = passes_within(plan, decode, shape, work="gradients", least=points, remedy=_REMEDY, dtype=paths.dtype)
    measure, start, step, place = _compile(settle(plan).options)
    chunks = functools.partial(map_chunks, chunk=rows_of_call(len(paths), at_once // points), pad=True)

    first_lengths, first_energies = chunks(functools.partial(measure, decode), paths)
    check_finite("decoder: lengths of the decoded paths", first_lengths)
    whitening = _whitening(decode, paths, plan)
    state, treedef = jax.tree.flatten(chunks(start, paths))
    n_iter = np.zeros(len(paths), np.int32)
    converged = np.zeros(len(paths), bool)

    def advance(rows: np.ndarray, *leaves: np.ndarray) -> tuple[list[Array], _Progress]:
        moved, made = step(decode, whitening, rows, jax.tree.unflatten(treedef, leaves))
        return jax.tree.leaves(moved), made

    for _ in range(iterations):
        active = np.flatnonzero(~converged)
        moved, made = chunks(advance, paths[active], *(leaf[active] for leaf in state))
        if not made.sound.all():
            raise InputError(
                "decoder: expected finite derivatives along the paths, found NaN or infinity on path "
                f"{active[int(made.sound.argmin())]}; check the decoder there."
            )
        for leaf, values in zip(state, moved, strict=True):
            leaf[active] = values
        n_iter[active] += 1
        converged[active] = made.conclusive & (made.decrease <= tolerance * made.energy)
        if progress is not None:
            progress(int(converged[active].sum()))
        if converged.all():
            break
    if progress is not None:
        progress(int((~converged).sum()))

    shortened = chunks(functools.partial(place, whitening), paths, jax.tree.unflatten(treedef, state).move)
    lengths, energies = chunks(functools.partial(measure, decode), shortened)
    better = lengths < first_lengths
    return Geodesics(
        np.where(better[:, None, None], shortened, paths),
        np.where(better, lengths, first_lengths),
        np.where(better, energies, first_energies),
        n_iter,
        converged,
    )


def path_energy(images: Float[Array, "s1 p"]) -> Float[Array, ""]:
    """s·Σ‖x_{i+1} − x_i‖² of s + 1 images: the squared length, and more where the steps are unequal."""
    return (len(images) - 1) * jnp.sum(jnp.diff(images, axis=0) ** 2)


def _check_paths(paths: np.ndarray) -> np.ndarray:
    paths = as_array("paths", paths)
    if paths.ndim != 3 or len(paths) == 0 or paths.shape[1] < 3:
        raise InputError(
            f"paths: expected shape (b, s+1, d) with b >= 1 and s >= 2, found {paths.shape}; make them by resample."
        )
    if paths.dtype not in (np.float32, np.float64):
        paths = paths.astype(np.float32)
    check_finite("paths", paths)
    return paths


def _whitening(decode: Partial, paths: np.ndarray, plan: Plan) -> _Whitening:
    """For E with one metric M everywhere, whose Hessian is 2s·L ⊗ M with the path's Laplacian L: its inverse square root.

    Without it the optimiser would need a number of steps that grows with s, since L has eigenvalues from about 1/s² to 4.
    """
    segments = paths.shape[1] - 1
    points = paths.reshape(-1, paths.shape[2])
    metrics = pullback_metrics(decode, points[:: max(1, len(points) // _WHITENING_POINTS)], plan=plan)
    laplacian = 2 * np.eye(segments - 1) - np.eye(segments - 1, k=1) - np.eye(segments - 1, k=-1)
    return _Whitening(
        eigen_root(2 * segments * laplacian, power=-0.5, floor=_FLAT).astype(paths.dtype),
        eigen_root(metrics.mean(axis=0, dtype=np.float64), power=-0.5, floor=_FLAT).astype(paths.dtype),
    )


def _optimiser() -> optax.GradientTransformationExtraArgs:
    """L-BFGS whose line search takes values alone: gradients of convolutions in a loop would be slow on a CPU."""
    return optax.chain(
        optax.scale_by_lbfgs(memory_size=10),
        optax.scale(-1.0),
        optax.scale_by_backtracking_linesearch(
            _BACKTRACKS, decrease_factor=0.5, increase_factor=2.0, max_learning_rate=1.0, store_grad=False
        ),
    )


def _place_points(whitening: _Whitening, path: Array, move: Array) -> Array:
    """The path with its interior points moved."""
    return path.at[1:-1].add(whitening.rows @ move @ whitening.columns)


def _measure(decode: Partial, path: Array) -> tuple[Array, Array]:
    images = jax.vmap(functools.partial(flat, decode))(path)
    return path_length(images), path_energy(images)


def _initial_descent(path: Array) -> _Descent:
    move = jnp.zeros_like(path[1:-1])
    return _Descent(move, _optimiser().init(move))


def _take_step(decode: Partial, whitening: _Whitening, path: Array, state: _Descent) -> tuple[_Descent, _Progress]:
    """One step of the optimiser; where it does not lower the energy the path stays, and the optimiser begins anew."""

    def energy(move: Array) -> Array:
        return _measure(decode, _place_points(whitening, path, move))[1]

    before, gradient = jax.value_and_grad(energy)(state.move)
    update, optimiser = _optimiser().update(
        gradient, state.optimiser, state.move, value=before, grad=gradient, value_fn=energy
    )
    after = optax.tree.get(optimiser, "value")
    lower = after < before
    new = _Descent(optax.apply_updates(state.move, update), optimiser)
    # Where the energy curves downwards the L-BFGS direction may lead upwards. Without its memory it is the gradient's.
    restarted = _initial_descent(path)._replace(move=state.move)
    kept = jax.tree.map(lambda a, b: jnp.where(lower, a, b), new, restarted)
    first = optax.tree.get(state.optimiser, "count") == 0
    sound = jnp.isfinite(gradient).all()
    return kept, _Progress(jnp.where(lower, before - after, 0), jnp.minimum(before, after), lower | first, sound)


@functools.cache
def _compile(options: Options) -> tuple[Callable, Callable, Callable, Callable]:
    """`_measure`, `_initial_descent`, `_take_step` and `_place_points` for many paths."""

    def of_many(kernel: Callable, axes: tuple[int | None, ...]) -> Callable:
        return jax.jit(jax.vmap(kernel, in_axes=axes), compiler_options=dict(options))

    return (
        of_many(_measure, (None, 0)),
        of_many(_initial_descent, (0,)),
        of_many(_take_step, (None, None, 0, 0)),
        of_many(_place_points, (None, 0, 0)),
    )
