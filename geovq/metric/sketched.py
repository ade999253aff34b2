"""Sketches of many latents, all probes at once or, where memory does not hold them, some after the others."""

import dataclasses
import math
from collections.abc import Iterator

import jax
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Integer

from geovq.batching import run as batching
from geovq.batching.budget import passes_within
from geovq.batching.chunks import Progress
from geovq.batching.memory import DecoderMemory, RowMemory
from geovq.batching.plan import Plan
from geovq.metric.pullback import sketch, sketched_metric

_REMEDY = "take smaller images or fewer probes"


@dataclasses.dataclass(frozen=True)
class Sketch:
    """Kernel: rows of the sketch S at a latent, or what they add to its metrics.

    A loop would slow reverse mode down, so it never divides them.
    """

    probes: int
    """Rows of S."""
    count: int
    """Those that are computed."""
    factor: bool
    """Whether S itself is wanted."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """One for every row."""
        return self.count

    def memory(self, decoder: DecoderMemory, shape: tuple[int, ...]) -> RowMemory:
        """The probes, and what is wanted, beside the products."""
        held = _held_bytes(decoder, self.probes, shape)
        return decoder.products(held)._replace(least=self.count, remedy=_REMEDY)

    def __call__(
        self, decode: Partial, latent: Array, seed: Array, draw: Array, first: Array, *, at_once: int
    ) -> Array:
        """A latent, the data of a key, the number of its draw, and the first row -> (r, *latent.shape), or (..., d, d)."""
        key = jax.random.fold_in(jax.random.wrap_key_data(seed), draw)
        count = None if self.count == self.probes else self.count
        found = sketch(decode, latent, self.probes, key, first=first, count=count)
        return found if self.factor else sketched_metric(found)


def _held_bytes(decoder: DecoderMemory, probes: int, shape: tuple[int, ...]) -> int:
    """Bytes of the random bits and the signs of all probes, and of S or the metrics."""
    return 2 * probes * decoder.image + 4 * math.prod(shape) * max(probes, shape[-1])


@dataclasses.dataclass(frozen=True)
class Sketching:
    """How latents are sketched: rows with equal draws have equal probes."""

    probes: int
    seed: int
    factor: bool
    """Whether sketches are wanted, and not the metrics SᵀS."""

    def run(
        self,
        decode: Partial,
        latents: Float[np.ndarray, "n ..."],
        draws: Integer[np.ndarray, " n"],
        *,
        plan: Plan,
        progress: Progress | None,
    ) -> np.ndarray:
        """Sketches (n, r, ...) or metrics (n, ..., d, d)."""
        count = self._at_once(decode, latents, plan)
        if count == self.probes:
            return batching.run(self._kernel(count), decode, *self._rows(latents, draws), plan=plan, progress=progress)
        return np.concatenate(list(self._blocks(decode, latents, draws, count, plan, progress)))

    def run_summed(
        self,
        decode: Partial,
        latents: Float[np.ndarray, "n ..."],
        draws: Integer[np.ndarray, " n"],
        *,
        plan: Plan,
        progress: Progress | None,
    ) -> np.ndarray:
        """The sum over the latents, in float64."""
        count = self._at_once(decode, latents, plan)
        if count == self.probes:
            rows = self._rows(latents, draws)
            return batching.run_summed(self._kernel(count), decode, *rows, plan=plan, progress=progress)
        blocks = self._blocks(decode, latents, draws, count, plan, progress)
        return sum(block.sum(axis=0, dtype=np.float64) for block in blocks)

    def _blocks(
        self,
        decode: Partial,
        latents: np.ndarray,
        draws: np.ndarray,
        count: int,
        plan: Plan,
        progress: Progress | None,
    ) -> Iterator[np.ndarray]:
        """The results of one latent after the other, or of one for each device, whose probes are divided."""
        size = 1 if plan.mesh is None else plan.mesh.size
        for start in range(0, len(latents), size):
            some = slice(start, start + size)
            parts = [
                batching.run(self._kernel(count), decode, *self._rows(latents[some], draws[some], first), plan=plan)
                for first in range(0, self.probes, count)
            ]
            yield np.concatenate(parts, axis=1)[:, : self.probes] if self.factor else np.sum(parts, axis=0)
            if progress is not None:
                progress(len(latents[some]))

    def _kernel(self, count: int) -> Sketch:
        return Sketch(self.probes, count, self.factor)

    def _at_once(self, decode: Partial, latents: np.ndarray, plan: Plan) -> int:
        """Probes at once; parts of nearly one size, so that the last one is not mostly empty."""
        most = passes_within(
            plan,
            decode,
            latents.shape[1:],
            held=lambda decoder: _held_bytes(decoder, self.probes, latents.shape[1:]),
            remedy=_REMEDY,
            dtype=latents.dtype,
        )
        parts = -(-self.probes // most)
        return -(-self.probes // parts)

    def _rows(self, latents: np.ndarray, draws: np.ndarray, first: int = 0) -> tuple[np.ndarray, ...]:
        data = np.asarray(jax.random.key_data(jax.random.key(self.seed)))
        n = len(latents)
        return latents, np.broadcast_to(data, (n, *data.shape)), draws, np.full(n, first, np.int32)
