"""Every option of every stage, and the presets. Free of jax, so that programs answer --help at once.

No option has a default anywhere else.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Literal, Protocol

import tyro

from geovq.checks import InputError
from geovq.config import (
    OF_MEANS,
    AssignmentName,
    BaselineName,
    CodebookName,
    ComponentsName,
    DatasetName,
    GPTConfig,
    StackingName,
    VAEConfig,
)


class Training(Protocol):
    """What every network's options say about its training."""

    @property
    def epochs(self) -> int | tuple[int, ...]:
        """Passes through the training images, or those of each round."""

    @property
    def batch_size(self) -> int:
        """Images per step."""

    @property
    def patience(self) -> int:
        """Epochs without a better validation loss after which training stops; 0 = never."""

    @property
    def checkpoint_every(self) -> int:
        """Steps between checkpoints."""

    @property
    def seed(self) -> int:
        """Of the initial parameters and all that is drawn."""


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Which images."""

    dataset: DatasetName = "fashion_mnist"
    """fashion_mnist, mnist or digits (built in, 1,797 images)."""
    data_dir: str | None = None
    """Folder with the four official IDX files; without it the environment variable GEOVQ_DATA, then tensorflow-datasets."""
    split_seed: int = 0
    """Seed of the validation split, which comes out of the training set."""


@dataclasses.dataclass(frozen=True)
class VAEOptions:
    """The continuous VAE and its training."""

    grid: tuple[int, int] = VAEConfig.grid
    """Token grid (h, w)."""
    latent_dim: int = VAEConfig.latent_dim
    """Latent dimensions d of a token."""
    width: int = VAEConfig.width
    """Channels at half the image's resolution, doubled with each halving."""
    max_width: int = VAEConfig.max_width
    """Most channels at any resolution."""
    bits: Annotated[float, tyro.conf.arg(aliases=("--bits",))] = 9.0
    """KL bits that a token should carry at every position, held by a controller of β: log2 K for K codes. 0 = β stays."""
    noise_variance: float = 0.011
    """β, the variance of a pixel given its latents, intensity²; where bits are asked for, only the first. Larger: fewer bits."""
    epochs: int = 30
    """Passes through the training images."""
    batch_size: int = 128
    """Images per step."""
    learning_rate: float = 4e-3
    """Peak; warmed up over the first 200 steps (at most a tenth of all), then cosine decay to a hundredth."""
    weight_decay: float = 1e-4
    """Of AdamW."""
    patience: int = 0
    """Epochs without a better validation loss after which training stops; 0 = never."""
    checkpoint_every: int = 200
    """Steps between checkpoints; there is one after every epoch too."""
    seed: int = 0
    """Of the initial parameters, the order of the images and the posterior samples."""


@dataclasses.dataclass(frozen=True)
class BaselineOptions:
    """A quantizer trained end to end, with the networks, the batches and the schedule of the VAE."""

    system: BaselineName = "vqvae"
    """vqvae (moving averages, unused codes started anew) or fsq."""
    codes: int = 512
    """Codes K of a VQ-VAE."""
    commitment: float = 0.25
    """Weight of a VQ-VAE's squared distance between latents and codes; the images' error has the weight 1 / variance."""
    levels: tuple[int, ...] = (8, 8, 8)
    """Levels of each latent number of FSQ; their product is K."""


@dataclasses.dataclass(frozen=True)
class CodebookOptions:
    """The measured latents and the codebooks on them."""

    codebooks: tuple[CodebookName, ...] = ("kmeans", "whitened", "euclidean", "geodesic")
    """Which to build: kmeans, whitened, metric, refined (means), euclidean, geodesic (medoids)."""
    codes: int = 512
    """Codes K of each, or of each of their stages."""
    stages: int = 1
    """Codes of a token, 1 to 4; several are for codebooks of means."""
    stacking: StackingName = "residual"
    """residual: each stage refines what the ones before leave over; product: each has directions to itself."""
    measured_images: int = 2000
    """At most so many training images, drawn at random, get metrics for their tokens, which become nodes of the graph."""
    probes: int = 0
    """Random probes of sketched metrics: 32 for all 60,000 images take minutes on two cores; 0 = exact."""
    neighbours: int = 16
    """Nearest neighbours k of a node."""
    components: ComponentsName = "bridge"
    """bridge: join the graph's components; drop: use the largest, as the original study did."""
    seed: int = 0
    """Of the draw, k-means and the medoids."""


