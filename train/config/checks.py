"""Checks of options before the first stage begins: each number by its range, then what several options say together."""

import dataclasses
import math

from geovq.codebook.names import OF_MEANS
from geovq.validation import InputError
from train.config.names import TAKES_CODE_COSTS, TRAINING_IMAGES
from train.config.options import Config, TrainingOptions, token_codes
from train.config.ranges import check_ranges

_MOST_CODES = 1 << 20


def check_config(config: Config, sections: tuple[str, ...]) -> None:
    """Refuses options that no stage could work with, before the first stage begins.

    Args:
        config: All options.
        sections: The sections that are about to be used: only their codebooks have to be among those that are built.

    Raises:
        InputError: Names the option, its range and its value.
    """
    for field in dataclasses.fields(config):
        check_ranges(field.name, getattr(config, field.name))
    for check in _ALWAYS:
        check(config)
    for section, checks in _WHERE_USED.items():
        if section in sections:
            for check in checks:
                check(config)


def _data_dir(config: Config) -> None:
    if config.data.dataset == "digits" and config.data.data_dir is not None:
        raise InputError(
            f"data_dir: expected none for digits, which are built in, found {config.data.data_dir}; name the --dataset of the "
            "folder, or leave --data-dir out."
        )


def _heads(config: Config) -> None:
    if config.gpt.width % config.gpt.heads:
        raise InputError(
            f"gpt.heads: expected a divisor of gpt.width ({config.gpt.width}), found {config.gpt.heads}; change one."
        )
    if config.gpt.rotary and config.gpt.width // config.gpt.heads % 4:
        raise InputError(
            f"gpt.rotary: expected heads of a multiple of 4 channels, found {config.gpt.width // config.gpt.heads}; change "
            "gpt.width or gpt.heads, or leave --gpt.rotary out."
        )


def _quantizers(config: Config) -> None:
    codebook = config.codebook
    if codebook.num_quantizers > 1 and not set(codebook.codebooks) <= set(OF_MEANS):
        raise InputError(
            f"codebook.codebooks: expected only {', '.join(OF_MEANS)} where tokens have {codebook.num_quantizers} codes, found "
            f"{', '.join(codebook.codebooks)}; change --codebook.codebooks."
        )


def _measured_tokens(config: Config) -> None:
    codebook, grid = config.codebook, config.vae.grid
    nodes = min(codebook.max_images, TRAINING_IMAGES[config.data.dataset]) * grid[0] * grid[1]
    if max(codebook.num_neighbours + 1, codebook.num_codes) > nodes:
        raise InputError(
            f"codebook.max_images: expected more measured tokens than codes ({codebook.num_codes}) and neighbours "
            f"({codebook.num_neighbours}), found {codebook.max_images} images with {nodes} tokens; measure more."
        )


def _rounds(config: Config) -> None:
    tuning = config.finetune
    if not tuning.assigners or not tuning.epochs or {"geodesic", "amortised"} & {*tuning.assigners}:
        raise InputError(
            "finetune.assigners, finetune.epochs: expected one value or more, neither geodesic nor amortised, whose statistics "
            f"are of the decoder before, found {tuning.assigners} and {tuning.epochs}."
        )


def _whole_batches(config: Config) -> None:
    images = TRAINING_IMAGES[config.data.dataset]
    for name in ("vae", "finetune", "gpt", "classifier"):
        options: TrainingOptions = getattr(config, name)
        if options.batch_size > images:
            raise InputError(
                f"{name}.batch_size: expected 1..{images}, the number of training images of {config.data.dataset}, found "
                f"{options.batch_size}; change --{name}.batch-size."
            )
    for name, chosen in (("finetune", config.finetune), ("gpt", config.gpt)):
        if 0 < chosen.max_images < chosen.batch_size:
            raise InputError(
                f"{name}.max_images: expected at least {name}.batch_size ({chosen.batch_size}), or 0 for all, found "
                f"{chosen.max_images}."
            )


def _levels(config: Config) -> None:
    if math.prod(config.baseline.levels) > _MOST_CODES:
        raise InputError(
            f"baseline.levels: expected a product of at most {_MOST_CODES:,}, the number of codes, found "
            f"{math.prod(config.baseline.levels):,}; change --baseline.levels."
        )


