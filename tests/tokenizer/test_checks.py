"""What a tokenizer's methods take: codebooks, latents, tokens, images, costs; each refusal says what was expected and found."""

from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from geovq.assignment.base import Codebook
from geovq.assignment.greedy import Greedy
from geovq.assignment.joint import Joint
from geovq.assignment.nearest import Nearest
from geovq.tokenizer.checks import (
    as_code_costs,
    as_codebook,
    as_grids,
    as_latents,
    as_start,
    as_token_list,
    token_shape,
)
from geovq.validation import InputError
from tests.typechecker import annotations_off

ONE = Codebook(np.zeros((1, 3, 2), np.float32), np.ones((1, 4, 2, 2), np.float32))
TWO = Codebook(np.zeros((2, 3, 2), np.float32), np.ones((1, 4, 2, 2), np.float32))

GRID = (1, 4)

HOLDERS: dict[str, Any] = {
    "float64": lambda x: x.astype(np.float64),
    "float16": lambda x: x.astype(np.float16),
    "bfloat16": lambda x: x.astype(ml_dtypes.bfloat16),
    "big-endian": lambda x: x.astype(">f8"),
    "of jax": jnp.asarray,
    "list of arrays": list,
    "nested lists": lambda x: x.tolist(),
}
"""Ways to hold small whole numbers, which all of them hold exactly."""


def test_tokens_have_an_axis_of_quantizers_only_where_there_are_several():
    assert token_shape(ONE, GRID) == (1, 4)
    assert token_shape(TWO, GRID) == (1, 4, 2)
    tokens = np.array([[[0, 1, 2, 0]]])
    np.testing.assert_array_equal(as_grids(tokens, ONE, GRID), tokens[..., None])
    both = np.stack([tokens, tokens], axis=-1)
    np.testing.assert_array_equal(as_grids(both, TWO, GRID), both)


def test_codes_without_the_axis_of_quantizers_get_it():
    with annotations_off():
        found = as_codebook(Codebook(np.zeros((3, 2)), np.ones((1, 4, 2, 2))))
    assert found.codes.shape == (1, 3, 2)
    assert {array.dtype for array in found} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("codes", "metrics", "message"),
    [
        (np.zeros((3, 2)), np.ones((4, 2, 2)), r"position_metrics: expected shape \(h, w, 2, 2\), found \(4, 2, 2\)"),
        (np.zeros((3, 2)), np.ones((1, 4, 3, 3)), r"expected shape \(h, w, 2, 2\), found \(1, 4, 3, 3\)"),
        (np.zeros((3, 2)), np.full((1, 4, 2, 2), np.nan), "position_metrics: expected finite"),
        (np.full((3, 2), np.inf), np.ones((1, 4, 2, 2)), "codes: expected finite"),
        (np.zeros(3), np.ones((1, 4, 2, 2)), "codes: expected shape"),
    ],
)
def test_bad_codebooks_are_refused(codes, metrics, message):
    with pytest.raises(InputError, match=message):
        as_codebook(Codebook(codes, metrics))


@pytest.mark.parametrize("holder", HOLDERS)
def test_latents_of_any_precision_and_container_become_float32(holder):
    latents = np.arange(8, dtype=np.float32).reshape(1, 1, 4, 2)
    metrics = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 2, 2)
    with annotations_off():
        found = as_latents(HOLDERS[holder](latents), HOLDERS[holder](metrics), ONE, GRID)
    np.testing.assert_array_equal(found[0], latents, strict=True)
    np.testing.assert_array_equal(found[1], metrics, strict=True)


