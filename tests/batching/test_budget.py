"""Budgets: what a plan's memory holds, and what is refused before it is computed."""

import jax.numpy as jnp
import pytest
from jax.tree_util import Partial

from geovq.batching.budget import as_text, divide, passes_within, rows_of_call
from geovq.batching.memory import DecoderMemory, RowMemory
from geovq.batching.plan import Plan, settle
from geovq.validation import InputError

DECODER = DecoderMemory(forward=10, residuals=30, tangent=5, cotangent=5, image=4, parameters=100)


@pytest.mark.parametrize(
    ("memory", "passes", "share"),
    [
        (1000, 4, (15, 172)),  # 15 rows of 40 + 4 * 5 bytes; (900 - 40) / 5 passes of a row
        (160, 4, (1, 4)),
        (1000, 200, (1, 172)),
        (150, 11, (1, 2)),
        (145, 11, (1, 1)),
    ],
)
def test_memory_by_hand(memory, passes, share):
    assert divide(settle(Plan(passes=1000, memory=memory)), DECODER, DECODER.products(), (3,), passes=passes) == share


def test_the_plan_bounds_passes_where_memory_does_not():
    plan = settle(Plan(passes=512, memory=1 << 40))
    assert divide(plan, DECODER, DECODER.decodes(), (3,), passes=256) == (2, 512)
    assert divide(plan, DECODER, DECODER.decodes(), (3,), passes=1000) == (1, 512)


def test_what_does_not_fit_is_refused_with_what_would():
    plan = settle(Plan(memory=160))
    with pytest.raises(
        InputError, match=r"expected at least 165 bytes for latents \(3,\) of this decoder, found 160 bytes"
    ) as error:
        divide(plan, DECODER, RowMemory(40, 5, least=5, remedy="use probes"), (3,), passes=9)
    assert "use probes, or pass plan=geovq.Plan(memory=165)." in str(error.value)
    assert divide(settle(Plan(memory=165)), DECODER, RowMemory(40, 5, least=5), (3,), passes=9).passes == 5


def test_passes_of_a_decoder():
    decode = Partial(lambda a, z: a @ z, jnp.ones((10, 2)))  # 80 bytes; 8 of a latent, 40 of an image
    assert passes_within(Plan(passes=7), decode, (2,)) == 7
    assert passes_within(Plan(memory=80 + 480), decode, (2,), work="decodes") == 10
    assert passes_within(Plan(memory=80 + 480), decode, (2,), work="decodes", held=240) == 5
    assert passes_within(Plan(memory=80 + 480), decode, (2,), work="products", held=lambda d: d.image) == 8
    assert passes_within(Plan(passes=1), decode, (2,), least=2) == 2
    with pytest.raises(InputError, match="expected at least 560 bytes for latents"):
        passes_within(Plan(passes=1, memory=300), decode, (2,), work="decodes", least=10)
    with pytest.raises(InputError, match="take smaller images"):
        passes_within(Plan(memory=100), decode, (2,))


def test_few_rows_take_the_next_power_of_two():
    assert [rows_of_call(n, 24) for n in (1, 2, 3, 9, 17, 24, 500)] == [1, 2, 4, 16, 24, 24, 24]


@pytest.mark.parametrize(("size", "text"), [(3, "3 bytes"), (3 << 20, "3 MiB"), (3 << 29, "1.5 GiB")])
def test_sizes_as_people_read_them(size, text):
    assert as_text(size) == text
