"""Rows of results: built in one form, chosen, averaged over seeds; and cells that are kept in files."""

import numpy as np
import pytest

from benchmarks.common.harness import kept, markdown
from benchmarks.common.rows import maybe, mean_row, ratio_row, row, row_of, separation, spread_row, statistic_row
from geovq.validation import InputError

FORM = ["case", "score", "value", "low", "high", "n"]


def test_every_builder_gives_the_same_form():
    values = np.array([1.0, 2.0, 3.0])
    built = [
        row({"case": "a"}, "psnr", 2),
        mean_row({"case": "a"}, "psnr", values),
        spread_row({"case": "a"}, "seconds", [3.0, 1.0, 2.0]),
        ratio_row({"case": "a"}, [2.0, 4.0], [1.0, 2.0]),
        statistic_row({"case": "a"}, "median", np.median, values),
    ]
    assert all(list(one) == FORM for one in built)
    assert all(type(one["value"]) is float for one in built)
    assert [one["value"] for one in built] == [2, 2, 2, 2, 2]
    assert [one["n"] for one in built] == [None, 3, 3, 2, 3]
    assert (built[2]["low"], built[2]["high"]) == (1, 3)
    assert built[1]["low"] <= 2 <= built[1]["high"]


def test_one_row_is_wanted():
    rows = [row({"case": "a"}, "psnr", 1), row({"case": "a"}, "ssim", 2)]
    assert row_of(rows, score="ssim")["value"] == 2
    assert maybe(rows, score="lpips") is None
    with pytest.raises(InputError, match=r"expected one row with {'case': 'a'}, found 2"):
        row_of(rows, case="a")


def test_separation_is_the_area_under_the_curve():
    bad = np.array([False, False, True, True])
    assert separation(np.array([1.0, 2.0, 3.0, 4.0]), bad) == 1
    assert separation(np.array([1.0, 3.0, 2.0, 4.0]), bad) == 0.75
    assert separation(np.array([1.0, 2.0]), np.array([False, False])) == 0.5


def test_markdown_shows_four_digits_and_dashes():
    assert markdown(["a", "b"], [[1.23456, None]]) == "| a | b |\n| --- | --- |\n| 1.235 | - |"
    with pytest.raises(InputError, match="expected rows for the columns a"):
        markdown(["a"], [])


def test_a_cell_is_made_again_when_its_inputs_change(tmp_path):
    made: list[int] = []

    def compute():
        made.append(1)
        return [], {"psnr": np.full(3, float(len(made)))}

    for made_from, times in (({"vae": "a"}, 1), ({"vae": "a"}, 1), ({"vae": "b"}, 2), ({"vae": "b", "probes": 4}, 3)):
        assert kept(tmp_path / "one.npz", made_from, compute)[1]["psnr"][0] == times
        assert len(made) == times


def test_a_damaged_cell_is_computed_again(tmp_path, capsys):
    path, made_from = tmp_path / "cell.npz", {"judge": "a"}
    assert kept(path, made_from, lambda: ([{"value": 1}], {}))[0] == [{"value": 1}]
    assert kept(path, made_from, lambda: ([{"value": 2}], {}))[0] == [{"value": 1}]
    path.write_bytes(path.read_bytes()[:100])
    assert kept(path, made_from, lambda: ([{"value": 3}], {}))[0] == [{"value": 3}]
    assert "It is computed again." in capsys.readouterr().out
    assert kept(path, {"judge": "b"}, lambda: ([{"value": 4}], {}))[0] == [{"value": 4}]
