"""Greedy: with all codes as candidates it is coordinate descent through the decoder, here by brute force."""

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.assignment.base import Codebook, Inputs
from geovq.assignment.greedy import Greedy
from geovq.assignment.nearest import Nearest
from geovq.decoder.adapters import as_partial
from geovq.validation import InputError
from tests import reference

SHAPE, K, N = (1, 2, 2), 5, 6


@pytest.fixture
def problem(rng):
    """A decoder that is not linear, two quantizers, images that it can nearly make, and tokens drawn at random."""
    weights = rng.standard_normal((4, 6)).astype(np.float32)
    decode = as_partial(lambda z: jnp.tanh(z.ravel() @ weights).reshape(2, 3, 1))
    codes = rng.standard_normal((2, K, 2)).astype(np.float32)
    latents = rng.standard_normal((N, *SHAPE)).astype(np.float32)
    images = np.stack([np.asarray(decode(z)) for z in latents]) + 0.1 * rng.standard_normal((N, 2, 3, 1))
    metrics = np.broadcast_to(np.eye(2, dtype=np.float32), (1, 2, 2, 2))
    start = rng.integers(0, K, (N, 1, 2, 2)).astype(np.int32)
    return decode, Codebook(codes, metrics), Inputs(latents, images.astype(np.float32), start=start)


def error_of(problem, i):
    """The squared error of image i as a function of its tokens (t, S)."""
    decode, codebook, inputs = problem

    def error(tokens):
        grid = reference.summed_codes(codebook.codes, tokens).astype(np.float32).reshape(SHAPE)
        return float(np.sum((np.asarray(decode(grid)) - inputs.images[i]) ** 2))

    return error


@pytest.mark.parametrize("sweeps", [1, 2])
def test_all_candidates_are_coordinate_descent(problem, sweeps):
    found = Greedy(candidates=K + 3, sweeps=sweeps)(*problem)  # at most K count
    for i in range(N):
        start = problem[2].start[i].reshape(2, 2)
        wanted = reference.coordinate_descent(error_of(problem, i), start, K, sweeps)
        np.testing.assert_array_equal(found[i].reshape(2, 2), wanted)


def test_fewer_candidates_never_make_an_image_worse(problem):
    errors = []
    for tokens in (problem[2].start, Greedy(candidates=2)(*problem), Greedy(candidates=K)(*problem)):
        errors.append([error_of(problem, i)(tokens[i].reshape(2, 2)) for i in range(N)])
    assert (np.diff(errors, axis=0)[0] <= 1e-5).all()
    assert np.sum(errors[2]) < np.sum(errors[0])


def test_one_candidate_is_the_code_that_is_there(problem):
    np.testing.assert_array_equal(Greedy(candidates=1)(*problem), problem[2].start)


def test_without_a_start_the_initial_assigner_gives_one(problem):
    decode, codebook, inputs = problem
    bare = inputs._replace(start=None)
    given = inputs._replace(start=Nearest()(decode, codebook, bare))
    greedy = Greedy(candidates=K, initial=Nearest())
    np.testing.assert_array_equal(greedy(decode, codebook, bare), greedy(decode, codebook, given))


def test_progress_counts_every_image_once(problem):
    for sweeps in (1, 3):
        done: list[int] = []
        Greedy(candidates=K, sweeps=sweeps)(*problem, progress=done.append)
        assert sum(done) == N


def test_what_it_cannot_do_is_refused(problem):
    decode, codebook, inputs = problem
    with pytest.raises(InputError, match="images: expected those that the latents are of, found none"):
        Greedy()(decode, codebook, inputs._replace(images=None))
    for options, message in (
        ({"candidates": 0}, "candidates: expected a whole number"),
        ({"sweeps": 0}, "sweeps: expected a whole number"),
        ({"initial": "joint"}, "initial: expected an assigner without statistics"),
    ):
        with pytest.raises(InputError, match=message):
            Greedy(**options)
