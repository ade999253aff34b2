"""Additive codes: by hand, for one quantizer and for several, of NumPy and of JAX."""

from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from geovq.numerics.additive import MAX_QUANTIZERS, additive_codes, as_quantizers, sum_codes
from geovq.validation import InputError
from tests import reference
from tests.typechecker import annotations_off

CODES = np.array([[[1, 0], [2, 0]], [[0, 10], [0, 20]]], np.float32)


@pytest.mark.parametrize("library", [np, jnp])
def test_sums_by_hand(library):
    codes = library.asarray(CODES)
    found = sum_codes(codes, library.asarray([[0, 1], [1, 0]]))
    np.testing.assert_array_equal(found, [[1, 20], [2, 10]])
    np.testing.assert_array_equal(sum_codes(codes, library.asarray([1, 1])), [2, 20])
    np.testing.assert_array_equal(sum_codes(codes[:1], library.asarray([[[0]], [[1]]])), [[[1, 0]], [[2, 0]]])


def test_sums_equal_the_slow_truth(rng):
    codes, tokens = rng.standard_normal((3, 7, 4)), rng.integers(0, 7, (20, 3))
    np.testing.assert_allclose(sum_codes(codes, tokens), reference.summed_codes(codes, tokens))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, ">f4", np.int32])
def test_one_codebook_is_the_first_of_one(dtype):
    for codes in (CODES[0], CODES):
        with annotations_off():  # which ask for floats
            found = as_quantizers(codes.astype(dtype))
        np.testing.assert_array_equal(found, codes.reshape(-1, 2, 2), strict=True)
        assert found.dtype.isnative


def test_lists_and_arrays_of_jax_are_codes():
    holders: list[Any] = [CODES.tolist(), jnp.asarray(CODES)]
    with annotations_off():  # which ask for arrays of NumPy
        for codes in holders:
            np.testing.assert_array_equal(as_quantizers(codes), CODES, strict=True)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros(3), r"\(K, d\), or \(S, K, d\) .* found \(3,\)"),
        (np.zeros(()), r"found \(\)"),
        (np.zeros((0, 2)), r"found \(0, 2\)"),
        (np.zeros((1, 2, 2, 2)), r"found \(1, 2, 2, 2\)"),
        (np.zeros((MAX_QUANTIZERS + 1, 3, 2)), f"S at most {MAX_QUANTIZERS}"),
        (np.array([[0, np.nan]]), "codes: expected finite values"),
    ],
)
def test_what_is_no_codes_is_refused(codes, message):
    with pytest.raises(InputError, match=message):
        as_quantizers(codes)


def test_groups_by_hand():
    groups = [np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0], [6.0]])]
    codes = additive_codes(groups)
    np.testing.assert_array_equal(codes, [[[1, 2, 0], [3, 4, 0]], [[0, 0, 5], [0, 0, 6]]])
    np.testing.assert_array_equal(sum_codes(codes, np.array([[0, 1], [1, 0]])), [[1, 2, 6], [3, 4, 5]])
    equal = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    np.testing.assert_array_equal(additive_codes(equal), additive_codes(list(equal)))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([], r"groups: expected arrays \(K, d\) with the same K, one for each quantizer, found \[\]"),
        (np.zeros((4, 2)), r"found \[\(2,\), \(2,\), \(2,\), \(2,\)\]"),
        ([np.zeros((4, 2)), np.zeros((3, 2))], r"found \[\(4, 2\), \(3, 2\)\]; repeat the last code"),
        ([np.full((4, 2), np.nan)], "(codes|groups): expected finite"),
        (np.zeros((MAX_QUANTIZERS + 1, 4, 2)), f"with S at most {MAX_QUANTIZERS}"),
    ],
)
def test_groups_that_make_no_codes_are_refused(groups, message):
    with pytest.raises(InputError, match=message):
        additive_codes(groups)


def test_many_quantizers_are_taken_as_they_are():
    assert as_quantizers(np.zeros((16, 3, 2))).shape == (16, 3, 2)
