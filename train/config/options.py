"""Every option of every stage, and the presets. Free of jax, so that programs answer --help at once.

No option has a default anywhere else.
"""

import dataclasses
import math
from typing import Annotated, Literal

from geovq.codebook.names import CodebookName, CompositionName
from geovq.models.config import CodeLayout, GPTConfig, VAEConfig
from train.config.names import AssignerName, BaselineName, ComponentsName, DatasetName, StartName
from train.config.ranges import Codes, Count, Fraction, Natural, Positive, Seed, Share, Size, Weight, between


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Which images."""

    dataset: DatasetName = "fashion_mnist"
    """fashion_mnist, mnist or digits (built in, 1,797 images)."""
    data_dir: str | None = None
    """Folder with the four official IDX files; without it the environment variable GEOVQ_DATA, then tensorflow-datasets."""
    split_seed: Seed = 0
    """Seed of the validation split, which comes out of the training set."""


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained."""

    epochs: Annotated[int | tuple[int, ...], between(1, 10**6)] = 30
    """Passes through the training images, at most."""
    batch_size: Count = 128
    """Images of a step."""
    learning_rate: Positive = 1e-3
    """Peak learning rate; warmed up over the first 200 steps (at most a tenth of all), then cosine decay to a hundredth."""
    weight_decay: Weight = 1e-4
    """Weight decay of AdamW."""
    patience: Natural = 0
    """Epochs without a better validation loss after which training stops; 0 = never."""
    checkpoint_every: Count = 200
    """Steps between checkpoints; there is one after every epoch too."""
    seed: Seed = 0
    """Seed of the initial parameters, the order of the images, and everything that is drawn."""


@dataclasses.dataclass(frozen=True)
class VAEOptions(TrainingOptions):
    """The continuous VAE and its training."""

    grid: Annotated[tuple[int, int], between(1, 1024)] = VAEConfig.grid
    """Token grid (h, w)."""
    latent_dim: Size = VAEConfig.latent_dim
    """Latent dimensions d of a token."""
    width: Size = VAEConfig.width
    """Channels at half the image's resolution, doubled with each halving."""
    max_width: Size = VAEConfig.max_width
    """Most channels at any resolution."""
    bits: Weight = 9.0
    """KL bits of a token at every position (also --bits), held by a controller: log2 K for K codes; 0 = β stays."""
    noise_variance: Positive = 0.011
    """β, the variance of a pixel given its latents, intensity²; with bits, only the first β. Larger: fewer bits."""
    epochs: Annotated[int, between(1, 10**6)] = 30
    learning_rate: Positive = 4e-3


@dataclasses.dataclass(frozen=True)
class BaselineOptions:
    """A quantizer trained end to end, with the networks, the batches and the schedule of the VAE."""

    system: BaselineName = "vqvae"
    """vqvae (moving averages, unused codes start anew) or fsq."""
    num_codes: Codes = 512
    """Codes K of a VQ-VAE."""
    levels: Annotated[tuple[int, ...], between(2, 1024)] = (8, 8, 8)
    """Levels of each latent number of FSQ; their product is K."""


@dataclasses.dataclass(frozen=True)
class CodebookOptions:
    """The measured latents and the codebooks on them."""

    codebooks: tuple[CodebookName, ...] = ("kmeans", "whitened", "euclidean", "geodesic")
    """Which to build: kmeans, whitened, metric, refined (means), euclidean, geodesic (medoids)."""
    num_codes: Codes = 512
    """Codes K of each codebook, or of each of its quantizers."""
    num_quantizers: Annotated[int, between(1, 4)] = 1
    """Codes of a token, 1 to 4; several need a codebook of means."""
    composition: CompositionName = "residual"
    """residual: each quantizer refines the residual of those before; product: each has directions to itself."""
    max_images: Count = 2000
    """At most so many training images, drawn at random, get metrics for their tokens, which become nodes of the graph."""
    probes: Annotated[int, between(0, 1 << 14)] = 0
    """Random probes of sketched metrics: 32 for all 60,000 images take minutes on two cores; 0 = exact."""
    num_neighbours: Size = 16
    """Nearest neighbours k of a node."""
    components: ComponentsName = "bridge"
    """bridge: join the graph's components; drop: use the largest, as the original study did."""
    seed: Seed = 0
    """Seed of the draw, k-means and the medoids."""


