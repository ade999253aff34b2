"""Which codebook is wanted."""

from typing import Literal, NamedTuple, get_args

from geovq.codebook.names import CODEBOOKS, COMPOSITIONS, OF_MEANS, CodebookName, CompositionName
from geovq.numerics.additive import MAX_QUANTIZERS
from geovq.validation import InputError, check_choice, check_seed, check_whole, shown

StatisticsName = Literal["means", "tokens", "graph"]
"""What is measured of latents: mean metrics; metrics of tokens too; the graph between these tokens too."""


class Recipe(NamedTuple):
    """Which codebook is wanted."""

    name: CodebookName = "whitened"
    """Which of the codebooks of `geovq.codebook.fit`."""
    num_codes: int = 512
    """K, of each quantizer."""
    num_quantizers: int = 1
    """Codes of a token, S."""
    composition: CompositionName = "residual"
    """residual or product, where a token has several codes, see `geovq.numerics.additive`."""
    seed: int = 0
    """Of every random choice."""


STATISTICS: tuple[StatisticsName, ...] = get_args(StatisticsName)
"""From the least to the most."""


def needed_statistics(name: CodebookName) -> StatisticsName:
    """What a codebook is made of, beside latents. `kmeans` codes need no metric; whoever assigns them by one needs the means."""
    if name in ("metric", "refined"):
        return "tokens"
    return "means" if name in OF_MEANS else "graph"


def check_recipe(recipe: Recipe, d: int) -> None:
    """Refuses a codebook that no latents of d dimensions can have.

    Raises:
        InputError: Unknown name or composition, numbers that are not whole, or more quantizers than the codebook can have.
    """
    check_choice("codebook", recipe.name, CODEBOOKS)
    check_whole("num_codes", recipe.num_codes, 0, 1 << 24, "ask for fewer codes")
    check_whole("num_quantizers", recipe.num_quantizers)
    check_seed(recipe.seed)
    check_choice("composition", recipe.composition, COMPOSITIONS)
    product = min(MAX_QUANTIZERS, d) if recipe.composition == "product" else MAX_QUANTIZERS
    most = product if recipe.name in OF_MEANS else 1
    if recipe.num_quantizers > most:
        raise InputError(
            f"num_quantizers: expected 1..{most} for the codebook {recipe.name} and {d} latent dimensions, found "
            f"{shown(recipe.num_quantizers)}; take fewer, or one of {', '.join(OF_MEANS)}."
        )


def check_enough(num_codes: int, available: int, what: str) -> None:
    """Refuses more codes than there is to make them of.

    Raises:
        InputError: With both numbers.
    """
    if not 1 <= num_codes <= available:
        found = f"all alike, for K = {num_codes}" if available == 1 else str(num_codes)
        raise InputError(
            f"num_codes: expected K in 1..{available}, the number of {what}, found {found}; ask for fewer codes or give more "
            "images."
        )
