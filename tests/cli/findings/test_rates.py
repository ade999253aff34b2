"""Rates: fewer codes a token, and files."""

import numpy as np
import pytest

from geovq.assignment.joint import Joint
from geovq.assignment.nearest import Nearest
from geovq.batching.plan import DEFAULT_PLAN
from geovq.cli.findings.rates import fewer_codes, points_of_fewer_codes, points_of_webp


@pytest.fixture
def images(rng):
    return [rng.integers(0, 256, (32, 40, 3), dtype=np.uint8), rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)]


def test_codes_that_are_left_out_count_as_their_mean(tokenizer):
    codes = tokenizer.codebook.codes
    found = fewer_codes(tokenizer.codebook, 1).codes
    np.testing.assert_allclose(found[0], codes[0] + codes[1].mean(axis=0), rtol=1e-6)
    assert len(found) == 1


def test_fewer_codes_have_a_smaller_rate_and_no_others_are_tried(tokenizer, images):
    done: list[int] = []
    (point,) = points_of_fewer_codes(tokenizer, Nearest(), images, DEFAULT_PLAN, done.append)
    assert point.bits == pytest.approx(np.log2(12) / 64)
    assert sum(done) == len(images)
    assert points_of_fewer_codes(tokenizer, Joint(), images, DEFAULT_PLAN, done.append) == []


def test_files_cost_more_where_they_are_better(images):
    points = points_of_webp(images, 100)
    bits = [each.bits for each in points]
    errors = [sum(np.mean((a / 255 - b) ** 2) for a, b in zip(images, each.images, strict=True)) for each in points]
    assert bits == sorted(bits)
    assert errors == sorted(errors, reverse=True)
    assert points_of_webp(images, bits[0] / 4) == []
    grey = points_of_webp([image[..., :1] for image in images], 100)
    assert grey[0].images[0].shape == (32, 40, 1)
