"""Large grids in the Transformer's benchmark: what is measured is what is said."""

import numpy as np
import pytest

from benchmarks.common.rows import value_of
from benchmarks.gpt.grids import memory, sampling
from benchmarks.gpt.layouts import layouts
from benchmarks.gpt.models import batch_of, model_of
from benchmarks.gpt.schedules import SCHEDULES
from benchmarks.gpt.uncached import tokens_by_one_pass, without_cache
from geovq.models import gpt
from geovq.models.sampling import sample
from tests.runs import run_of
from train.config.options import GPTOptions

SMOKE = SCHEDULES["smoke"]


def test_memory_is_less_than_with_all_weights_at_once(monkeypatch):
    schedule = SMOKE._replace(options=GPTOptions(layers=2, width=16, heads=4, batch_size=8), grids=((16, 16),))
    monkeypatch.setattr(gpt, "_MOST_KEPT", 1 << 20)
    rows = memory(schedule)
    found = {row["peer"]: row["value"] for row in rows}
    assert found["blocks kept"] < found["all weights at once"] - 8 * 4 * 256**2 * 4  # those of one layer
    assert found["ours"] < found["blocks kept"]


def test_sampling_in_part_is_scaled_to_the_whole():
    rows = sampling(SMOKE._replace(grids=((3, 3),), passes=3))
    assert {row["peer"] for row in rows} == {"ours", "without a cache"}
    assert value_of(rows, peer="ours", score="ratio") == 1


def test_one_pass_shows_what_sampling_without_a_cache_draws():
    import jax

    model, key, labels = model_of(SMOKE.options, (2, 3)), jax.random.key(1), batch_of(3, (2, 3)).labels
    tokens = sample(model, key, 3, labels)
    np.testing.assert_array_equal(without_cache(model, key, labels)(6), tokens)
    np.testing.assert_array_equal(tokens_by_one_pass(model, key, labels, tokens), tokens)
    changed = tokens.copy()
    changed[1, 4] = (changed[1, 4] + 1) % 512
    assert tokens_by_one_pass(model, key, labels, changed)[1, 4] == tokens[1, 4]


@pytest.mark.slow
def test_layouts_are_trained_on_the_same_tokens(whole):
    rows = layouts(SMOKE, run_of(whole))
    assert len({(row["layout"], row["positions"]) for row in rows}) == 4
    uniform = 16 * 2 * np.log2(8)  # tokens, codes of a token, bits of one of K = 8
    assert all(0 < row["value"] < 1.5 * uniform for row in rows if row["score"] == "bits_per_image")