@pytest.mark.parametrize(
    ("latents", "metrics", "message"),
    [
        (np.zeros((4, 2)), None, r"latents: expected shape \(n, 1, 4, 2\), found \(4, 2\)"),
        (np.zeros((0, 1, 4, 2)), None, r"found \(0, 1, 4, 2\)"),
        (np.zeros((1, 1, 4, 3)), None, r"found \(1, 1, 4, 3\)"),
        (np.zeros(()), None, r"found \(\)"),
        (np.full((1, 1, 4, 2), 1e300), None, "latents: expected finite values, found 8"),
        (np.zeros((1, 1, 4, 2)), np.zeros((1, 1, 4, 2)), r"one per token, \(1, 1, 4, 2, 2\), found \(1, 1, 4, 2\)"),
        (np.zeros((1, 1, 4, 2)), np.full((1, 1, 4, 2, 2), np.nan), "metrics: expected finite"),
        ([np.zeros((1, 4, 2)), np.zeros((1, 3, 2))], None, "latents: expected one array, or a list of arrays"),
    ],
)
def test_bad_latents_are_refused(latents, metrics, message):
    with pytest.raises(InputError, match=message):
        as_latents(latents, metrics, ONE, GRID)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (
            np.zeros((1, 4), int),
            r"expected shape \(n, 1, 4\) with n of at least 1, found \(1, 4\); reshape them to grids",
        ),
        (np.zeros((0, 1, 4), int), r"found \(0, 1, 4\)"),
        (np.zeros((1, 1, 4, 1), int), r"found \(1, 1, 4, 1\)"),
        (np.full((1, 1, 4), 3), r"0..2, found 4 outside, in 1 images"),
        (np.zeros((1, 1, 4)), "expected integers in 0..2, found float64"),
        ([[[0, 1, 2]], [[0, 1]]], "tokens: expected one array, or a list of arrays of one shape"),
    ],
)
def test_bad_tokens_are_refused(tokens, message):
    with pytest.raises(InputError, match=message):
        as_grids(tokens, ONE, GRID)


def test_tokens_of_any_grid_keep_their_sizes():
    for shape in ((1, 2, 3), (2, 5, 1)):
        assert as_grids(np.zeros(shape, int), ONE, None).shape == (*shape, 1)
        assert as_grids(np.zeros((*shape, 2), int), TWO, None).shape == (*shape, 2)
    found = as_token_list([np.zeros((2, 3), int), np.ones((1, 4), np.int8)], ONE, None)
    assert [each.shape for each in found] == [(2, 3), (1, 4)]
    assert {each.dtype for each in found} == {np.dtype(np.int32)}


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([np.zeros((1, 4), int), np.zeros(4, int)], r"tokens\[1\]: expected shape \(h, w\), found \(4,\)"),
        ([np.zeros((0, 4), int)], r"tokens\[0\]: expected shape \(h, w\), found \(0, 4\)"),
        ([np.zeros((1, 4), int), np.full((1, 2), 3)], r"tokens\[1\]: expected integers in 0..2, found 2 outside"),
    ],
)
def test_bad_lists_of_tokens_are_refused(tokens, message):
    with pytest.raises(InputError, match=message):
        as_token_list(tokens, ONE, None)


def test_a_start_is_for_assigners_that_go_on_from_it():
    tokens = np.zeros((2, 1, 4), np.int64)
    for assigner in (Joint(), Greedy()):
        assert as_start(tokens, assigner, ONE, 2, GRID).shape == (2, 1, 4, 1)
    with pytest.raises(InputError, match="start: expected 3 grids, one for each image, found 2"):
        as_start(tokens, Joint(), ONE, 3, GRID)
    with pytest.raises(InputError, match="only for Amortised, Joint and Greedy, which go on with them, found Nearest"):
        as_start(tokens, Nearest(), ONE, 2, GRID)


@pytest.mark.parametrize(("codebook", "shape"), [(ONE, (2, 1, 4, 3)), (TWO, (2, 1, 4, 2, 3))])
def test_costs_of_codes_get_the_axis_of_quantizers(codebook, shape):
    costs = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    found = as_code_costs(costs, Joint(), codebook, 2, GRID)
    assert found.shape == (2, 1, 4, codebook.num_quantizers, 3)
    np.testing.assert_array_equal(found.ravel(), costs.ravel().astype(np.float32), strict=True)


@pytest.mark.parametrize(
    ("costs", "assigner", "message"),
    [
        (np.zeros((2, 1, 4)), Joint(), r"code of every token, \(2, 1, 4, 3\), found \(2, 1, 4\)"),
        (np.full((2, 1, 4, 3), np.inf), Joint(), "code_costs: expected finite"),
        (np.zeros((2, 1, 4, 3)), Greedy(), "only for Amortised and Joint, found Greedy"),
    ],
)
def test_bad_costs_are_refused(costs, assigner, message):
    with pytest.raises(InputError, match=message):
        as_code_costs(costs, assigner, ONE, 2, GRID)
