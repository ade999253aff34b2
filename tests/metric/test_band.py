"""Bands of JᵀJ: by hand first, then random convolutional decoders beside differences, and decoders in which all is connected."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from geovq.metric.band import (
    Lattice,
    band_of_windows,
    check_blocks,
    cut_windows,
    independent_sets,
    lattice_tangents,
    make_lattice,
    neighbour_indices,
)
from geovq.validation import InputError
from tests import reference


def band_of(decode, grid, lattice):
    """The band at a grid, by the kernels alone."""
    numbers = jnp.arange(lattice.products)
    _, push = jax.linearize(decode, grid)
    responses = jax.vmap(push)(lattice_tangents(lattice, numbers, grid.dtype))
    return band_of_windows(lattice, jax.vmap(functools.partial(cut_windows, lattice))(responses, numbers))


def convolutional(rng, d, channels, stride, kernel):
    """A decoder of two layers, curved between them: one that enlarges the grid by a stride, and one that mixes pixels."""
    first = jnp.asarray(rng.standard_normal((*kernel, d, 2)))
    second = jnp.asarray(rng.standard_normal((*kernel, 2, channels)))
    layout = ("NHWC", "HWIO", "NHWC")

    def decode(z):
        wide = jax.lax.conv_transpose(z[None], first, stride, "SAME", dimension_numbers=layout)
        return jax.lax.conv_general_dilated(jnp.tanh(wide), second, (1, 1), "SAME", dimension_numbers=layout)[0]

    return decode


def test_by_hand():
    """Two rows of three tokens of one number; the image has each token, and a tenth of the token before it in its row."""
    lattice = make_lattice((2, 3, 1), radius=1)
    band = band_of(lambda z: z + 0.1 * jnp.pad(z, ((0, 0), (1, 0), (0, 0)))[:, :-1], jnp.zeros((2, 3, 1)), lattice)
    assert lattice.offsets.tolist() == [[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 0], [0, 1], [1, -1], [1, 0], [1, 1]]
    for row in band[..., 0, 0]:
        expected = [[0, 1.01, 0.1], [0.1, 1.01, 0.1], [0.1, 1, 0]]  # what the last token adds to its right is cut off
        np.testing.assert_allclose(row[:, 3:6], expected, rtol=1e-6)
        np.testing.assert_array_equal(np.delete(row, [3, 4, 5], axis=1), 0)


CASES = [  # grid, radius, spacing, channels of the image, stride, kernel
    ((5, 4, 2), 1, 3, 1, (2, 2), (3, 3)),
    ((7, 6, 1), 1, 5, 2, (3, 3), (3, 3)),
    ((8, 5, 2), 2, 3, 1, (2, 2), (2, 3)),  # windows end before the response
    ((4, 9, 1), 2, 5, 1, (1, 2), (3, 3)),
    ((3, 3, 3), 1, 5, 3, (4, 4), (5, 5)),  # a grid smaller than the spacing, each of whose tokens moves alone
    ((2, 7, 1), 3, 7, 1, (1, 1), (3, 4)),  # a radius beyond the grid
    ((6, 6, 1), 0, 1, 1, (2, 2), (1, 1)),  # all tokens at once
    ((1, 6, 2), 1, 3, 1, (1, 1), (1, 5)),  # what other moved tokens leave in a window
    ((1, 1, 2), 2, 5, 1, (2, 3), (3, 3)),
]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("shape", "radius", "spacing", "channels", "stride", "kernel"), CASES)
def test_random_convolutional_decoders(shape, radius, spacing, channels, stride, kernel, rng):
    decode = convolutional(rng, shape[-1], channels, stride, kernel)
    grid, lattice = rng.standard_normal(shape), make_lattice(shape, radius=radius, spacing=spacing)
    found = np.asarray(band_of(decode, jnp.asarray(grid), lattice))
    image = np.asarray(decode(jnp.asarray(grid)))
    jacobian = reference.jacobian(jax.jit(decode), grid).reshape(*image.shape, *shape)
    np.testing.assert_allclose(found, reference.coloured_band(jacobian, radius, spacing), rtol=1e-5, atol=1e-7)
    exact = reference.coloured_band(jacobian, radius, 2 * max(shape) + 1)  # each token by itself, in its whole image
    same = np.allclose(found, exact, rtol=1e-5, atol=1e-7)
    assert same == (reference.reach(jacobian) <= (spacing - 1) // 2)


def normalised(z):
    """As a GroupNorm of one group over the image."""
    x = jnp.repeat(jnp.repeat(z, 2, axis=0), 2, axis=1)
    return (x - x.mean()) / jnp.sqrt(x.var() + 1e-3)


def attentive(z):
    """Every token attends to all others."""
    flat = z.reshape(-1, z.shape[-1])
    return (flat + jax.nn.softmax(jnp.matmul(flat, flat.T)) @ flat).reshape(z.shape)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("decode", [normalised, attentive])
def test_where_all_is_connected_it_is_what_the_windows_hold(decode, rng):
    grid = rng.standard_normal((6, 5, 2))
    found = band_of(decode, jnp.asarray(grid), make_lattice(grid.shape, radius=1, spacing=3))
    image = np.asarray(decode(jnp.asarray(grid)))
    jacobian = reference.jacobian(jax.jit(decode), grid).reshape(*image.shape, *grid.shape)
    np.testing.assert_allclose(found, reference.coloured_band(jacobian, 1, 3), rtol=1e-5, atol=1e-7)
    own = reference.coloured_band(jacobian, 0, 13)
    assert np.linalg.norm(found[:, :, 4:5] - own) < 0.2 * np.linalg.norm(own)  # most of the response is near


@pytest.mark.parametrize("shape", [(4, 6, 2), (1, 1, 1), (7, 2, 1), (3, 5, 1)])
@pytest.mark.parametrize("radius", [0, 1, 2, 4])
def test_neighbours_and_sets_beside_all_pairs(shape, radius):
    h, w, _ = shape
    lattice = make_lattice(shape, radius=radius)
    near = reference.near_tokens(h, w, radius)
    neighbours = neighbour_indices(lattice)
    for q, row in enumerate(neighbours):
        assert sorted(row[row < h * w]) == near[q]
    for (y, x), row in zip(np.ndindex(h, w), neighbours, strict=True):
        for (down, right), other in zip(lattice.offsets, row, strict=True):
            assert other == h * w or divmod(other, w) == (y + down, x + right)
    sets = [[q for q in one if q < h * w] for one in independent_sets(lattice).tolist()]
    assert sorted(itertools.chain(*sets)) == list(range(h * w))
    assert len(sets) == min(radius + 1, h) * min(radius + 1, w)
    for one in sets:
        assert not any(a in near[b] for a, b in itertools.permutations(one, 2))


@pytest.mark.parametrize(("shape", "spacing"), [((7, 4, 2), 3), ((2, 3, 2), 5), ((5, 5, 1), 5), ((1, 8, 1), 1)])
def test_every_number_moves_in_one_product_and_apart_from_others(shape, spacing):
    lattice = make_lattice(shape, radius=0, spacing=spacing)
    moves = np.asarray(lattice_tangents(lattice, jnp.arange(lattice.products), jnp.zeros(0).dtype))
    np.testing.assert_array_equal(moves.sum(axis=0), np.ones(shape))
    assert len(moves) == min(spacing, shape[0]) * min(spacing, shape[1]) * shape[2]
    for move in moves:
        places = np.argwhere(move)
        assert len(set(places[:, 2])) == 1
        for a, b in itertools.combinations(places, 2):
            assert np.abs(a - b).max() >= spacing


def test_spacing_by_default_and_products():
    assert make_lattice((64, 64, 4)) == Lattice((64, 64, 4), 1, 5)
    assert make_lattice((64, 64, 4), radius=3).spacing == 7
    assert make_lattice((64, 64, 4)).products == make_lattice((640, 32, 4)).products == 100
    assert make_lattice((4, 5, 16)).products == 4 * 5 * 16  # as many as a whole Jacobian has


def test_windows_by_hand(rng):
    """Two channels of 3 x 3 tokens move one by one; each has 3 x 2 windows of 3 x 3 tokens of 2 x 3 pixels of two colours."""
    lattice = make_lattice((7, 4, 2), radius=1, spacing=3)
    response = rng.standard_normal((14, 12, 2)).astype(np.float32)
    windows = np.asarray(
        cut_windows(lattice, jnp.asarray(response), jnp.int32(3))
    )  # tokens 1 and 4 of rows 0, 3, and 6
    assert windows.shape == (3, 2, 3, 3, 12)
    assert lattice.numbers(response.size) == 18 * windows.size
    np.testing.assert_array_equal(windows[1, 0, 0, 2], response[4:6, 6:9].ravel())
    assert not windows[0, :, 0].any()  # above the image
    assert not windows[:, 1].any()  # of tokens beyond the grid


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_lattice((4, 4, 1), radius=-1), "radius: expected a whole number in 0..65536"),
        (lambda: make_lattice((4, 4, 1), spacing=4), "spacing: expected an odd number above the radius 1, found 4"),
        (
            lambda: make_lattice((4, 4, 1), radius=3, spacing=3),
            "spacing: expected an odd number above the radius 3, found 3",
        ),
        (
            lambda: check_blocks(Partial(lambda z: jnp.zeros(48)), (4, 4, 1)),
            r"sides are multiples of the 4x4 tokens', found shape \(48,\); take what needs no band",
        ),
        (
            lambda: check_blocks(Partial(lambda z: jnp.zeros((8, 10, 1))), (4, 4, 1)),
            r"found shape \(8, 10, 1\); take what needs no band",
        ),
    ],
)
def test_what_has_no_band_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
