"""Greedy: with all codes as candidates it is coordinate descent through the decoder, here by brute force."""

import jax
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


def error_of(problem, i, shape=SHAPE):
    """The squared error of image i as a function of its tokens (t, S)."""
    decode, codebook, inputs = problem

    def error(tokens):
        grid = reference.summed_codes(codebook.codes, tokens).astype(np.float32).reshape(shape)
        return float(np.sum((np.asarray(decode(grid)) - inputs.images[i]) ** 2))

    return error


@pytest.mark.parametrize("sweeps", [1, 2])
def test_all_candidates_are_coordinate_descent(problem, sweeps):
    found = Greedy(candidates=K + 3, sweeps=sweeps)(*problem)  # at most K count
    for i in range(N):
        start = problem[2].start[i].reshape(2, 2)
        wanted = reference.coordinate_descent(error_of(problem, i), start, K, sweeps)
        np.testing.assert_array_equal(found[i].reshape(2, 2), wanted)


def test_tokens_whose_responses_do_not_meet_are_tried_together(rng):
    """A decoder in which a token changes its own pixels and those of the tokens next to it."""
    kernel = jnp.asarray(rng.standard_normal((3, 3, 2, 1)).astype(np.float32))

    def decode(z):
        wide = jnp.repeat(jnp.repeat(z, 2, axis=0), 2, axis=1)
        return jnp.tanh(jax.lax.conv_general_dilated(wide[None], kernel, (1, 1), "SAME", dimension_numbers=LAYOUT)[0])

    grid, n = (5, 4, 2), 2
    codes = rng.standard_normal((2, K, 2)).astype(np.float32)
    latents = rng.standard_normal((n, *grid)).astype(np.float32)
    images = np.asarray(jax.vmap(decode)(latents) + 0.1 * rng.standard_normal((n, 10, 8, 1)), np.float32)
    start = rng.integers(0, K, (n, *grid[:2], 2)).astype(np.int32)
    codebook = Codebook(codes, np.broadcast_to(np.eye(2, dtype=np.float32), (1, 1, 2, 2)))
    made = Greedy(candidates=K, spacing=3)(as_partial(decode), codebook, Inputs(latents, images, start=start))
    order = [(y, x, s) for i in range(3) for j in range(3) for s in range(2) for y in (i, i + 3) for x in (j, j + 3)]
    places = [(4 * y + x, s) for y, x, s in order if y < 5 and x < 4]
    assert len(places) == start[0].size
    for i in range(n):
        error = error_of((as_partial(decode), codebook, Inputs(latents, images)), i, grid)
        wanted = reference.coordinate_descent(error, start[i].reshape(20, 2), K, 1, places)
        np.testing.assert_array_equal(made[i].reshape(20, 2), wanted)
        assert error(wanted) < error(start[i].reshape(20, 2))


LAYOUT = ("NHWC", "HWIO", "NHWC")


def test_what_tokens_choose_together_is_left_out_where_the_image_is_worse(rng):
    """Every pixel hangs on all tokens, so that choices apart from each other do not add up."""
    weights = rng.standard_normal((24, 24)).astype(np.float32)
    decode = as_partial(lambda z: jnp.tanh(z.ravel() @ weights).reshape(4, 6, 1))
    latents = rng.standard_normal((8, 4, 6, 1)).astype(np.float32)
    images = np.asarray(jax.vmap(decode)(latents))
    codebook = Codebook(np.linspace(-2, 2, K, dtype=np.float32).reshape(1, K, 1), np.ones((1, 1, 1, 1), np.float32))
    start = rng.integers(0, K, (8, 4, 6, 1)).astype(np.int32)
    made = Greedy(candidates=K, spacing=1)(decode, codebook, Inputs(latents, images, start=start))
    errors = [
        ((jax.vmap(decode)(codebook.codes[0][t[..., 0]]) - images) ** 2).sum(axis=(1, 2, 3)) for t in (start, made)
    ]
    assert (errors[1] <= errors[0]).all()


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
        ({"spacing": 4}, "spacing: expected an odd number above the radius 0, found 4"),
        ({"initial": "joint"}, "initial: expected an assigner without statistics"),
    ):
        with pytest.raises(InputError, match=message):
            Greedy(**options)
