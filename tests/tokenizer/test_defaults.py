"""Defaults of a tokenizer: whole Jacobians of small grids, and random probes and a bounded cost of large ones."""

from typing import Any

import numpy as np
import pytest

from geovq.assignment.joint import Joint
from geovq.tokenizer.defaults import choose_counts, choose_few, choose_probes, default_assigner
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError

IMAGES = np.random.default_rng(0).uniform(0.1, 0.9, (40, 2, 4, 1)).astype(np.float32)


def encode(images):
    return images.reshape(-1, 2, 2, 2, 1).mean(axis=(1, 3))[:, None]


def decode(latents):
    halves = latents.reshape(-1, 1, 2, 1, 1) ** 2
    return (halves * np.ones((1, 2, 1, 2, 1), np.float32)).reshape(-1, 2, 4, 1)


@pytest.mark.parametrize(
    ("latent_shape", "image_shape", "expected"),
    [
        ((8, 8, 16), (4, 4, 1), None),
        ((8, 8, 17), (4, 4, 1), 16),
        ((7, 7, 4), (28, 28, 1), None),  # FashionMNIST
        ((8, 8, 4), (64, 64, 3), 16),  # TAESD
    ],
)
def test_auto_takes_probes_where_a_jacobian_is_large(latent_shape, image_shape, expected):
    assert choose_probes("auto", latent_shape, image_shape) == expected
    assert choose_probes(None, latent_shape, image_shape) is None
    assert choose_probes(5, latent_shape, image_shape) == 5
    with pytest.raises(InputError, match=r"probes: expected a whole number in 1\.\.65536, found 0"):
        choose_probes(0, latent_shape, image_shape)


@pytest.mark.parametrize(
    ("latent_shape", "image_shape", "options", "expected"),
    [
        ((4, 4, 16), (28, 28, 1), {}, (None, 1000, None)),  # FashionMNIST: all that there is, exactly
        ((4, 4, 16), (28, 28, 1), {"max_images": 50}, (None, 50, None)),
        ((4, 4, 16), (28, 28, 1), {"max_images": 50, "probes": 3}, (None, 50, 3, 50, 3)),
        ((8, 8, 4), (64, 64, 3), {}, (8192, 512, 16, 512, 1)),
        ((32, 32, 4), (256, 256, 3), {}, (512, 32, 16, 32, 1)),  # TAESD
        ((32, 32, 16), (256, 256, 3), {"max_images": 4}, (512, 4, 16, 4, 8)),
        ((32, 32, 4), (256, 256, 3), {"max_images": 600}, (600, 600, 16, 600, 1)),
        ((128, 128, 4), (1024, 1024, 3), {}, (32, 16, 16, 16, 1)),
        ((32, 32, 4), (256, 256, 3), {"probes": None}, (512, 32, None)),
    ],
)
def test_sizes_keep_the_cost_within_bounds(latent_shape, image_shape, options, expected):
    found = choose_counts(
        **{"probes": "auto", "max_images": None, **options}, latent_shape=latent_shape, image_shape=image_shape
    )
    assert found[: len(expected)] == expected


@pytest.mark.parametrize(
    ("latent_shape", "image_shape", "options", "expected"),
    [
        ((8, 8, 16), (32, 32, 3), {}, (200, None)),
        ((8, 8, 128), (32, 32, 3), {}, (200, 10)),
        ((32, 32, 4), (256, 256, 3), {}, (32, 1)),
        ((32, 32, 4), (256, 256, 3), {"probes": 5}, (200, 5)),
        ((32, 32, 4), (256, 256, 3), {"max_images": 8}, (8, 4)),
    ],
)
def test_few_images_are_enough_for_given_codes(latent_shape, image_shape, options, expected):
    options = {"probes": "auto", "max_images": 200, **options}
    assert choose_few(**options, latent_shape=latent_shape, image_shape=image_shape) == expected


def test_joint_takes_probes_of_large_grids():
    assert default_assigner((4, 4, 16)) == Joint()
    assert default_assigner((8, 8, 128)) == Joint(probes=256)


@pytest.mark.parametrize("limit", [None, 1])
def test_fit_and_from_codes_follow_the_size_of_the_grid(limit, monkeypatch):
    options: dict[str, Any] = {"num_codes": 4, "num_neighbours": 4}
    exact = Tokenizer.fit(encode, decode, IMAGES, **options, probes=None, assigner=Joint())
    if limit is not None:
        monkeypatch.setattr("geovq.tokenizer.defaults.EXACT_SIZE", limit)
    fitted = Tokenizer.fit(encode, decode, IMAGES, **options)
    given = Tokenizer.from_codes(encode, decode, fitted.codes, IMAGES)
    assert fitted.assigner == given.assigner == (Joint() if limit is None else Joint(probes=256))
    found, expected = fitted.codebook.position_metrics, exact.codebook.position_metrics
    np.testing.assert_allclose(found, expected, rtol=0 if limit is None else 0.3)
    assert limit is None or (found != expected).all()


def test_functions_that_were_checked_are_not_checked_again(monkeypatch):
    checked: list[Any] = []
    monkeypatch.setattr("geovq.tokenizer.tokenizer.check_codes", lambda *of: checked.append(of))
    fitted = Tokenizer.fit(encode, decode, IMAGES, num_codes=4, num_neighbours=4)
    given = Tokenizer.from_codes(encode, decode, fitted.codes, IMAGES).replace(assigner=Joint(probes=8))
    assert not checked
    Tokenizer(encode, decode, given.codebook, assigner=given.assigner, image_shape=(2, 4, 1))
    assert len(checked) == 1
