"""Tokens and labels that a GPT is trained on: which images stay, and what is refused."""

import numpy as np
import pytest

from geovq.models.token_data import check_labels, keep_valid
from geovq.validation import InputError


def test_keep_valid_drops_images_and_their_labels():
    tokens = np.array([[0, 1], [2, -1], [3, 0], [2, 2]])
    kept, labels, lost = keep_valid(tokens, np.array([5, 6, 7, 8]), 3)
    np.testing.assert_array_equal(kept, [[0, 1], [2, 2]])
    np.testing.assert_array_equal(labels, [5, 8])
    assert lost == 2
    assert kept.dtype == np.int32
    assert keep_valid(tokens, None, 4)[1:] == (None, 1)
    with pytest.raises(InputError, match="found none among 4"):
        keep_valid(tokens - 9, None, 3)
    with pytest.raises(InputError, match="found none among 0"):
        keep_valid(tokens[:0], None, 3)
    with pytest.raises(InputError, match=r"integers of shape \(4,\)"):
        keep_valid(tokens, np.array([1]), 3)
    with pytest.raises(InputError, match="found float64"):
        keep_valid(tokens, np.array([5.5, 6, 7, 8]), 3)
    with pytest.raises(InputError, match="float64"):
        keep_valid(tokens * 1.0, None, 3)


def test_check_labels():
    assert check_labels(np.array([0, 2]), 3).dtype == np.int32
    with pytest.raises(InputError, match=r"0\.\.2, found 2 outside, the first at 1 with value 3"):
        check_labels(np.array([0, 3, -1]), 3)
    with pytest.raises(InputError, match="float64"):
        check_labels(np.array([0.5]), 3)


def test_whole_grids_and_codes_of_several_quantizers_are_images():
    tokens = np.zeros((3, 2, 2, 2), np.uint8)
    tokens[1, 0, 1, 1] = 9
    kept, labels, lost = keep_valid(tokens, np.array([4, 5, 6], ">i8"), 9)
    np.testing.assert_array_equal(kept, np.zeros((2, 2, 2, 2), np.int32), strict=True)
    np.testing.assert_array_equal(labels, np.array([4, 6], np.int32), strict=True)
    assert lost == 1


def test_nothing_is_lost_where_all_tokens_are_codes():
    tokens = np.array([[0], [2]])
    kept, labels, lost = keep_valid(tokens, None, 3)
    np.testing.assert_array_equal(kept, tokens)
    assert (labels, lost) == (None, 0)


def test_labels_of_other_shapes_are_refused():
    assert check_labels(np.array([], np.int64), 3).shape == (0,)
    with pytest.raises(InputError, match=r"integers of shape \(n,\) in 0\.\.2, found int64 of shape \(1, 1\)"):
        check_labels(np.array([[0]]), 3)
    with pytest.raises(InputError, match=r"found int64 of shape \(\)"):
        check_labels(np.array(0), 3)
