"""Names that options can have; free of jax, so that programs answer --help at once."""

from typing import Literal, get_args

AssignerName = Literal[
    "euclidean", "whitened", "whitened-position", "local", "geodesic", "amortised", "joint", "greedy"
]
BaselineName = Literal["vqvae", "fsq"]
ComponentsName = Literal["bridge", "drop"]
DatasetName = Literal["fashion_mnist", "mnist", "digits"]
StartName = Literal["codes", "random"]

TRAINING_IMAGES: dict[str, int] = {"fashion_mnist": 55_000, "mnist": 55_000, "digits": 1_297}
"""Of each data set, without those that are held out for validation."""

ASSIGNERS: tuple[str, ...] = get_args(AssignerName)

TAKES_CODE_COSTS: tuple[str, ...] = ("amortised", "joint")
"""Assigners that can weigh the image's error against what the codes cost."""
