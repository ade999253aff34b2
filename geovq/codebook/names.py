"""Names of codebooks; free of jax, so that programs answer --help at once."""

from typing import Literal, get_args

CodebookName = Literal["kmeans", "whitened", "metric", "refined", "euclidean", "geodesic"]
CompositionName = Literal["residual", "product"]

CODEBOOKS: tuple[CodebookName, ...] = get_args(CodebookName)
OF_MEANS: tuple[CodebookName, ...] = ("kmeans", "whitened", "metric", "refined")
"""Codebooks whose codes are means: only they can have several codes a token."""

COMPOSITIONS: tuple[CompositionName, ...] = get_args(CompositionName)