@dataclasses.dataclass(frozen=True)
class FinetuneOptions(TrainingOptions):
    """Decoder and codes trained on frozen tokens, round after round."""

    codebook: CodebookName | Literal["vqvae"] = "whitened"
    """Codebook that it starts from; vqvae: codes, encoder and decoder of train.baseline."""
    assigners: tuple[AssignerName, ...] = ("whitened",)
    """Assigner of each round's tokens, the last for all further rounds and for validation. Unused with --tokens-of."""
    probes: Annotated[int, between(0, 1 << 14)] = 0
    """Products that a Jacobian is sketched by, where an assigner needs one; 96 lose nothing with joint; 0 = exact."""
    max_images: Natural = 0
    """At most so many training images, where an assigner runs the decoder (local, joint, ...); 0, or with --tokens-of: all."""
    max_val_images: Count = 5000
    """At most so many validation images."""
    rounds: Annotated[int, between(1, 1000)] = 3
    """Rounds, at most; a round follows while the round before improved validation images with tokens assigned anew."""
    epochs: Annotated[tuple[int, ...], between(1, 10**6)] = (3,)
    """Passes through the training images in each round, the last for all further rounds."""
    lpips_weight: Weight = 0.0
    """Squared intensity that a unit of LPIPS costs; an image has a few. Sharper textures, less PSNR; 0 = no LPIPS."""


@dataclasses.dataclass(frozen=True)
class GPTOptions(TrainingOptions):
    """The Transformer over the tokens, and its training."""

    codebook: CodebookName | Literal["finetuned", "baseline"] = "kmeans"
    """Codebook of its tokens; finetuned: codes of train.finetune; baseline: codes of train.baseline."""
    assigner: AssignerName = "whitened"
    """Assigner of its tokens: euclidean, whitened, whitened-position, local, geodesic, amortised, joint or greedy."""
    probes: Annotated[int, between(0, 1 << 14)] = 0
    """Products that a Jacobian is sketched by, where an assigner needs one; 96 lose nothing with joint; 0 = exact."""
    max_images: Natural = 0
    """At most so many training images, drawn by data.split_seed, where tokens take long; 0 = all."""
    nat_weight: Weight = 0.0
    """Squared intensity that a nat costs: amortised and joint tokens that the Transformer of --prior expects; 0 = nothing."""
    start: StartName = "random"
    """Initial rows of the tokens. random: as in GPT-2; codes: projections of their codes, alike where they decode alike."""
    conditional: bool = True
    """Learn each class's own images (needed to sample by class)."""
    layers: Annotated[int, between(1, 1000)] = GPTConfig.layers
    """Transformer blocks: 4 in the study's small model, 8 in its large one."""
    width: Size = GPTConfig.width
    """Channels: 256, or 512 in the large one."""
    heads: Size = GPTConfig.heads
    """Attention heads: 4, or 8 in the large one."""
    dropout: Fraction = GPTConfig.dropout
    """Fraction of channels dropped in training."""
    class_dropout: Fraction = 0.1
    """Fraction of labels left out in training of a conditional model; guidance at sampling needs some."""
    label_smoothing: Fraction = 0.0
    """Probability that the training targets spread over all codes; validation is always without it."""
    average: Fraction = 0.0
    """Validate and keep a moving average of the weights, of which a step leaves this part, such as 0.999; 0 = the weights."""
    bfloat16: bool = False
    """Matrix products in half precision: faster on accelerators, not on CPUs."""
    rotary: bool = False
    """Rotate queries and keys by row and column, instead of adding learned vectors for them."""
    rematerialize: bool | None = None
    """Compute the inside of each block again for the gradient, in a quarter of the memory; None: where that is above 4 GiB."""
    code_layout: CodeLayout = "sequence"
    """Tokens of several codes. sequence: each code has a position; heads: each token has one, whose codes follow each other."""
    epochs: Annotated[int, between(1, 10**6)] = 100
    weight_decay: Weight = 0.05
    patience: Natural = 5


@dataclasses.dataclass(frozen=True)
class ClassifierOptions(TrainingOptions):
    """The classifier in whose features sets of images are compared, and its training."""

    width: Size = 32
    """Channels at half the image's resolution; twice as many at a quarter, and 128 at an eighth."""
    shift: Annotated[int, between(0, 1024)] = 2
    """Pixels by which training images are moved at most."""
    mirror: bool = True
    """Mirror half of the training images, left for right; clothes stay clothes, digits do not stay digits."""
    label_smoothing: Fraction = 0.1
    """Probability that the training targets spread over all classes."""
    epochs: Annotated[int, between(1, 10**6)] = 20
    learning_rate: Positive = 6e-3
    weight_decay: Weight = 0.05


