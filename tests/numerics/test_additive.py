"""Additive codes: a grouped quantizer by hand, and what is refused."""

import numpy as np
import pytest

from geovq.numerics.additive import MAX_QUANTIZERS, additive_codes, as_quantizers, sum_codes
from geovq.validation import InputError


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
        ([np.full((4, 2), np.nan)], "codes: expected finite"),
        (np.zeros((MAX_QUANTIZERS + 1, 4, 2)), f"with S at most {MAX_QUANTIZERS}"),
    ],
)
def test_groups_that_make_no_codes_are_refused(groups, message):
    with pytest.raises(InputError, match=message):
        additive_codes(groups)


def test_many_quantizers_are_taken_as_they_are():
    assert as_quantizers(np.zeros((16, 3, 2))).shape == (16, 3, 2)