@dataclasses.dataclass(frozen=True)
class FinetuneOptions:
    """Decoder and codes trained on frozen tokens, round after round."""

    codebook: CodebookName | Literal["vqvae"] = "whitened"
    """Codebook that it starts from; vqvae: codes, encoder and decoder of train.baseline."""
    assigns: tuple[AssignmentName, ...] = ("whitened",)
    """Assignment of the tokens that each round trains on, the last for all further rounds; that one is validated."""
    probes: int = 0
    """Products that a Jacobian is sketched by, for assignments that need one; 96 for joint lose nothing here; 0 = exact."""
    images: int = 0
    """At most so many training images, drawn at random, where an assignment runs the decoder (local, joint, ...); 0 = all."""
    val_images: int = 5000
    """At most so many validation images."""
    rounds: int = 3
    """At most; a round follows while the one before improved the validation images with tokens assigned anew."""
    epochs: tuple[int, ...] = (3,)
    """Passes through these images in each round, the last for all further rounds."""
    batch_size: int = 128
    """Images per step."""
    learning_rate: float = 1e-3
    """Peak, in each round; warmed up, then cosine decay to a hundredth."""
    weight_decay: float = 1e-4
    """Of AdamW."""
    patience: int = 0
    """Epochs of a round without a better validation loss after which it ends; 0 = never."""
    checkpoint_every: int = 200
    """Steps between checkpoints; there is one after every epoch too."""
    seed: int = 0
    """Of the order of the images."""


@dataclasses.dataclass(frozen=True)
class GPTOptions:
    """The Transformer over the tokens, and its training."""

    codebook: CodebookName = "kmeans"
    """Codebook of its tokens."""
    assign: AssignmentName = "whitened"
    """Their assignment: euclidean, whitened, whitened-position, local, geodesic, amortised, joint or decoded."""
    conditional: bool = True
    """Learn each class's own images (needed to sample by class)."""
    layers: int = GPTConfig.layers
    """Transformer blocks: 4 in the study's small model, 8 in its large one."""
    width: int = GPTConfig.width
    """Channels: 256, or 512 in the large one."""
    heads: int = GPTConfig.heads
    """Attention heads: 4, or 8 in the large one."""
    dropout: float = GPTConfig.dropout
    """Fraction of channels dropped in training."""
    class_dropout: float = 0.1
    """Fraction of labels left out in training of a conditional model, which guidance at sampling needs."""
    label_smoothing: float = 0.0
    """Probability that the training targets spread over all codes; validation is always without it."""
    average: float = 0.0
    """Validate and keep a moving average of the weights, of which a step leaves this part, such as 0.999; 0 = the weights."""
    bfloat16: bool = False
    """Matrix products in half precision: faster on accelerators, not on CPUs."""
    epochs: int = 100
    """Most passes through the training images."""
    batch_size: int = 128
    """Images per step."""
    learning_rate: float = 1e-3
    """Peak; warmed up over the first 200 steps (at most a tenth of all), then cosine decay to a hundredth."""
    weight_decay: float = 0.05
    """Of AdamW."""
    patience: int = 5
    """Epochs without a better validation loss after which training stops; 0 = never."""
    checkpoint_every: int = 200
    """Steps between checkpoints; there is one after every epoch too."""
    seed: int = 0
    """Of the initial parameters, the order of the images and the dropout."""


@dataclasses.dataclass(frozen=True)
class ClassifierOptions:
    """The classifier in whose features sets of images are compared, and its training."""

    width: int = 32
    """Channels at half the image's resolution, doubled below it."""
    shift: int = 2
    """Pixels by which training images are moved at most."""
    mirror: bool = True
    """Mirror half of the training images, left for right; clothes stay clothes, digits do not stay digits."""
    label_smoothing: float = 0.1
    """Probability that the training targets spread over all classes."""
    epochs: int = 20
    """Passes through the training images."""
    batch_size: int = 128
    """Images per step."""
    learning_rate: float = 3e-3
    """Peak; warmed up over the first 200 steps (at most a tenth of all), then cosine decay to a hundredth."""
    weight_decay: float = 0.05
    """Of AdamW."""
    patience: int = 0
    """Epochs without a better validation loss after which training stops; 0 = never."""
    checkpoint_every: int = 200
    """Steps between checkpoints; there is one after every epoch too."""
    seed: int = 0
    """Of the initial parameters, the order of the images, and what is drawn."""


