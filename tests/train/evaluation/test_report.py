"""Pictures and tables."""

import numpy as np
import pytest
from PIL import Image

from geovq.validation import InputError
from train.evaluation.report import save_grid, text_table


def test_grid_shows_the_pixels(tmp_path):
    image = np.array([[0, 1], [1, 0]], np.float32).reshape(1, 2, 2, 1)
    path = save_grid(tmp_path / "grid.png", {"a": image, "b": np.repeat(1 - image, 2, axis=0)}, enlarge=3)
    pixels = np.asarray(Image.open(path).convert("L"))
    left = pixels.shape[1] - 2 * (6 + 2)
    np.testing.assert_array_equal(pixels[0:6:3, left : left + 6 : 3], [[0, 255], [255, 0]])
    np.testing.assert_array_equal(pixels[8:14:3, left + 8 : left + 14 : 3], [[255, 0], [0, 255]])


def test_colour_keeps_its_channels(tmp_path):
    image = np.zeros((1, 2, 2, 3), np.float32)
    image[..., 1] = 1
    pixels = np.asarray(Image.open(save_grid(tmp_path / "g.png", {"": image})))
    assert (pixels == [0, 255, 0]).all(axis=2).sum() == 16


@pytest.mark.parametrize(
    "rows", [{}, {"a": np.zeros((1, 2, 2, 2))}, {"a": np.zeros((1, 2, 2, 1)), "b": np.zeros((1, 3, 3, 1))}]
)
def test_rows_that_make_no_picture_are_refused(rows, tmp_path):
    with pytest.raises(InputError, match="rows of images of one size"):
        save_grid(tmp_path / "g.png", rows)


def test_table_aligns_numbers_right():
    table = text_table(["name", "value"], [["a", 1.23456], ["longer", None]])
    assert table.splitlines() == ["name    value", "-------------", "a       1.235", "longer      -"]
