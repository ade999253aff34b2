"""Rows and tables of benchmarks.tokenizer, from cells made by hand."""

import numpy as np
import pytest

from benchmarks.tables import encoding
from benchmarks.tokenizer.rows import (
    COMPARISONS,
    Case,
    class_information,
    comparisons,
    probes_of,
    rows_of,
    semantic_rows,
    stability,
)
from benchmarks.tokenizer.systems import CODEBOOKS, HEADLINE, SIZES
from benchmarks.tokenizer.tables import codebooks, ladder, reached, steps, systems

K = 512


def cell(psnr: float, offset: float = 0.0, n: int = 10) -> dict[str, np.ndarray]:
    """Scores of n images whose mean PSNR is `psnr`."""
    values = psnr + offset + np.linspace(-1, 1, n)
    tokens = np.arange(n * 4).reshape(n, 2, 2) % K
    return {"psnr": values, "lpips": 0.1 - 0.001 * values[: n // 2], "tokens": tokens, "k": np.array(K)}


def both(psnr: float) -> list[dict[str, np.ndarray]]:
    """Two seeds that differ by half a dB."""
    return [cell(psnr), cell(psnr, 0.5)]


@pytest.fixture
def found():
    ours = {("kmeans", "euclidean"): 20.0, ("whitened", "whitened"): 21.5, (HEADLINE, "whitened"): 21.6}
    ours |= {(HEADLINE, "joint"): 23.0, (HEADLINE, "greedy"): 23.1, (HEADLINE, "amortised"): 22.3}
    cells = {Case(K, "ours", "frozen", *name): both(psnr) for name, psnr in ours.items()}
    two = [scores | {"tokens": np.stack([scores["tokens"], 0 * scores["tokens"]], axis=-1)} for scores in both(23.0)]
    cells[Case(K, "ours", "frozen", "residual", "whitened", 2)] = two
    continuous = [{"psnr": scores["psnr"], "lpips": scores["lpips"]} for scores in both(23.5)]
    cells[Case(0, "vae", "frozen", "-", "-")] = continuous
    cells[Case(K, "vqvae", "end-to-end", "vqvae", "euclidean")] = both(22.0)
    return cells


def test_means_over_seeds_and_images():
    rows = rows_of(Case(K, "ours", "frozen", "kmeans", "euclidean"), both(20.0))
    psnr = next(row for row in rows if row["score"] == "psnr")
    assert psnr["value"] == pytest.approx(20.25)
    assert psnr["low"] < 20.25 < psnr["high"]
    assert (psnr["n"], psnr["seeds"]) == (10, 2)
    assert psnr["std_over_seeds"] == pytest.approx(np.std([20, 20.5], ddof=1))
    assert next(row for row in rows if row["score"] == "usage")["value"] == pytest.approx(40 / K)


def test_differences_are_paired(found):
    rows = {(row["name"], row["score"]): row for row in comparisons(found, K)}
    joint = rows["joint over whitened", "psnr_difference"]
    assert joint["value"] == pytest.approx(1.4)
    assert joint["low"] == pytest.approx(joint["high"])  # every image differs by as much
    assert rows["greedy over VQ-VAE", "lpips_difference"]["n"] == 5
    assert rows["greedy over VQ-VAE", "psnr_difference"]["bar"] == 0.5
    closed = rows["gap to the continuous VAE closed by a second code", "part"]
    assert closed["value"] == pytest.approx(1.5 / 2.0)
    assert rows["joint's gain over whitened that amortised has", "part"]["value"] == pytest.approx(0.7 / 1.4)
    assert ("fine-tuned joint over VQ-VAE", "psnr_difference") not in rows  # there is no such cell


def test_tables_show_every_case(found):
    rows = [row for case, cells in found.items() for row in rows_of(case, cells)] + comparisons(found, K)
    assert "| 512 | joint over whitened | dB | 1.4 |" in reached(rows)
    assert "| 512 | vqvae |" in systems(rows)
    assert "| 512 | ours | frozen | residual |" in systems(rows)
    assert "| 512 | ours | frozen | kmeans | euclidean |" in codebooks(rows)
    text = ladder(rows)
    assert "| 512 | k-means, euclidean | 20.25 | -3.5 |" in text  # under the VAE's 23.75
    assert [label for label, _ in steps(rows, K)][:2] == ["k-means, euclidean", "whitened codes, whitened"]
    speeds = [{"assign": "joint", "score": "images_per_second", "value": 20.0}, {"score": "psnr", "value": 24.0}]
    speeds += [{"assign": "joint", "score": "ratio", "peer": peer, "value": 1.0} for peer in ("encoder", "joint")]
    assert "| joint | 20 |" in encoding(speeds)


def test_what_is_compared_has_exact_jacobians():
    schedule = SIZES["reduced"]
    exact = [Case(K, "ours", "frozen", HEADLINE, "joint"), Case(K, "vqvae", "end-to-end", "vqvae", "joint")]
    assert [probes_of(case, schedule) for case in exact] == [None, None]
    assert probes_of(Case(K, "ours", "frozen", "kmeans", "joint"), schedule) == schedule.probes
    assert probes_of(Case(K, "ours", "frozen", "kmeans", "whitened"), schedule) is None
    named = {name for comparison in COMPARISONS for name in (comparison.better[1], comparison.worse[1])}
    assert named <= {*CODEBOOKS, "-", "vqvae", "fsq", "finetuned"}


def test_codes_that_are_classes_are_pure():
    labels = np.array([0, 0, 1, 1])
    tokens = np.broadcast_to(np.array([3, 4, 5, 5])[:, None, None], (4, 2, 2))
    information, purity = class_information(tokens, labels)
    assert purity == 1
    assert information == pytest.approx(0.8)  # two codes for one class: mean entropy (1 + 1.5)/2 bits, 1 of them shared
    assert class_information(np.tile([[[0, 1], [2, 3]]], (4, 1, 1)), labels) == (pytest.approx(0, abs=1e-9), 0.5)


def test_renamed_codes_are_stable(rng):
    tokens = rng.integers(5, size=(50, 2, 2))
    assert stability([tokens, (tokens + 2) % 5, rng.integers(5, size=(50, 2, 2))]) == [
        pytest.approx(1),
        pytest.approx(0, abs=0.05),
        pytest.approx(0, abs=0.05),
    ]
    rows = semantic_rows("kmeans", 5, [tokens, tokens], [np.ones(50)] * 2, rng.integers(2, size=50))
    assert {row["score"] for row in rows} == {"class_nmi", "class_purity", "stability_ami", "kept_under_noise"}


def test_quantizers_are_counted_apart(found):
    case = Case(K, "ours", "frozen", "residual", "whitened", 2)
    usage = next(row for row in rows_of(case, found[case]) if row["score"] == "usage")
    assert usage["value"] == pytest.approx((40 / K + 1 / K) / 2)
