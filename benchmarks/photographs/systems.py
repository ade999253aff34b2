"""What is compared: rates, codes, who chooses among them, and on which pixels."""

import math
from typing import Literal, NamedTuple, get_args

from geovq.codebook.names import CODEBOOKS, CodebookName, CompositionName

RivalName = Literal["uniform", "quantile", "gaussian", "beam", "lsq"]
RIVALS: tuple[RivalName, ...] = get_args(RivalName)

Codes = CodebookName | RivalName | Literal["default", "product"]
"""default: what `Tokenizer.fit` chooses; product: the same with channels of its own for every quantizer."""

Assign = Literal["own", "whitened", "amortised", "joint", "joint-lpips", "greedy"]
"""own: as the method itself chooses its codes, by Euclidean distance in most of them."""


class Rate(NamedTuple):
    """Codes of a token."""

    num_codes: int
    """K, of each quantizer."""
    num_quantizers: int = 1
    """S."""

    @property
    def bits(self) -> float:
        """Of a token."""
        return self.num_quantizers * math.log2(self.num_codes)

    @property
    def name(self) -> str:
        """Of files."""
        return f"{self.num_codes}x{self.num_quantizers}"


class System(NamedTuple):
    """Whose codes, and who chooses among them."""

    codes: Codes
    assign: Assign

    @property
    def codebook(self) -> CodebookName | None:
        """Of codes that are fitted; None for the default one."""
        return next((name for name in CODEBOOKS if name == self.codes), None)

    @property
    def composition(self) -> CompositionName:
        """Of several codes."""
        return "product" if self.codes == "product" else "residual"


EUCLIDEAN = System("kmeans", "own")
"""What is compared with: k-means, or residual k-means, and the nearest codes."""

AUTOENCODER = "taesd"
"""Which is looked at most closely: its images are shown and compared as sets, and it is fine-tuned."""


class Crops(NamedTuple):
    """Which pixels of how many photographs are scored."""

    photographs: int
    side: int | None
    """Pixels of the sides of their centres; None for whole photographs."""
