"""The systems of benchmarks.generation and study: tokens, a Transformer over them, and a decoder of its samples.

Tokens come from a VAE and its codebooks, or from a VQ-VAE, and stay as they are when a decoder is fine-tuned on them: one
Transformer serves every decoder of its tokens. Some tokens are what the Transformer of others expects.
"""

import dataclasses
from collections.abc import Collection, Iterable
from typing import Any, Literal

from geovq.codebook.names import CodebookName
from geovq.validation import InputError
from train.config.names import AssignerName, StartName


@dataclasses.dataclass(frozen=True)
class System:
    """Tokens, the Transformer over them, and the decoder of its samples."""

    codebook: CodebookName | Literal["baseline"]
    assign: AssignerName
    decoder: Literal["own", "finetuned", "perceptual"] = "own"
    """own: what the codes were made for. finetuned: that, trained on the tokens. perceptual: the same with a price on LPIPS."""
    priced: bool = False
    """Whether tokens are chosen at a price per nat of the Transformer over this codebook's `whitened` tokens."""
    held: bool = True
    """Whether the VAE's KL bits are held at those of a code, at every position."""
    conditional: bool = True
    start: StartName = "codes"
    """Initial rows of the Transformer's tokens."""
    codes: int = 512
    large: bool = False
    """Whether the Transformer is the original study's large one: 8 layers, 512 channels, 8 heads."""
    training: Literal["short", "usual", "long"] = "usual"
    """short: what the original study's first experiment had. long: to see what nats come to; no system is compared with it."""

    @property
    def transformer(self) -> str:
        """Name of the Transformer, which systems share that differ in their decoder alone."""
        parts = [self.tokens]
        parts += [] if self.conditional else ["unconditional"]
        parts += ["random"] if self.start == "random" else []
        parts += ["large"] if self.large else []
        parts += ["long"] if self.training == "long" else []
        return "-".join(parts)

    @property
    def tokens(self) -> str:
        """Name of the tokens, which Transformers of all kinds share."""
        parts = ["vqvae" if self.codebook == "baseline" else self.codebook, self.assign]
        parts += ["priced"] if self.priced else []
        parts += [] if self.held else ["free"]
        return "-".join(parts if self.codes == 512 else [*parts, str(self.codes)])

    @property
    def prior(self) -> "System | None":
        """That whose Transformer's nats have a price: of `whitened` tokens, class-conditional, small."""
        of_prior: dict[str, Any] = {
            "assign": "whitened",
            "priced": False,
            "decoder": "own",
            "conditional": True,
            "start": "codes",
            "large": False,
            "training": "usual",
        }
        return dataclasses.replace(self, **of_prior) if self.priced else None

    @property
    def name(self) -> str:
        """Of its rows."""
        return self.transformer if self.decoder == "own" else f"{self.transformer}-{self.decoder}"

    @property
    def fields(self) -> dict[str, Any]:
        """What its rows say of it."""
        of_vqvae = self.codebook == "baseline"
        return {
            "system": "vqvae" if of_vqvae else "ours",
            "name": self.name,
            "transformer": self.transformer,
            "codebook": self.codebook,
            "assign": self.assign,
            "priced": self.priced,
            "decoder": ("end-to-end" if of_vqvae else "frozen") if self.decoder == "own" else self.decoder,
            "held": self.held,
            "conditional": self.conditional,
            "start": self.start,
            "large": self.large,
        }


REPLICATED = (
    System("metric", "whitened"),
    System("metric", "whitened", "finetuned"),
    System("metric", "whitened", "perceptual"),
    System("metric", "whitened", "finetuned", conditional=False),
    System("baseline", "euclidean"),
    System("baseline", "euclidean", "finetuned"),
    System("baseline", "euclidean", "perceptual"),
    System("euclidean", "euclidean"),
    System("euclidean", "euclidean", "finetuned"),
    System("geodesic", "geodesic"),
    System("metric", "joint"),
    System("metric", "joint", "finetuned"),
    System("metric", "joint", "perceptual"),
)
"""Those that benchmarks.generation compares, over all seeds."""

ONCE = (
    System("metric", "whitened", held=False),
    System("metric", "whitened", held=False, training="long"),
    System("metric", "amortised"),
    System("metric", "amortised", priced=True),
    System("metric", "amortised", "finetuned", priced=True),
    System("metric", "amortised", "perceptual", priced=True),
)
"""Those that stand beside them; on the reduced schedule, these and most of benchmarks.study have the first seed alone."""

SYSTEMS = (*REPLICATED, *ONCE)
"""All of benchmarks.generation."""

EXPERIMENTS = {
    "1 Euclidean medoids": System("euclidean", "euclidean", conditional=False, start="random", training="short"),
    "2 Euclidean medoids, K = 1024, large": System(
        "euclidean", "euclidean", conditional=False, start="random", codes=1024, large=True
    ),
    "3 geodesic medoids": System("geodesic", "geodesic", conditional=False, start="random"),
    "4 metric means, decoder fine-tuned": System("metric", "whitened", "finetuned", conditional=False),
    "5 as 4, large": System("metric", "whitened", "finetuned", conditional=False, large=True),
    "6 as 4, class-conditional": System("metric", "whitened", "finetuned"),
    "7 as 6, decoder with LPIPS": System("metric", "whitened", "perceptual"),
    "8 as 7, `joint` tokens": System("metric", "joint", "perceptual"),
}
"""Those of benchmarks.study: the original three experiments, what they meant to do next, sharper textures, and our best."""


def check_names(wanted: Iterable[str], known: Collection[str]) -> None:
    """Refuses systems that a benchmark does not have.

    Raises:
        InputError: Names the first, and all that there are.
    """
    if unknown := [name for name in wanted if name not in known]:
        raise InputError(f"systems: expected some of {', '.join(known)}, found {unknown[0]!r}; change --systems.")
