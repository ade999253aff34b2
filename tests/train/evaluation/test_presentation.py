"""Tables of results."""

from typing import Any

from train.evaluation.presentation import tables

ROWS: list[dict[str, Any]] = [
    {"case": "continuous", "system": "vae", "score": "psnr", "value": 23.0},
    {"case": "continuous", "system": "vae", "score": "bits_per_token", "value": 8.9},
    {"case": "continuous", "system": "vae", "score": "code_bits_per_token", "value": 9.0},
    {"case": "quantized", "system": "ours", "codebook": "kmeans", "assign": "local", "score": "psnr", "value": 22.0},
    {"case": "quantized", "system": "ours", "codebook": "kmeans", "assign": "local", "score": "usage", "value": 1.0},
    {"case": "likelihood", "system": "ours", "split": "validation", "score": "nats_per_token", "value": 3.5},
    {"case": "likelihood", "system": "ours", "split": "test", "score": "nats_per_token", "value": 3.6},
    {"case": "vae", "score": "seconds", "value": 10.0},
]


def test_one_line_a_case():
    quality, rate, likelihood = tables(ROWS).values()
    assert quality[1][0][:3] == ["(continuous VAE)", None, 23.0]
    assert quality[1][1][:3] == ["kmeans", "local", 22.0]
    assert dict(zip(quality[0], quality[1][1], strict=True))["usage"] == 1.0
    assert rate[1] == [["KL of the posterior", 8.9], ["index of a code", 9.0]]
    assert likelihood[1] == [["ours", 3.5, 3.6]]
