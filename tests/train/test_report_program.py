"""The page of a run: what `train.evaluate` writes, and what `train.report` adds."""

import json
import re
import shutil

import pytest

from tests.browser import PHONE
from tests.programs import program
from tests.runs import run_of, succeed
from train.evaluation.page import curves, page_of

PARTS = [
    *("compare", "errors", "rate", "codebook", "tokens", "explorer"),
    *("run-pictures", "run-curves", "samples", "latents", "run-scores", "scores", "origin"),
]


@pytest.fixture(scope="module")
def reported(whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "run"
    shutil.copytree(whole, folder)
    printed = succeed("report", folder, "--assigner", "whitened", "--codebook", "kmeans", "--max-images", "2")
    assert re.search(rf"wrote {folder}/report\.html, [0-7]\.\d MB", printed)
    return folder


def test_the_page_has_the_parts_of_a_tokenizer_and_of_the_run(browser, reported):
    for size in ((1200, 900), PHONE):
        browser.open(reported / "report.html", size=size)
        assert browser.blank_images() == []
        assert browser.violations() == []
        assert browser.overflow() == 0
        assert browser.complaints() == []
        assert browser.requests() == []
    sections = [each.get_attribute("id") for each in browser.find("main > section")]
    assert sections == PARTS
    assert len(browser.find("#run-curves svg")) == 7
    assert len(browser.find("#samples tbody tr")) == 10


def test_an_evaluated_run_has_a_page_without_images(browser, whole):
    browser.open(whole / "report.html")
    assert [each.get_attribute("id") for each in browser.find("main > section")] == [
        "pictures",
        "curves",
        "scores",
        "origin",
    ]
    assert len(browser.find("#pictures img")) == 3
    assert browser.complaints() == []


def test_the_numbers_are_those_of_the_results(whole):
    page = page_of(run_of(whole))
    assert [each.name for each in page.numbers] == ["PSNR", "LPIPS", "bits a token", "nats a token"]
    assert page.numbers[0].value.removesuffix(" dB") in page.sentence
    reconstruction, rate, likelihood = page.sections[-1].content["tables"]
    assert len(reconstruction.rows) == 13
    assert reconstruction.rows[0][0] == "continuous VAE"
    best = max(values[0].mean for _, values in reconstruction.rows[1:])
    assert page.numbers[0].value == f"{best:.2f} dB"
    assert [name for name, _ in rate.rows] == ["KL of the posterior", "index of a code"]
    assert {name for name, _ in likelihood.rows} >= {"ours", "uniform"}


def test_learning_curves_say_when_validation_was_best(tmp_path):
    (tmp_path / "gpt").mkdir()
    lines = [{"epoch": i, "train_loss": 1 / i, "val_loss": abs(i - 2) + 1.0} for i in (1, 2, 3)]
    (tmp_path / "gpt" / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (section,) = curves(tmp_path)
    assert "Transformer, after epoch 2 of 3" in section.content["paragraphs"][1]
    assert "Transformer: loss" in section.content["charts"][0]


def test_a_folder_without_logs_has_no_curves(tmp_path):
    assert curves(tmp_path) == []


def test_what_the_run_has_not_is_refused(whole, tmp_path):
    assert "expected one that" in program("report", "--run", str(whole), "--codebook", "nothing").stderr
    assert program("report", "--run", str(tmp_path / "none")).returncode == 2
