"""Geodesic: the code at the end of the shortest path through the measured graph."""

import dataclasses
from typing import ClassVar, Self

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Int

from geovq.assignment.base import Codebook, Inputs, MeasuredAssigner, Passes, Training
from geovq.assignment.local import assign_with_metrics, metric_passes
from geovq.batching.chunks import Progress
from geovq.batching.plan import DEFAULT_PLAN, Plan
from geovq.geometry.measured import Geometry
from geovq.geometry.placed_codes import CodeField, code_field, nearest_along, place_codes
from geovq.validation import InputError, check_whole


@dataclasses.dataclass(frozen=True, eq=False)
class Geodesic(MeasuredAssigner):
    """The code that is nearest along the graph of measured latents, an edge being as long as the image's way along it."""

    needs_metrics: ClassVar[bool] = True
    needs_geometry: ClassVar[bool] = True
    max_quantizers: ClassVar[int] = 1

    probes: int | None = None
    """As for `Local`."""
    field: CodeField | None = None
    """The nearest code of every node of the graph; None until it is measured."""

    def __post_init__(self) -> None:
        """Refuses a number of probes below 1."""
        if self.probes is not None:
            check_whole("probes", self.probes)

    def is_measured(self, codebook: Codebook) -> bool:
        """Whether these codes lie in a graph: they are its last nodes."""
        if self.field is None:
            return False
        return np.array_equal(self.field.nodes[-codebook.num_codes :], codebook.codes[0])

    def measure(
        self,
        decode: Partial,
        codebook: Codebook,
        training: Training,
        *,
        plan: Plan = DEFAULT_PLAN,
        progress: Progress | None = None,
    ) -> Self:
        """The same assigner with the codes placed in the graph of `training.geometry`.

        Raises:
            InputError: No geometry.
        """
        geometry, d = training.geometry, codebook.codes.shape[-1]
        if geometry is None:
            raise InputError(
                "geometry: expected the measured graph in which Geodesic finds its paths, found none; make it by "
                "geovq.measure(encode, decode, images).geometry and call Tokenizer.replace(assigner=Geodesic(), geometry=...), "
                "or fit with assigner=Geodesic()."
            )
        if not isinstance(geometry, Geometry) or geometry.nodes.shape[1] != d:
            raise InputError(
                f"geometry: expected what geovq.geometry.measure returns for latents of {d} dimensions, found "
                f"{type(geometry).__name__}; measure the latents of this tokenizer's VAE."
            )
        return dataclasses.replace(self, field=code_field(place_codes(geometry, codebook.codes[0])))

    def __call__(
        self,
        decode: Partial,
        codebook: Codebook,
        inputs: Inputs,
        *,
        plan: Plan = DEFAULT_PLAN,
        progress: Progress | None = None,
    ) -> Int[np.ndarray, "n h w S"]:
        """Tokens, see `Assigner`; K, which no decoder takes, where no code can be reached.

        That happens only in a graph whose components were left apart (components="drop").
        """
        field = self.field
        assert field is not None  # the tokenizer has checked it
        return assign_with_metrics(
            lambda z, metrics: nearest_along(field, z, metrics)[0][:, None],
            decode,
            inputs,
            probes=self.probes,
            plan=plan,
            progress=progress,
        )

    def passes(self, shape: tuple[int, ...], codebook: Codebook) -> Passes:
        """Those of the tokens' own metrics."""
        return metric_passes(shape, self.probes)
