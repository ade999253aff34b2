"""Names that stand in two places, because programs answer --help without jax: both places agree."""

import typing

import pytest

from geovq.geometry.measured import COMPONENTS
from train.config.assigners import make_assigner
from train.config.names import ASSIGNERS, TAKES_CODE_COSTS, ComponentsName


@pytest.mark.parametrize("name", ASSIGNERS)
def test_assigners_take_code_costs_where_the_names_say_so(name):
    assert make_assigner(name).takes_code_costs == (name in TAKES_CODE_COSTS)


def test_all_names_that_take_code_costs_are_assigners():
    assert set(TAKES_CODE_COSTS) < set(ASSIGNERS)


def test_components_are_those_of_the_geometry():
    assert typing.get_args(ComponentsName) == COMPONENTS
