"""What all assigners have in common: tokens of the right shape, what they need, and what is refused."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from geovq.assignment.amortised import Amortised
from geovq.assignment.base import Assigner, Codebook, check_assigner, check_measured
from geovq.assignment.geodesic import Geodesic
from geovq.assignment.greedy import Greedy
from geovq.assignment.joint import Joint
from geovq.assignment.local import Local
from geovq.assignment.nearest import Nearest
from geovq.assignment.whitened import Whitened
from geovq.validation import InputError

H, W, D, K, N = 2, 2, 2, 6, 30


@pytest.mark.parametrize("assigner", [Nearest(), Whitened(), Whitened(per_position=True), Local()])
def test_two_quantizers_come_nearer_and_progress_counts(assigner, case, rng):
    decode, codebook, inputs = case
    both = codebook._replace(codes=np.stack([codebook.codes[0], 0.3 * rng.standard_normal((K, D)).astype(np.float32)]))
    done: list[int] = []
    tokens = assigner(decode, both, inputs, progress=done.append)
    assert tokens.shape == (N, H, W, 2)
    assert tokens.dtype == np.int32
    assert sum(done) == N
    moves = inputs.latents - both.codes[0][tokens[..., 0]] - both.codes[1][tokens[..., 1]]
    single = inputs.latents - codebook.codes[0][assigner(*case)[..., 0]]
    assert (moves**2).sum() < (single**2).sum()


def test_what_is_no_assigner_or_not_measured_is_refused():
    with pytest.raises(InputError, match=r"expected an assigner such as geovq.Joint\(\) .*, found 'joint'"):
        check_assigner("joint", 1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Geodesic expects at most 1 codes a token, found 2"):
        check_assigner(Geodesic(), 2)
    codebook = Codebook(np.zeros((1, K, D), np.float32), np.zeros((H, W, D, D), np.float32))
    for assigner in (Geodesic(), Amortised()):
        with pytest.raises(InputError, match="expects statistics of these codes, found none"):
            check_measured(assigner, codebook)
    for initial in (Amortised(), "joint"):
        with pytest.raises(InputError, match="initial: expected an assigner without statistics"):
            Greedy(initial=initial)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="probes: expected a whole number of at least 1, found 0"):
        Local(probes=0)


@pytest.mark.parametrize("kind", [Nearest, Whitened, Local, Geodesic, Amortised, Joint, Greedy])
def test_assigners_are_frozen_and_say_what_they_need(kind):
    assigner: Any = kind()
    assert isinstance(assigner, Assigner)
    fields = dataclasses.fields(kind)
    if fields:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(assigner, fields[0].name, None)
    assert assigner.needs_images == (kind in (Amortised, Joint, Greedy))
    assert assigner.needs_metrics == (kind in (Local, Geodesic))
    assert assigner.takes_code_costs == (kind in (Amortised, Joint))


def test_metrics_of_positions_are_for_their_grid_and_others_for_any():
    metrics = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 2, 2)
    codebook = Codebook(np.zeros((1, K, 2), np.float32), metrics)
    np.testing.assert_array_equal(codebook.metrics_on((2, 3)), metrics)
    with pytest.raises(
        InputError, match=r"latents: expected grids of 2x3, .* found 3x2; pass a Codebook with one mean"
    ):
        codebook.metrics_on((3, 2))
    anywhere = codebook.without_positions()
    np.testing.assert_array_equal(anywhere.mean_metric, codebook.mean_metric)
    np.testing.assert_array_equal(anywhere.metrics_on((5, 1)), np.broadcast_to(codebook.mean_metric, (5, 1, 2, 2)))


def test_statistics_of_positions_are_refused_where_grids_have_any_size():
    assigners = Whitened(per_position=True), Greedy(initial=Whitened(per_position=True)), Greedy(), Whitened(), Joint()
    assert [each.needs_positions for each in assigners] == [True, True, False, False, False]
    for each in assigners:
        check_assigner(each, 1)
    for each in assigners[:2]:
        with pytest.raises(InputError, match=r"expected one without statistics of positions.*use Whitened\(\)"):
            check_assigner(each, 1, any_size=True)
    check_assigner(Whitened(), 1, any_size=True)
