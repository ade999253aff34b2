"""What benchmarks.likelihood trains, and its tables from rows made by hand."""

import dataclasses

import pytest

from benchmarks.common.record import FOLDER
from benchmarks.generation.likelihood_tables import below_unigrams, kinds, kinds_by_position
from benchmarks.likelihood import CASES, CHOSEN, SCHEDULES, VARIANCES, Case, fields, options_of, tokenizers_of
from geovq.codebook.names import CODEBOOKS
from geovq.storage import read_json
from train.config.checks import check_config
from train.config.names import ASSIGNERS
from train.config.options import PRESETS, GPTOptions, VAEOptions


def test_every_codebook_and_every_assignment_is_there_once():
    assert len({case.name for case in CASES}) == len(CASES)
    held = [case for case in CASES if case.noise_variance is None]
    assert {case.codebook for case in held if case.assign == "whitened"} == {*CODEBOOKS}
    assert {case.assign for case in held if case.codebook == "metric"} == {*ASSIGNERS}
    assert [case._replace(long=False) in CASES for case in CASES if case.long] == [True]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_is_one_that_train_gpt_takes(schedule, case):
    found = SCHEDULES[schedule]
    config = dataclasses.replace(
        PRESETS[found.tokenizer.preset],
        codebook=found.tokenizer.codebook,
        finetune=found.tokenizer.finetune,
        gpt=options_of(case, found),
    )
    check_config(config, ("gpt", "finetune"))


def test_each_vae_has_a_folder_of_its_own(tmp_path):
    found: dict[str, set[tuple[float, float]]] = {}
    for case in CASES:
        tokenizers = tokenizers_of(tmp_path, None, case, SCHEDULES["reduced"])
        vae = tokenizers._config(0).vae
        found.setdefault(tokenizers.folder.name, set()).add((vae.bits, vae.noise_variance))
        assert case.codebook in tokenizers.schedule.codebook.codebooks
    assert found == {
        "held": {(9.0, VAEOptions.noise_variance)},
        "beta-0.005": {(0, 0.005)},
        "beta-0.002": {(0, 0.002)},
    }


def test_the_best_on_validation_images_is_trained_for_longer():
    rows = read_json(FOLDER / "likelihood.json")["rows"]
    of_validation = [row for row in rows if row["split"] == "validation"]
    parts = {beta: below_unigrams(of_validation, Case("metric", "whitened", beta).name) or 0 for beta in VARIANCES}
    assert max(parts, key=lambda beta: parts[beta]) == CHOSEN


def rows_of(case: Case, nats: float):
    one = fields(case, GPTOptions(epochs=3), images=200)
    likelihood = {"case": "likelihood", "score": "nats_per_token", "low": None, "high": None}
    for split, more in (("validation", 0.5), ("test", 0.0)):
        for model, value in (("unigram per position", 4.0), ("Transformer", nats + more)):
            yield one | likelihood | {"split": split, "model": model, "value": value}
        for position in range(2):
            of = {"split": split, "model": "Transformer", "position": position}
            yield one | likelihood | of | {"value": nats + more + position}
    psnr = one | {"split": "test", "case": "reconstructions", "score": "psnr", "low": None, "high": None}
    yield psnr | {"decoder": "frozen", "value": 21.0}
    if case.long:
        yield psnr | {"decoder": "finetuned", "value": 22.0}


def test_tables_have_a_line_for_each_kind():
    rows = [*rows_of(Case("metric", "joint"), 3.0), *rows_of(Case("metric", "whitened", 0.005, long=True), 2.0)]
    heads, cells = kinds(rows)
    assert [dict(zip(heads, line, strict=True)) for line in cells] == [
        {
            "tokens": name,
            "β": beta,
            "training images": 200,
            "epochs": 3,
            "PSNR dB": 21.0,
            "fine-tuned, dB": psnr,
            "unigram per position, nats": 4.0,
            "Transformer, nats": nats,
            "below per position, part": 1 - nats / 4,
            "on validation images": 1 - (nats + 0.5) / 4,
        }
        for name, beta, psnr, nats in (
            ("metric-joint", "held bits", None, 3.0),
            ("metric-whitened-0.005-long", 0.005, 22.0, 2.0),
        )
    ]
    assert kinds_by_position(rows)[1] == [["metric-joint", 3.0, 4.0], ["metric-whitened-0.005-long", 2.0, 3.0]]