@dataclasses.dataclass(frozen=True)
class SampleOptions:
    """Sampling from the Transformer."""

    per_class: int = 10
    """Images of each class."""
    temperature: float = 1.0
    """Below 1: likelier images; 0: always the likeliest token."""
    top_k: int = 0
    """Choose among the k likeliest tokens; 0 = all."""
    top_p: float = 0.95
    """Choose among the likeliest tokens that together have this probability; 1 = all."""
    guidance: float = 1.0
    """Classifier-free guidance: above 1 images that are more clearly of their class, and less varied; 1 = none."""
    guidance_rises: bool = False
    """Guidance rises from 1 at the first token to this at the last."""
    seed: int = 0
    """Of the samples."""


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """What is reported on the test images."""

    assigns: tuple[AssignmentName, ...] = ("euclidean", "whitened", "local", "geodesic")
    """Assignments that every codebook is tried with."""


@dataclasses.dataclass(frozen=True)
class Config:
    """All options of a run; the defaults are those of the full schedule."""

    data: DataOptions = DataOptions()
    vae: VAEOptions = VAEOptions()
    baseline: BaselineOptions = BaselineOptions()
    codebook: CodebookOptions = CodebookOptions()
    finetune: FinetuneOptions = FinetuneOptions()
    gpt: GPTOptions = GPTOptions()
    classifier: ClassifierOptions = ClassifierOptions()
    sample: SampleOptions = SampleOptions()
    evaluate: EvaluateOptions = EvaluateOptions()


PRESETS = {
    "demo": Config(
        data=DataOptions(dataset="digits"),
        vae=VAEOptions(width=16, max_width=32, bits=6, epochs=30, batch_size=64),
        baseline=BaselineOptions(codes=64, levels=(8, 8)),
        codebook=CodebookOptions(codes=64, measured_images=300, neighbours=8),
        finetune=FinetuneOptions(epochs=(5,), batch_size=64),
        gpt=GPTOptions(layers=2, width=64, heads=4, epochs=60, batch_size=64, patience=8),
        classifier=ClassifierOptions(width=16, shift=1, mirror=False, batch_size=64),
        evaluate=EvaluateOptions(assigns=(*EvaluateOptions.assigns, "amortised", "joint")),
    ),
    "quick": Config(
        vae=VAEOptions(epochs=7),
        codebook=CodebookOptions(measured_images=1000),
        gpt=GPTOptions(epochs=5, patience=0),
    ),
    "full": Config(evaluate=EvaluateOptions(assigns=(*EvaluateOptions.assigns, "amortised", "joint", "decoded"))),
}
"""demo: the built-in digits, minutes on two cores. quick: FashionMNIST within 40 minutes on two cores. full: the study."""


