"""Options out of range, alone and together: refused by name, with what was expected and found."""

import ast
import dataclasses
import itertools
import pathlib
import typing
from typing import Any

import pytest

import train.config.options
from geovq.validation import InputError
from train.config.checks import check_config
from train.config.options import (
    PRESETS,
    BaselineOptions,
    ClassifierOptions,
    CodebookOptions,
    Config,
    DataOptions,
    FinetuneOptions,
    GPTOptions,
    SampleOptions,
    VAEOptions,
)
from train.config.ranges import Range

SECTIONS: dict[str, Any] = {field.name: getattr(Config(), field.name) for field in dataclasses.fields(Config)}


def test_every_option_is_documented():
    """The text below a field, or below the same field of the base class, is its help."""
    tree = ast.parse(pathlib.Path(train.config.options.__file__).read_text())
    documented = {
        node.name: {
            ast.unparse(field.target)
            for field, text in itertools.pairwise(node.body)
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
        }
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }
    for section, options in SECTIONS.items():
        known = documented[type(options).__name__] | documented["TrainingOptions"]
        assert {option.name for option in dataclasses.fields(options)} <= known, section


def test_every_number_has_a_range():
    for section, options in SECTIONS.items():
        hints = typing.get_type_hints(type(options), include_extras=True)
        for option in dataclasses.fields(options):
            values = option.default if isinstance(option.default, tuple) else (option.default,)
            if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
                ranges = [x for x in getattr(hints[option.name], "__metadata__", ()) if isinstance(x, Range)]
                assert len(ranges) == 1, f"{section}.{option.name}"


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_legal(preset):
    check_config(PRESETS[preset], ("gpt", "finetune", "sample", "classifier"))


RANGES = [
    (Config(vae=VAEOptions(seed=-1)), r"vae\.seed: expected 0\.\.4,294,967,295, found -1; change --vae\.seed"),
    (Config(vae=VAEOptions(grid=(4, 0))), r"vae\.grid: expected 1\.\.1,024, found \(4, 0\)"),
    (Config(vae=VAEOptions(noise_variance=0)), r"noise_variance: .* found 0; change --vae\.noise-variance"),
    (Config(vae=VAEOptions(learning_rate=float("nan"))), r"vae\.learning_rate: expected a number above 0"),
    (Config(vae=VAEOptions(bits=float("inf"))), r"vae\.bits: expected a number in 0\.\.1e\+30, found inf"),
    (Config(baseline=BaselineOptions(levels=(8, 1))), r"baseline\.levels: expected 2\.\.1,024"),
    (Config(codebook=CodebookOptions(num_quantizers=5)), r"codebook\.num_quantizers: expected 1\.\.4, found 5"),
    (Config(gpt=GPTOptions(label_smoothing=1.5)), r"gpt\.label_smoothing: expected a number in \[0, 1\), found 1\.5"),
    (Config(sample=SampleOptions(top_p=2)), r"sample\.top_p: expected a number in \(0, 1\]"),
]

