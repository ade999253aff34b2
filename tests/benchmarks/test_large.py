"""The benchmark of large grids: its sums by hand, and the whole of it on tiny networks."""

import functools
import json
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from benchmarks.common.rows import row, value_of
from benchmarks.large import __main__ as program
from benchmarks.large import band, quality, scaling, speed, tables
from benchmarks.large.inputs import Seconds
from benchmarks.large.schedules import SCHEDULES, Coding


def test_names_of_codings_are_their_own():
    assert Coding("taesd", 512, 2, 256, 12).name == "taesd-512x2"
    for schedule in SCHEDULES.values():
        assert len({coding.name for coding in schedule.codings}) == len(schedule.codings)


def test_dense_joint_is_extrapolated_by_the_fourth_power_of_the_side():
    seconds = {
        "dense, 64": [Seconds(1.0, 2.0)],
        "dense, 128": [Seconds(8.0, 32.0)],
        "band": [Seconds(4.0, 16.0)],
        "probes": [Seconds(12.0, 16.0)],
    }
    rows = speed.speed_rows(
        {"case": "speed"}, seconds, {"dense, 64": 64, "dense, 128": 128, "band": 256, "probes": 256}
    )
    assert value_of(rows, way="dense, extrapolated", score="seconds") == 16 * 8
    assert value_of(rows, peer="dense, extrapolated", of="seconds") == 16 * 8 / 4
    assert value_of(rows, peer="probes", of="seconds") == 3
    assert [value_of(rows, score="power", of=of) for of in ("seconds", "cpu_seconds")] == [3, 4]


def test_costs_are_compared_a_pixel():
    cases = [
        [row({"pixels": pixels, "way": "joint"}, score, value) for score, value in costs.items()]
        for pixels, costs in [(4, {"seconds": 2.0, "bytes": 9.0}), (16, {"seconds": 10.0, "bytes": 9.0})]
    ]
    rows = scaling.per_pixel(cases)
    assert [each["value"] for each in rows if each["score"] == "ratio"] == [1, 1.25]
    assert [each["of"] for each in rows if each["score"] == "ratio"] == ["seconds"] * 2


def convolution(latent: jax.Array) -> jax.Array:
    """A token becomes two pixels by two, and reaches its neighbours."""
    wide = jnp.repeat(jnp.repeat(latent, 2, axis=0), 2, axis=1)
    kernel = jnp.linspace(-1, 1, 3 * 3 * 2 * 3, dtype=latent.dtype).reshape(3, 3, 2, 3)
    return jax.lax.conv_general_dilated(wide[None], kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))[
        0
    ]


def test_blocks_within_reach_are_exact_and_others_are_outside():
    latent = jnp.ones((5, 6, 2))
    lattices = band.lattices_of((5, 6, 2), (0, 1), (1, 3))
    assert [(each.radius, each.spacing) for each in lattices] == [(0, 1), (0, 3), (1, 3)]
    measure = jax.jit(functools.partial(band.squares, lattices))
    wrong, inside, whole = np.asarray(measure(Partial(convolution), latent)).T
    assert wrong[0] > 0.01 * inside[0]  # all tokens moved together
    np.testing.assert_allclose(wrong[1:], 0, atol=1e-5 * whole[0])
    assert inside[1] < 0.9 * whole[1]
    np.testing.assert_allclose(inside[2], whole[2], rtol=1e-5)


def test_the_gain_of_amortised_is_a_part_of_that_of_joint():
    whitened = np.array([20.0, 22.0])
    found = {
        name: dict.fromkeys(quality.SCORES, values)
        for name, values in {
            "continuous": whitened + 2,
            "euclidean": whitened - 1,
            "whitened": whitened,
            "amortised": whitened + 0.75,
            "joint": whitened + 1,
        }.items()
    }
    rows = quality.summary(
        {"autoencoder": "taesd", "codes": 512, "codes_per_token": 1, "side": 256, "case": "quality"}, found
    )
    assert value_of(rows, score="share_of_gain") == 0.75
    assert value_of(rows, assign="joint", peer="euclidean", score="psnr_difference") == 2
    heads, cells = tables.quality(rows)
    assert [line[4] for line in cells] == ["continuous", "euclidean", "whitened", "amortised", "joint"]
    assert cells[-1][heads.index("dB more than Euclidean")] == "2.00 (2.00 to 2.00)"


@pytest.mark.slow
def test_the_whole_benchmark(published, tmp_path, monkeypatch, capsys):
    folders = [
        word for name, folder in (published | {"run": tmp_path / "run"}).items() for word in (f"--{name}", folder)
    ]
    command = ["large", *map(str, folders), "--output", str(tmp_path), "--schedule", "smoke"]
    monkeypatch.setattr(sys, "argv", command)
    program.main()
    found = json.loads((tmp_path / "large_part.json").read_text())["rows"]
    assert {each["case"] for each in found} == {
        "measure",
        "fit",
        "scaling",
        "band",
        "joint on the band",
        "speed",
        "quality",
    }
    assert all(table(found)[1] for table in tables.TABLES.values())
    first = capsys.readouterr().out
    program.main()  # nothing is computed again
    seconds = re.compile(r"^(scaling/|speed: ).* s$", re.MULTILINE)
    assert len(seconds.findall(first)) > 8
    assert not seconds.findall(capsys.readouterr().out)
    assert json.loads((tmp_path / "large_part.json").read_text())["rows"] == found
