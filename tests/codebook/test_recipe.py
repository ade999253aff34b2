"""Recipes: every codebook that there can be passes, and each reason why one cannot is named."""

import itertools
from typing import Any

import pytest

from geovq.codebook.names import CODEBOOKS, COMPOSITIONS, OF_MEANS
from geovq.codebook.recipe import Recipe, check_enough, check_recipe
from geovq.numerics.additive import MAX_QUANTIZERS
from geovq.validation import InputError


@pytest.mark.parametrize(("name", "composition"), list(itertools.product(CODEBOOKS, COMPOSITIONS)))
def test_one_code_for_each_token_is_always_possible(name, composition):
    check_recipe(Recipe(name, composition=composition), d=1)


@pytest.mark.parametrize("name", CODEBOOKS)
def test_several_codes_are_for_codebooks_of_means(name):
    if name in OF_MEANS:
        check_recipe(Recipe(name, num_quantizers=MAX_QUANTIZERS), d=1)
    else:
        with pytest.raises(InputError, match=rf"num_quantizers: expected 1\.\.1 for the codebook {name}"):
            check_recipe(Recipe(name, num_quantizers=2), d=8)


def test_a_product_needs_a_direction_for_each_quantizer():
    check_recipe(Recipe("kmeans", 8, 3, "product"), d=3)
    with pytest.raises(InputError, match=r"num_quantizers: expected 1\.\.2 .* and 2 latent dimensions, found 3"):
        check_recipe(Recipe("kmeans", 8, 3, "product"), d=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "gaussian"}, "codebook: expected one of kmeans, .*, found 'gaussian'"),
        ({"composition": "sum"}, "composition: expected one of residual, product, found 'sum'"),
        ({"num_codes": 8.0}, "num_codes: expected a whole number"),
        ({"num_codes": -1}, r"num_codes: expected a whole number in 0\.\.16777216"),
        ({"num_quantizers": 0}, "num_quantizers: expected a whole number of at least 1"),
        ({"num_quantizers": MAX_QUANTIZERS + 1}, rf"num_quantizers: expected 1\.\.{MAX_QUANTIZERS}"),
        ({"seed": -1}, "seed: expected a whole number in 0.."),
        ({"seed": None}, "seed: expected a whole number"),
    ],
)
def test_impossible_recipes_are_refused(options: dict[str, Any], message):
    with pytest.raises(InputError, match=message):
        check_recipe(Recipe(**options), d=80)


def test_there_are_as_many_codes_as_there_is_to_make_them_of():
    check_enough(3, 3, "latents")
    for count in (0, 4):
        with pytest.raises(InputError, match=rf"K in 1\.\.3, the number of latents, found {count}; ask for fewer"):
            check_enough(count, 3, "latents")
