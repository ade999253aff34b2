"""Every option of every stage, and the presets. Free of jax, so that programs answer --help at once.

No option has a default anywhere else.
"""

import dataclasses
import math
from typing import Annotated, Literal, Protocol

import tyro

from geovq.models.config import (
    AssignmentName,
    BaselineName,
    CodebookName,
    ComponentsName,
    DatasetName,
    GPTConfig,
    StackingName,
    StartName,
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
    """Assignment of each round's tokens, the last for all further rounds; that one is validated. Unused with --tokens-of."""
    probes: int = 0
    """Products that a Jacobian is sketched by, for assignments that need one; 96 for joint lose nothing here; 0 = exact."""
    images: int = 0
    """At most so many training images, where an assignment runs the decoder (local, joint, ...); 0, or with --tokens-of: all."""
    val_images: int = 5000
    """At most so many validation images."""
    rounds: int = 3
    """At most; a round follows while the one before improved the validation images with tokens assigned anew."""
    epochs: tuple[int, ...] = (3,)
    """Passes through these images in each round, the last for all further rounds."""
    perceptual: float = 0.0
    """What a unit of LPIPS costs in squared intensity, of which an image has a few: sharper textures, less PSNR; 0 = nothing."""
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

    codebook: CodebookName | Literal["finetuned", "baseline"] = "kmeans"
    """Codebook of its tokens; finetuned: that of train.finetune; baseline: that of train.baseline."""
    assign: AssignmentName = "whitened"
    """Their assignment: euclidean, whitened, whitened-position, local, geodesic, amortised, joint or decoded."""
    probes: int = 0
    """Products that a Jacobian is sketched by, for assignments that need one; 96 for joint lose nothing here; 0 = exact."""
    images: int = 0
    """At most so many training images, drawn by data.split_seed, where tokens take long; others stay whole; 0 = all."""
    price: float = 0.0
    """Squared intensity that a nat costs: amortised and joint tokens that the Transformer of --prior expects; 0 = nothing."""
    start: StartName = "random"
    """Initial rows of the tokens. random: as in GPT-2; codes: projections of their codes, alike where they decode alike."""
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
    """Channels at half the image's resolution; twice as many at a quarter, and 128 at an eighth."""
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
    learning_rate: float = 6e-3
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
    decoder: Literal["own", "finetuned"] = "own"
    """own: what the codes were made for; finetuned: that of train.finetune, best on the same tokens (--tokens-of)."""
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
        gpt=GPTOptions(start="codes", layers=2, width=64, heads=4, epochs=60, batch_size=64, patience=8),
        classifier=ClassifierOptions(width=16, shift=1, mirror=False, batch_size=64),
        evaluate=EvaluateOptions(assigns=(*EvaluateOptions.assigns, "amortised", "joint")),
    ),
    "quick": Config(
        vae=VAEOptions(epochs=7),
        codebook=CodebookOptions(measured_images=1000),
        gpt=GPTOptions(start="codes", epochs=5, batch_size=64, patience=0),
    ),
    "full": Config(
        gpt=GPTOptions(start="codes"),
        evaluate=EvaluateOptions(assigns=(*EvaluateOptions.assigns, "amortised", "joint", "decoded")),
    ),
}
"""demo: the built-in digits, minutes on two cores. quick: FashionMNIST within 40 minutes on two cores. full: the study."""


def tokenizer_stages(config: Config) -> tuple[str, ...]:
    """The stages that make the tokenizer whose tokens the Transformer is trained on."""
    if config.gpt.codebook == "baseline":
        return ("baseline",)
    if config.gpt.codebook == "finetuned":
        return (*(("baseline",) if config.finetune.codebook == "vqvae" else ("vae", "codebook")), "finetune")
    return ("vae", "codebook")


def token_sections(config: Config) -> tuple[str, ...]:
    """The sections of options that these tokens depend on."""
    return ("data", "vae", *(name for name in tokenizer_stages(config) if name != "vae"))


def token_codes(config: Config) -> int:
    """K, the number of codes of the tokens that the Transformer is trained on."""
    if "baseline" not in tokenizer_stages(config):
        return config.codebook.codes
    return config.baseline.codes if config.baseline.system == "vqvae" else math.prod(config.baseline.levels)
