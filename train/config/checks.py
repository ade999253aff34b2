"""What options have to be: found before the first stage begins, and said by name."""

import math
from collections.abc import Callable

from geovq.codebook.names import OF_MEANS
from geovq.models.config import TAKES_PRICES
from geovq.validation import InputError
from train.config.options import Config, token_codes


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
    if "classifier" in sections and config.classifier.mirror and config.data.dataset != "fashion_mnist":
        raise InputError(
            f"classifier.mirror: expected none for {config.data.dataset}, whose classes are not the same in a mirror; give "
            "--classifier.no-mirror."
        )
    if gpt.width % gpt.heads:
        raise InputError(f"gpt.heads: expected a divisor of gpt.width ({gpt.width}), found {gpt.heads}; change one.")
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
    for name, options in (("finetune", tuning), ("gpt", gpt)):
        if 0 < options.images < options.batch_size:
            raise InputError(
                f"{name}.images: expected at least {name}.batch_size ({options.batch_size}), or 0 for all, found "
                f"{options.images}."
            )
    if gpt.price and gpt.images:
        raise InputError(
            f"gpt.images: expected 0 for tokens with a price, which descend from the prior's of all images, found {gpt.images}."
        )
    if codebook.stages > 1 and "gpt" in sections and gpt.codebook != "baseline":
        raise InputError(
            f"codebook.stages: expected 1 for the Transformer, which models one code for a token, found {codebook.stages}; use "
            "such codebooks through train.codebook and geovq.tokenizer.tokenizer."
        )
    for name, wanted, others in (
        ("gpt", gpt.codebook, ("finetuned", "baseline")),
        ("finetune", tuning.codebook, ("vqvae",)),
    ):
        if name in sections and wanted not in (*codebook.codebooks, *others):
            built = ", ".join(codebook.codebooks) or "none"
            raise InputError(
                f"{name}.codebook: expected one that is built (codebook.codebooks: {built}), found {wanted}; change one of "
                "the two."
            )
    if "gpt" in sections and gpt.codebook in ("finetuned", "baseline") and gpt.assign == "geodesic":
        raise InputError(
            f"gpt.assign: expected another than geodesic for gpt.codebook {gpt.codebook}, whose codes lie in no graph; change "
            "--gpt.assign."
        )
    if "gpt" in sections and gpt.price and gpt.assign not in TAKES_PRICES:
        raise InputError(
            f"gpt.price: expected 0, or gpt.assign {' or '.join(TAKES_PRICES)}, found {gpt.price:g} and {gpt.assign}; change one "
            "of the two."
        )
    if "sample" in sections and config.sample.guidance != 1 and not (gpt.conditional and gpt.class_dropout):
        raise InputError(
            "sample.guidance: expected 1 for a Transformer that knows no classes or was trained without gpt.class_dropout, "
            f"found {config.sample.guidance:g}; sample with --sample.guidance 1, or train one with both."
        )
    if config.sample.top_k > token_codes(config):
        raise InputError(
            f"sample.top_k: expected at most the codes of a token ({token_codes(config)}), found {config.sample.top_k}; 0 is all."
        )
    tuned = {"vqvae": "baseline"}.get(tuning.codebook, tuning.codebook)
    if "sample" in sections and config.sample.decoder == "finetuned" and gpt.codebook not in ("finetuned", tuned):
        raise InputError(
            f"sample.decoder: expected a fine-tuned decoder of the Transformer's codebook ({gpt.codebook}), found one of "
            f"{tuned}; run train.finetune with --finetune.codebook in a copy of the run, or sample with --sample.decoder own."
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
        "vae.bits codebook.probes gpt.probes sample.temperature sample.top_k sample.guidance vae.weight_decay gpt.weight_decay",
    ),
    (
        _at_least(0),
        "gpt.price finetune.probes finetune.images finetune.seed finetune.patience finetune.weight_decay finetune.perceptual",
    ),
    (_at_least(1), "vae.grid vae.latent_dim vae.width vae.max_width vae.epochs vae.batch_size vae.checkpoint_every"),
    (_at_least(1), "baseline.codes codebook.codes codebook.measured_images codebook.neighbours sample.per_class"),
    (_at_least(1), "gpt.layers gpt.width gpt.heads gpt.epochs gpt.batch_size gpt.checkpoint_every"),
    (_at_least(1), "finetune.val_images finetune.rounds finetune.epochs finetune.batch_size finetune.checkpoint_every"),
    (_at_least(0), "gpt.images classifier.shift classifier.weight_decay classifier.patience classifier.seed"),
    (_at_least(1), "classifier.width classifier.epochs classifier.batch_size classifier.checkpoint_every"),
    (_at_least(2), "baseline.levels"),
    (_POSITIVE, "vae.noise_variance vae.learning_rate gpt.learning_rate finetune.learning_rate baseline.commitment"),
    (_POSITIVE, "classifier.learning_rate"),
    (_FRACTION, "gpt.dropout gpt.class_dropout gpt.label_smoothing gpt.average classifier.label_smoothing"),
    (("a number in (0, 1]", lambda value: 0 < value <= 1), "sample.top_p"),
)
_RANGES = [(path, wanted, legal) for (wanted, legal), paths in _NAMES for path in paths.split()]
