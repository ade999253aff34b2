"""The public door: what passes, and what is said about what does not."""

import numpy as np
import pytest

from geovq.validation import InputError, check_images, check_points, check_tokens


def test_bytes_become_intensities():
    found = check_images(np.array([0, 51, 255], np.uint8).reshape(3, 1, 1, 1))
    np.testing.assert_allclose(found.ravel(), [0, 0.2, 1], rtol=1e-6)
    assert found.dtype == np.float32


def test_floats_in_range_are_kept():
    images = np.linspace(0, 1, 4).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(check_images(images, (2, 2, 1)), images, rtol=1e-6)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 3, 3)), r"shape \(n, H, W, C\), found \(2, 3, 3\)"),
        (np.zeros((0, 3, 3, 1)), "at least one image"),
        (np.full((1, 2, 2, 1), 255.0), r"floats in \[0, 1\], found values in \[255, 255\]; divide bytes by 255"),
        (np.full((1, 2, 2, 1), -0.1), "found values in"),
        (np.full((1, 2, 2, 1), np.nan), r"finite values, found 4 NaN or infinite entries, the first at \(0, 0, 0, 0\)"),
        (np.zeros((1, 2, 2, 1), np.int64), "found int64; convert them"),
    ],
)
def test_bad_images_are_refused(images, message):
    with pytest.raises(InputError, match=message):
        check_images(images)


def test_images_of_another_shape_are_refused():
    with pytest.raises(InputError, match=r"expected shape \(n, 28, 28, 1\), found \(1, 32, 32, 3\)"):
        check_images(np.zeros((1, 32, 32, 3)), (28, 28, 1))


def test_integer_points_become_floats():
    assert check_points("points", np.array([[1, 2]])).dtype == np.float64


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros(3), r"\(n, d\), found shape \(3,\)"),
        (np.zeros((0, 2)), "non-empty"),
        ([[np.inf, 0]], "1 NaN or infinite"),
    ],
)
def test_bad_points_are_refused(points, message):
    with pytest.raises(InputError, match=message):
        check_points("points", points)


def test_tokens_become_int32():
    found = check_tokens(np.array([[0, 2]], np.int64), 3)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, [[0, 2]])


@pytest.mark.parametrize("bad", [-1, 3])
def test_invalid_tokens_are_counted_and_the_first_is_named(bad):
    tokens = np.zeros((4, 2, 2), np.int32)
    tokens[1, 0, 1] = tokens[1, 1, 1] = tokens[3, 0, 0] = bad
    with pytest.raises(InputError, match=rf"found 3 outside, in 2 images, the first at \(1, 0, 1\) with value {bad}"):
        check_tokens(tokens, 3)


def test_tokens_that_are_not_integers_are_refused():
    with pytest.raises(InputError, match="found float64"):
        check_tokens(np.zeros((1, 2)), 3)
