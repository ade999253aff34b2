"""The systems of the generation study: tokens, a Transformer over them, and a decoder of its samples.

Tokens come from a VAE and its codebooks, or from a VQ-VAE. They stay the same when a decoder is fine-tuned on them, so one
Transformer serves every decoder of its tokens. Some tokens are chosen for the likelihood that another Transformer gives them.
"""

import dataclasses
from typing import Any, Literal, get_args

from train.config.names import AssignerName, StartName

from benchmarks.tokenizer.systems import CODEBOOKS
from geovq.codebook.names import CodebookName
from train.config.options import VAEOptions

FREE = VAEOptions.noise_variance
"""β of a VAE whose KL bits are not held."""


@dataclasses.dataclass(frozen=True)
class System:
    """Tokens, the Transformer over them, and the decoder of its samples."""

    codebook: CodebookName | Literal["baseline"]
    assign: AssignerName
    decoder: Literal["own", "finetuned", "perceptual"] = "own"
    """own: of the tokenizer. finetuned: trained on the tokens. perceptual: trained on the tokens, with a weight on LPIPS."""
    entropy: bool = False
    """Whether the tokens' nats have a weight: nats of the Transformer over this codebook's `whitened` tokens."""
    noise_variance: float | None = None
    """β of the VAE; None: its KL bits are held at log2 K, at every position."""
    conditional: bool = True
    start: StartName = "codes"
    """Initial rows of the Transformer's tokens."""
    num_codes: int = 512
    large: bool = False
    """Whether the Transformer is the original study's large one: 8 layers, 512 channels, 8 heads."""
    training: Literal["short", "usual", "long"] = "usual"
    """short: as in the original study's first experiment. long: to find the least nats; not compared with other systems."""

    @property
    def tokens(self) -> str:
        """Name of the tokens, which several Transformers may share."""
        parts = ["vqvae" if self.codebook == "baseline" else self.codebook, self.assign]
        parts += ["entropy"] if self.entropy else []
        if self.noise_variance is not None:
            parts.append("free" if self.noise_variance == FREE else f"{self.noise_variance:g}")
        return "-".join(parts if self.num_codes == 512 else [*parts, str(self.num_codes)])

    @property
    def transformer(self) -> str:
        """Name of the Transformer, which several decoders may share."""
        parts = [self.tokens]
        parts += [] if self.conditional else ["unconditional"]
        parts += ["random"] if self.start == "random" else []
        parts += ["large"] if self.large else []
        parts += ["long"] if self.training == "long" else []
        return "-".join(parts)

    @property
    def name(self) -> str:
        """Of its rows."""
        return self.transformer if self.decoder == "own" else f"{self.transformer}-{self.decoder}"

    @property
    def prior(self) -> "System | None":
        """The system whose Transformer weighs the tokens: `whitened` tokens, class-conditional, small."""
        of_prior: dict[str, Any] = {
            "assign": "whitened",
            "entropy": False,
            "decoder": "own",
            "conditional": True,
            "start": "codes",
            "large": False,
            "training": "usual",
        }
        return dataclasses.replace(self, **of_prior) if self.entropy else None

    @property
    def fields(self) -> dict[str, Any]:
        """Fields of its rows."""
        of_vqvae = self.codebook == "baseline"
        return {
            "system": "vqvae" if of_vqvae else "ours",
            "name": self.name,
            "transformer": self.transformer,
            "codebook": self.codebook,
            "assign": self.assign,
            "entropy": self.entropy,
            "decoder": ("end-to-end" if of_vqvae else "frozen") if self.decoder == "own" else self.decoder,
            "held": self.noise_variance is None,
            "noise_variance": self.noise_variance,
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
"""Compared over all seeds."""

ONCE = (
    System("metric", "whitened", noise_variance=FREE),
    System("metric", "whitened", noise_variance=FREE, training="long"),
    System("metric", "amortised"),
    System("metric", "amortised", entropy=True),
    System("metric", "amortised", "finetuned", entropy=True),
    System("metric", "amortised", "perceptual", entropy=True),
)
"""Shown beside them; at the reduced size these and most experiments have the first seed alone."""

EXPERIMENTS = {
    "1 Euclidean medoids": System("euclidean", "euclidean", conditional=False, start="random", training="short"),
    "2 Euclidean medoids, K = 1024, large": System(
        "euclidean", "euclidean", conditional=False, start="random", num_codes=1024, large=True
    ),
    "3 geodesic medoids": System("geodesic", "geodesic", conditional=False, start="random"),
    "4 metric means, decoder fine-tuned": System("metric", "whitened", "finetuned", conditional=False),
    "5 as 4, large": System("metric", "whitened", "finetuned", conditional=False, large=True),
    "6 as 4, class-conditional": System("metric", "whitened", "finetuned"),
    "7 as 6, decoder with LPIPS": System("metric", "whitened", "perceptual"),
    "8 as 7, `joint` tokens": System("metric", "joint", "perceptual"),
}
"""The original study's three experiments, its own next steps, sharper textures, and our best."""

LONGER = tuple(
    system
    for system in REPLICATED
    if system.decoder != "perceptual" and system.tokens in ("euclidean-euclidean", "vqvae-euclidean", "metric-joint")
)
"""Trained for longer, to see whether the order of the systems holds."""

LONGEST = tuple(system for system in LONGER if system.codebook != "euclidean")
"""Trained for longest."""

VARIANCES = (0.005, 0.002)
"""β of VAEs that carry more bits."""

CHOSEN = 0.002
"""The one whose Transformer saves most nats relative to frequencies, on validation images at the reduced size."""

PREDICTED = (
    *(System(codebook, "whitened") for codebook in CODEBOOKS),
    *(System("metric", assign) for assign in get_args(AssignerName) if assign != "whitened"),
    *(System("metric", "whitened", noise_variance=variance) for variance in VARIANCES),
    System("metric", "whitened", "finetuned", noise_variance=CHOSEN, training="long"),
)
"""How predictable tokens are: every codebook, every assignment, VAEs that carry more bits, and the best of these for longer."""


def by_name(*systems: System) -> dict[str, System]:
    """Systems by the name of their rows."""
    return {system.name: system for system in systems}