def _weighed_tokens(config: Config) -> None:
    if config.gpt.nat_weight and config.gpt.max_images:
        raise InputError(
            "gpt.max_images: expected 0 with gpt.nat_weight, since tokens start at the prior's tokens of all images, found "
            f"{config.gpt.max_images}."
        )


def _top_k(config: Config) -> None:
    if config.sample.top_k > token_codes(config):
        raise InputError(
            f"sample.top_k: expected at most the codes of a token ({token_codes(config)}), found {config.sample.top_k}; 0 is all."
        )


def _mirror(config: Config) -> None:
    if config.classifier.mirror and config.data.dataset != "fashion_mnist":
        raise InputError(
            f"classifier.mirror: expected none for {config.data.dataset}, whose classes are not the same in a mirror; give "
            "--classifier.no-mirror."
        )


def _one_code(config: Config) -> None:
    if config.codebook.num_quantizers > 1 and config.gpt.codebook != "baseline":
        raise InputError(
            "codebook.num_quantizers: expected 1 for the Transformer of a run's own images, found "
            f"{config.codebook.num_quantizers}; use such codebooks through geovq.Tokenizer and the Transformer in geovq.models."
        )


def _codebook_of_gpt(config: Config) -> None:
    _check_built(config, "gpt", config.gpt.codebook, ("finetuned", "baseline"))


def _assigner_of_gpt(config: Config) -> None:
    gpt = config.gpt
    if gpt.codebook in ("finetuned", "baseline") and gpt.assigner == "geodesic":
        raise InputError(
            f"gpt.assigner: expected another than geodesic for gpt.codebook {gpt.codebook}, whose codes lie in no graph; change "
            "--gpt.assigner."
        )
    if gpt.nat_weight and gpt.assigner not in TAKES_CODE_COSTS:
        raise InputError(
            f"gpt.nat_weight: expected 0, or gpt.assigner {' or '.join(TAKES_CODE_COSTS)}, found {gpt.nat_weight:g} and "
            f"{gpt.assigner}; change one of the two."
        )


def _codebook_of_finetuning(config: Config) -> None:
    _check_built(config, "finetune", config.finetune.codebook, ("vqvae",))
    if config.finetune.codebook == "vqvae" and config.baseline.system != "vqvae":
        raise InputError(
            f"finetune.codebook: expected a VQ-VAE for vqvae, found a run whose baseline is {config.baseline.system}; run "
            "`python -m train.baseline --baseline.system vqvae` in another --run folder and name that."
        )


def _guidance(config: Config) -> None:
    if config.sample.guidance != 1 and not (config.gpt.conditional and config.gpt.class_dropout):
        raise InputError(
            "sample.guidance: expected 1 for a Transformer that knows no classes or was trained without gpt.class_dropout, "
            f"found {config.sample.guidance:g}; sample with --sample.guidance 1, or train one with both."
        )


def _decoder_of_samples(config: Config) -> None:
    tuned = {"vqvae": "baseline"}.get(config.finetune.codebook, config.finetune.codebook)
    if config.sample.decoder == "finetuned" and config.gpt.codebook not in ("finetuned", tuned):
        raise InputError(
            f"sample.decoder: expected a fine-tuned decoder of the Transformer's codebook ({config.gpt.codebook}), found one of "
            f"{tuned}; run train.finetune with --finetune.codebook in a copy of the run, or sample with --sample.decoder own."
        )


def _check_built(config: Config, section: str, wanted: str, others: tuple[str, ...]) -> None:
    """Refuses a codebook that is neither built nor one of the others."""
    if wanted not in (*config.codebook.codebooks, *others):
        built = ", ".join(config.codebook.codebooks) or "none"
        raise InputError(
            f"{section}.codebook: expected one that is built (codebook.codebooks: {built}), found {wanted}; change one of the "
            "two."
        )


_ALWAYS = (_data_dir, _heads, _levels, _quantizers, _measured_tokens, _rounds, _whole_batches, _weighed_tokens, _top_k)

_WHERE_USED = {
    "classifier": (_mirror,),
    "finetune": (_codebook_of_finetuning,),
    "gpt": (_one_code, _codebook_of_gpt, _assigner_of_gpt),
    "sample": (_guidance, _decoder_of_samples),
}
"""Checks of the sections that are about to be used."""