def check_config(config: Config, sections: tuple[str, ...]) -> None:
    """Refuses options that no stage could work with, before the first one begins.

    Args:
        config: All options.
        sections: Those that are about to be used: only their codebooks have to be among those that are built.

    Raises:
        InputError: Names the option, its range and its value.
    """
    for path, wanted, legal in _RANGES:
        section, name = path.split(".")
        value = getattr(getattr(config, section), name)
        values = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(x, int | float) and legal(x) for x in values):
            raise InputError(f"{path}: expected {wanted}, found {value}; change --{path.replace('_', '-')}.")
    vae, codebook, gpt = config.vae, config.codebook, config.gpt
    if config.data.dataset == "digits" and config.data.data_dir is not None:
        raise InputError(
            f"data_dir: expected none for digits, which are built in, found {config.data.data_dir}; name the --dataset of the "
            "folder, or leave --data-dir out."
        )
    if gpt.width % gpt.heads:
        raise InputError(f"gpt.heads: expected a divisor of gpt.width ({gpt.width}), found {gpt.heads}.")
    if not 1 <= codebook.stages <= 4:
        raise InputError(f"codebook.stages: expected 1..4, found {codebook.stages}; change --codebook.stages.")
    if codebook.stages > 1 and not set(codebook.codebooks) <= set(OF_MEANS):
        raise InputError(
            f"codebook.codebooks: expected only {', '.join(OF_MEANS)} where tokens have {codebook.stages} codes, found "
            f"{', '.join(codebook.codebooks)}; change --codebook.codebooks."
        )
    tuning = config.finetune
    if not tuning.assigns or not tuning.epochs or {"geodesic", "amortised"} & {*tuning.assigns}:
        raise InputError(
            "finetune.assigns, finetune.epochs: expected one value or more, neither geodesic nor amortised, whose statistics are "
            f"of the decoder before, found {tuning.assigns} and {tuning.epochs}."
        )
    if "finetune" in sections and tuning.codebook == "vqvae" and config.baseline.system != "vqvae":
        raise InputError(
            f"finetune.codebook: expected a VQ-VAE for vqvae, found a run whose baseline is {config.baseline.system}; run "
            "`python -m train.baseline --baseline.system vqvae` in another --run folder and name that."
        )
    if 0 < tuning.images < tuning.batch_size:
        raise InputError(
            f"finetune.images: expected at least finetune.batch_size ({tuning.batch_size}), or 0 for all, found {tuning.images}."
        )
    if codebook.stages > 1 and "gpt" in sections:
        raise InputError(
            f"codebook.stages: expected 1 for the Transformer, which models one code for a token, found {codebook.stages}; use "
            "such codebooks through train.codebook and geovq.tokenizer."
        )
    for name, wanted in (("gpt", gpt.codebook), ("finetune", tuning.codebook)):
        if name in sections and wanted not in codebook.codebooks and (name, wanted) != ("finetune", "vqvae"):
            built = ", ".join(codebook.codebooks) or "none"
            raise InputError(
                f"{name}.codebook: expected one that is built (codebook.codebooks: {built}), found {wanted}; change one of "
                "the two."
            )
    if config.sample.top_k > codebook.codes:
        raise InputError(
            f"sample.top_k: expected at most codebook.codes ({codebook.codes}), found {config.sample.top_k}."
        )
    nodes = codebook.measured_images * vae.grid[0] * vae.grid[1]
    if max(codebook.neighbours + 1, codebook.codes) > nodes:
        raise InputError(
            f"codebook.measured_images: expected more measured tokens than codes ({codebook.codes}) and neighbours "
            f"({codebook.neighbours}), found {codebook.measured_images} images with {nodes} tokens; measure more."
        )


def _at_least(least: float) -> tuple[str, Callable[[float], bool]]:
    return f"at least {least:g}", lambda value: least <= value < math.inf


_POSITIVE = ("a finite number above 0", lambda value: 0 < value < math.inf)
_FRACTION = ("a number in [0, 1)", lambda value: 0 <= value < 1)
_NAMES: tuple[tuple[tuple[str, Callable[[float], bool]], str], ...] = (
    (_at_least(0), "data.split_seed vae.seed codebook.seed gpt.seed sample.seed vae.patience gpt.patience"),
    (
        _at_least(0),
        "vae.bits codebook.probes sample.temperature sample.top_k sample.guidance vae.weight_decay gpt.weight_decay",
    ),
    (_at_least(0), "finetune.probes finetune.images finetune.seed finetune.patience finetune.weight_decay"),
    (_at_least(1), "vae.grid vae.latent_dim vae.width vae.max_width vae.epochs vae.batch_size vae.checkpoint_every"),
    (_at_least(1), "baseline.codes codebook.codes codebook.measured_images codebook.neighbours sample.per_class"),
    (_at_least(1), "gpt.layers gpt.width gpt.heads gpt.epochs gpt.batch_size gpt.checkpoint_every"),
    (_at_least(1), "finetune.val_images finetune.rounds finetune.epochs finetune.batch_size finetune.checkpoint_every"),
    (_at_least(0), "classifier.shift classifier.weight_decay classifier.patience classifier.seed"),
    (_at_least(1), "classifier.width classifier.epochs classifier.batch_size classifier.checkpoint_every"),
    (_at_least(2), "baseline.levels"),
    (_POSITIVE, "vae.noise_variance vae.learning_rate gpt.learning_rate finetune.learning_rate baseline.commitment"),
    (_POSITIVE, "classifier.learning_rate"),
    (_FRACTION, "gpt.dropout gpt.class_dropout gpt.label_smoothing gpt.average classifier.label_smoothing"),
    (("a number in (0, 1]", lambda value: 0 < value <= 1), "sample.top_p"),
)
_RANGES = [(path, wanted, legal) for (wanted, legal), paths in _NAMES for path in paths.split()]