@dataclasses.dataclass(frozen=True)
class SampleOptions:
    """Sampling from the Transformer."""

    per_class: Annotated[int, between(1, 100_000)] = 10
    """Images of each class."""
    temperature: Weight = 1.0
    """Below 1: likelier images; 0: always the likeliest token."""
    top_k: Natural = 0
    """Choose among the k likeliest tokens; 0 = all."""
    top_p: Share = 0.95
    """Choose among the likeliest tokens that together have this probability; 1 = all."""
    guidance: Weight = 1.0
    """Classifier-free guidance: above 1 images that are more clearly of their class, and less varied; 1 = none."""
    guidance_rises: bool = False
    """Guidance rises from 1 at the first token to this at the last."""
    decoder: Literal["own", "finetuned"] = "own"
    """own: the decoder that the codes were made for; finetuned: train.finetune's, on the same tokens (--tokens-of)."""
    seed: Seed = 0
    """Seed of the samples."""


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """What is reported on the test images."""

    assigners: tuple[AssignerName, ...] = ("euclidean", "whitened", "local", "geodesic")
    """Assigners that every codebook is tried with."""
    all: bool = False
    """Try every codebook with all assigners that there are; greedy takes as long as all others together."""
    max_images: Natural = 0
    """Score at most so many test images, drawn by data.split_seed; 0 = all, which reports need."""


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
        baseline=BaselineOptions(num_codes=64, levels=(8, 8)),
        codebook=CodebookOptions(
            codebooks=("kmeans", "whitened", "geodesic"), num_codes=64, max_images=300, num_neighbours=8
        ),
        finetune=FinetuneOptions(epochs=(5,), batch_size=64),
        gpt=GPTOptions(start="codes", layers=2, width=64, heads=4, epochs=60, batch_size=64, patience=8),
        classifier=ClassifierOptions(width=16, shift=1, mirror=False, batch_size=64),
        evaluate=EvaluateOptions(assigners=("euclidean", "whitened", "local", "joint")),
    ),
    "quick": Config(
        vae=VAEOptions(epochs=7),
        codebook=CodebookOptions(max_images=1000),
        gpt=GPTOptions(start="codes", epochs=5, batch_size=64, patience=0),
    ),
    "full": Config(
        gpt=GPTOptions(start="codes"),
        evaluate=EvaluateOptions(all=True),
    ),
    "photographs": Config(
        finetune=FinetuneOptions(epochs=(4,), batch_size=8, learning_rate=1e-4, weight_decay=0.0, max_val_images=100),
        gpt=GPTOptions(batch_size=32),
    ),
}
"""demo: the built-in digits, a minute on two cores. quick: FashionMNIST within 40 minutes on two cores. full: the study.
photographs: tokens of a published autoencoder, for train.finetune and train.gpt alone.
"""

STUDY = ("demo", "quick", "full")
"""Presets of all programs."""


def tokenizer_stages(config: Config) -> tuple[str, ...]:
    """The stages that make the tokenizer whose tokens the Transformer is trained on."""
    if config.gpt.codebook == "baseline":
        return ("baseline",)
    if config.gpt.codebook == "finetuned":
        return (*(("baseline",) if config.finetune.codebook == "vqvae" else ("vae", "codebook")), "finetune")
    return ("vae", "codebook")


def needed_for_samples(config: Config) -> tuple[str, ...]:
    """Stages that have to be complete before samples are drawn."""
    tuned = ("finetune",) if config.sample.decoder == "finetuned" else ()
    return tuple(dict.fromkeys((*tokenizer_stages(config), *tuned, "gpt")))


def token_sections(config: Config) -> tuple[str, ...]:
    """The sections of options that these tokens depend on."""
    return ("data", "vae", *(name for name in tokenizer_stages(config) if name != "vae"))


def token_codes(config: Config) -> int:
    """K, the number of codes of the tokens that the Transformer is trained on."""
    if "baseline" not in tokenizer_stages(config):
        return config.codebook.num_codes
    return config.baseline.num_codes if config.baseline.system == "vqvae" else math.prod(config.baseline.levels)
