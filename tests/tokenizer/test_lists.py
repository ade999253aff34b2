"""Lists of arrays of different shapes: like ones together, a bounded number at a time, results in their order."""

import numpy as np
import pytest
from jax.tree_util import Partial

from geovq.assignment.base import Codebook
from geovq.assignment.joint import Joint
from geovq.decoder.sizes import Sizes
from geovq.tokenizer import lists
from geovq.tokenizer.lists import check_lists, images_at_once, map_alike
from geovq.tokenizer.parts import Parts, Vae
from geovq.validation import InputError

CODEBOOK = Codebook(np.zeros((1, 3, 2), np.float32), np.ones((1, 1, 2, 2), np.float32))
VAE = Vae(Partial(np.asarray), Partial(np.asarray), Sizes((8, 8, 1), (2, 2), (4, 4)), 2)


@pytest.mark.parametrize(
    ("shape", "count"), [((28, 28, 1), 5120), ((256, 256, 3), 64), ((768, 512, 3), 10), ((4000, 3000, 3), 1)]
)
def test_images_that_are_stacked_are_bounded(shape, count):
    assert images_at_once(shape) == count
    assert count == 1 or count * shape[0] * shape[1] <= 4 * lists.PIXELS


def test_results_are_in_the_order_of_the_items(monkeypatch):
    monkeypatch.setattr(lists, "images_at_once", lambda shape: 2)
    shapes = [(1, 2), (2, 1), (1, 2), (1, 2), (2, 1)]
    values = [np.full(shape, i) for i, shape in enumerate(shapes)]
    others = [np.full(3, 10 * i) for i in range(5)]
    seen = []

    def add(values, others, nothing):
        assert nothing is None
        seen.append(values.shape)
        return values + others[:, :1, None]

    found = map_alike(add, values, {"others": others, "nothing": None}, image_shape=lambda shape: shape)
    assert seen == [(2, 1, 2), (1, 1, 2), (2, 2, 1)]
    for i, shape in enumerate(shapes):
        np.testing.assert_array_equal(found[i], np.full(shape, 11 * i))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"start": [np.zeros((2, 2), int)]}, "start: expected a list of 2, one for each image, found 1"),
        ({"start": 3}, "start: expected a list of 2, one for each image, found int"),
        ({"start": [np.zeros((2, 2), int), np.zeros((2, 2), int)]}, r"start\[1\]: expected shape \(n, 1, 3\)"),
        ({"start": [np.zeros((2, 2), int), np.full((1, 3), 7)]}, r"start\[1\]: expected integers in 0..2"),
        (
            {"code_costs": [np.zeros((2, 2, 3)), np.zeros((1, 3))]},
            r"code_costs\[1\]: expected .* \(1, 1, 3, 3\), found",
        ),
        ({"images": [np.zeros((8, 8, 1)), np.zeros((8, 8, 1))]}, r"images\[1\]: expected shape \(n, 4, 12, 1\)"),
        (
            {"images": [np.zeros((8, 8, 1), np.uint8), np.zeros((4, 12, 1))]},
            r"images\[1\]: expected uint8 as images\[0\], found float64; convert all images to one dtype",
        ),
        (
            {"metrics": [np.zeros((2, 2, 2, 2)), np.zeros((1, 3, 2))]},
            r"metrics\[1\]: .*\(1, 3, 2, 2\), found \(1, 3, 2\)",
        ),
    ],
)
def test_lists_that_do_not_fit_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        check_lists(Parts(VAE, CODEBOOK, Joint()), [(2, 2), (1, 3)], given)
