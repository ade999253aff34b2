"""The public door: what passes, and what is said about what does not."""

from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from geovq.validation import InputError, check_images, check_length, check_points, check_tokens, is_list_of_arrays
from tests.typechecker import annotations_off


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
        (np.full((1, 2, 2, 1), 1.002), r"found values in \[1.002, 1.002\]"),
        (np.full((1, 2, 2, 1), -0.002, np.float16), "found values in"),
        (np.full((1, 2, 2, 1), 1.02, ml_dtypes.bfloat16), "found values in"),
        (np.full((1, 2, 2, 1), np.nan, ml_dtypes.bfloat16), "4 NaN or infinite"),
        (np.zeros((1, 2, 2, 1), np.int64), "found int64; convert them"),
        (np.zeros((1, 2, 2, 1), np.uint16), "found uint16; convert them: divide 16-bit images by 65535"),
        (np.zeros((1, 2, 2, 1), bool), "found bool"),
        (np.zeros((1, 2, 2, 1), complex), "found complex128"),
        (np.zeros(()), r"shape \(n, H, W, C\), found \(\)"),
        ([np.zeros((2, 2, 1)), np.zeros((3, 2, 1))], "expected one array, or a list of arrays of one shape"),
    ],
)
def test_bad_images_are_refused(images, message):
    with pytest.raises(InputError, match=message):
        check_images(images)


@pytest.mark.parametrize(
    ("images", "wanted"),
    [
        (np.array([-1e-7, 1 + 1e-7]), [0, 1]),
        (np.array([-(2.0**-10), 1 + 2.0**-10]), [0, 1]),
        (np.nextafter(np.array([0, 1], np.float32), np.array([-1, 2], np.float32)), [0, 1]),
        (np.nextafter(np.array([0, 1], np.float16), np.array([-1, 2], np.float16)), [0, 1]),
        (np.array([-(2.0**-7), 1 + 2.0**-7], ml_dtypes.bfloat16), [0, 1]),
        (np.array([0.25, 1.0005]), [0.25, 1]),
    ],
)
def test_what_rounding_put_outside_is_clipped(images, wanted):
    given = images.reshape(1, 1, 2, 1)
    given.flags.writeable = False  # the caller's array stays as it is
    found = check_images(given)
    np.testing.assert_array_equal(found.ravel(), np.float32(wanted), strict=True)


def test_floats_in_range_are_not_copied():
    images = np.linspace(0, 1, 4, dtype=np.float32).reshape(1, 2, 2, 1)
    assert check_images(images) is images


VARIANTS: dict[str, Any] = {
    "float64": lambda x: x.astype(np.float64),
    "big-endian": lambda x: x.astype(">f4"),
    "long double": lambda x: x.astype(np.longdouble),
    "Fortran order": np.asfortranarray,
    "reversed view": lambda x: x[::-1][::-1],
    "of jax": jnp.asarray,
    "list of arrays": list,
    "nested lists": lambda x: x.tolist(),
}
"""Ways to hold the same numbers, which float32 holds exactly."""


@pytest.mark.parametrize("variant", VARIANTS)
def test_any_array_of_the_same_numbers_is_the_same(variant):
    change = VARIANTS[variant]
    images = np.random.default_rng(0).integers(0, 257, (3, 2, 4, 1)).astype(np.float32) / 256
    with annotations_off():  # which ask for arrays of NumPy
        found, points = check_images(change(images)), check_points("points", change(images[:, 0, :, 0]))
    np.testing.assert_array_equal(found, images, strict=True)
    assert found.dtype.isnative
    np.testing.assert_array_equal(points, images[:, 0, :, 0])
    assert points.dtype.isnative


def test_images_of_another_shape_are_refused():
    with pytest.raises(InputError, match=r"expected shape \(n, 28, 28, 1\), found \(1, 32, 32, 3\)"):
        check_images(np.zeros((1, 32, 32, 3)), (28, 28, 1))


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e5m2])
def test_points_of_other_numbers_become_float64(dtype):
    found = check_points("points", np.array([[1, 0]]).astype(dtype))
    np.testing.assert_array_equal(found, np.array([[1.0, 0.0]]), strict=True)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros(3), r"\(n, d\), found shape \(3,\)"),
        (np.zeros((0, 2)), "non-empty"),
        ([[np.inf, 0]], "1 NaN or infinite"),
        (np.ones((2, 2), complex), "expected real numbers, found complex128"),
        (np.array([["a", "b"]]), "expected real numbers, found <U1"),
        (np.array([[None, 1.0]]), "expected real numbers, found object"),
        ([[1.0], [1.0, 2.0]], "expected one array, or a list of arrays of one shape"),
    ],
)
def test_bad_points_are_refused(points, message):
    with pytest.raises(InputError, match=message):
        check_points("points", points)


def test_tokens_become_int32():
    found = check_tokens(np.array([[0, 2]], np.int64), 3)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, [[0, 2]])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, ">i8"])
def test_integers_of_any_size_are_tokens(dtype):
    tokens = np.array([[0, 2], [1, 1]])
    np.testing.assert_array_equal(check_tokens(tokens.astype(dtype), 3), tokens.astype(np.int32), strict=True)


@pytest.mark.parametrize("bad", [-1, 3])
def test_invalid_tokens_are_counted_and_the_first_is_named(bad):
    tokens = np.zeros((4, 2, 2), np.int32)
    tokens[1, 0, 1] = tokens[1, 1, 1] = tokens[3, 0, 0] = bad
    with pytest.raises(InputError, match=rf"found 3 outside, in 2 images, the first at \(1, 0, 1\) with value {bad}"):
        check_tokens(tokens, 3)


def test_tokens_that_are_not_integers_are_refused():
    with pytest.raises(InputError, match="found float64"):
        check_tokens(np.zeros((1, 2)), 3)


def test_lists_of_arrays_are_told_from_nested_lists():
    image = np.zeros((2, 2, 1))
    for values in ([image], (image, image[:1]), [image.astype(np.uint8)] * 3):
        assert is_list_of_arrays(values)
    for values in (image, [], image.tolist(), [1, 2.0], [np.float32(1)], [image, image.tolist()], None, "images"):
        assert not is_list_of_arrays(values)
    with pytest.raises(InputError, match="start: expected a list of 2, one for each image, found int"):
        check_length("start", 3, 2)