TOGETHER = [
    (
        Config(data=DataOptions(dataset="digits", data_dir="there")),
        "data_dir: expected none for digits, which are built in, found there",
    ),
    (Config(gpt=GPTOptions(heads=3)), r"gpt\.heads: expected a divisor of gpt\.width \(256\), found 3"),
    (
        Config(codebook=CodebookOptions(num_quantizers=2)),
        "expected only kmeans, whitened, metric, refined where tokens have 2 codes",
    ),
    (Config(codebook=CodebookOptions(max_images=10)), r"more measured tokens than codes \(512\)"),
    (Config(finetune=FinetuneOptions(assigners=("geodesic",))), "neither geodesic nor amortised"),
    (Config(vae=VAEOptions(seed=2**64)), r"vae\.seed: expected .*, found 18446744073709551616"),
    (Config(vae=VAEOptions(width=10**9)), r"vae\.width: expected 1\.\.16,384, found 1000000000"),
    (Config(codebook=CodebookOptions(num_codes=10**14)), r"codebook\.num_codes: expected 1\.\.1,048,576"),
    (Config(sample=SampleOptions(per_class=10**12)), r"sample\.per_class: expected 1\.\.100,000"),
    (Config(baseline=BaselineOptions(levels=(1024, 1024, 2))), r"levels: expected a product of at most 1,048,576"),
    (Config(gpt=GPTOptions(batch_size=60_000)), r"gpt\.batch_size: expected 1\.\.55000, the number of training images"),
    (
        Config(data=DataOptions(dataset="digits"), classifier=ClassifierOptions(mirror=False, batch_size=1298)),
        r"classifier\.batch_size: expected 1\.\.1297, the number of training images of digits, found 1298",
    ),
    (Config(gpt=GPTOptions(max_images=9)), r"gpt\.max_images: expected at least gpt\.batch_size \(128\), .* found 9"),
    (
        Config(gpt=GPTOptions(max_images=999, assigner="amortised", nat_weight=0.1)),
        r"gpt\.max_images: expected 0 with gpt\.nat_weight, .* found 999",
    ),
    (Config(sample=SampleOptions(top_k=513)), r"sample\.top_k: expected at most the codes of a token \(512\)"),
    (
        Config(
            gpt=GPTOptions(codebook="baseline"), baseline=BaselineOptions(num_codes=8), sample=SampleOptions(top_k=9)
        ),
        r"at most the codes of a token \(8\), found 9",
    ),
    (
        Config(codebook=CodebookOptions(codebooks=("metric", "whitened"), num_quantizers=2)),
        r"codebook\.num_quantizers: expected 1 for the Transformer",
    ),
    (Config(codebook=CodebookOptions(codebooks=("euclidean",))), r"finetune\.codebook: expected one that is built"),
    (Config(gpt=GPTOptions(codebook="metric")), r"gpt\.codebook: expected one that is built"),
    (
        Config(gpt=GPTOptions(codebook="baseline", assigner="geodesic")),
        r"gpt\.assigner: expected another than geodesic for gpt\.codebook baseline",
    ),
    (
        Config(gpt=GPTOptions(nat_weight=1)),
        r"gpt\.nat_weight: expected 0, or gpt\.assigner amortised or joint, found 1 and whitened",
    ),
    (
        Config(finetune=FinetuneOptions(codebook="vqvae"), baseline=BaselineOptions(system="fsq")),
        r"finetune\.codebook: expected a VQ-VAE for vqvae, found a run whose baseline is fsq",
    ),
    (
        Config(sample=SampleOptions(decoder="finetuned")),
        r"sample\.decoder: expected a fine-tuned decoder of the Transformer's codebook \(kmeans\), found one of whitened",
    ),
]


@pytest.mark.parametrize(("config", "message"), [*RANGES, *TOGETHER])
def test_options_out_of_range_are_named(config, message):
    with pytest.raises(InputError, match=message):
        check_config(config, ("finetune", "gpt", "sample"))


def test_an_option_that_is_no_number_is_named():
    """As a run's file may have it."""
    with pytest.raises(InputError, match=r"vae\.width: expected 1\.\.16,384, found a"):
        check_config(Config(vae=VAEOptions(width="a")), ("vae",))  # type: ignore[arg-type]


@pytest.mark.parametrize("dataset", ["mnist", "digits"])
def test_a_classifier_of_digits_is_not_trained_on_mirrored_ones(dataset):
    config = Config(data=DataOptions(dataset=dataset))
    with pytest.raises(InputError, match=rf"classifier\.mirror: expected none for {dataset}"):
        check_config(config, ("data", "classifier"))
    check_config(config, ("data", "vae"))
    check_config(dataclasses.replace(config, classifier=ClassifierOptions(mirror=False)), ("data", "classifier"))


@pytest.mark.parametrize("gpt", [GPTOptions(class_dropout=0), GPTOptions(conditional=False)])
def test_guidance_wants_a_transformer_that_knows_classes_and_none(gpt):
    guided = Config(gpt=gpt, sample=SampleOptions(guidance=2))
    with pytest.raises(InputError, match=r"sample\.guidance: expected 1 for .* found 2; sample with"):
        check_config(guided, ("gpt", "sample"))
    check_config(guided, ("gpt",))
    check_config(dataclasses.replace(guided, sample=SampleOptions(guidance=1)), ("gpt", "sample"))
