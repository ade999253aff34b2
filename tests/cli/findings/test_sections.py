"""What a page says of scores: differences with intervals, and files at the same rate."""

import numpy as np
import pytest

from geovq.cli.findings.opening import sentence
from geovq.cli.findings.rates import WEBP, Point
from geovq.cli.findings.sections import rate_section
from geovq.cli.findings.systems import AUTOENCODER, OWN, Shown, System

PSNR = {AUTOENCODER: {"PSNR": np.array([24.0, 26.0])}, OWN: {"PSNR": np.array([23.5, 25.0])}}


def test_the_sentence_has_the_paired_difference(tokenizer):
    shown = [Shown(name, np.zeros((32, 32, 3), np.uint8)) for name in "ab"]
    found = sentence(tokenizer, shown, PSNR, 0.11)
    assert "comes back with 24.25 dB; the autoencoder without tokens reaches 25.00 dB" in found
    assert "by -0.75 dB (95% interval -1.00 to -0.50, over 2 images; so few images say little about others)" in found
    many = {key: {"PSNR": np.repeat(each["PSNR"], 5)} for key, each in PSNR.items()}
    assert "so few" not in sentence(tokenizer, shown * 5, many, 0.11)


@pytest.mark.parametrize("bits", [(0.5, 1.0), (0.1, 0.25), (0.05, 0.1)])
def test_files_are_compared_at_the_rate_of_the_tokens(bits, rng):
    images = [rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)]
    worse, better = ([np.full((16, 16, 3), grey, np.float32)] for grey in (0.0, 0.5))
    systems = [System(AUTOENCODER, "autoencoder", better, []), System(OWN, "tokens", worse, [])]
    scores = {each.key: {"PSNR": np.array([20.0])} for each in systems}
    curves = {"tokens": [Point(0.2, worse)], WEBP: [Point(bits[0], worse), Point(bits[1], better)]}
    section = rate_section(images, curves, systems, scores, 0.2)
    said = " ".join(section.content["paragraphs"])
    wanted = {
        0.5: "the smallest take 0.5 bits a pixel, more than the tokens",
        0.1: "At the rate of the tokens WebP files, counted with their headers, have about PSNR",
        0.05: "none shown takes as many bits as the tokens, 0.2 a pixel",
    }
    assert [each in said for each in wanted.values()] == [bits[0] == each for each in wanted]
    assert "fewer codes" not in said
    alone = rate_section(images, {"tokens": curves["tokens"]}, systems, scores, 0.2)
    assert "WebP" not in " ".join(alone.content["paragraphs"])
    assert "against bits a pixel" not in alone.content["charts"][0]
