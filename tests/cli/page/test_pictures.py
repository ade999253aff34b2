"""Images inside a page: what comes back out of them."""

import base64
import io

import numpy as np
import PIL.Image
import pytest

from geovq.cli.page.pictures import code_colours, error_map, picture, sheet, thumbnail, token_map


def opened(found):
    """The pixels of a picture."""
    head, data = found.source.split(",")
    assert head == "data:image/webp;base64"
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(data))))


def test_bytes_come_back_to_the_bit(rng):
    image = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    found = picture(image, "noise")
    np.testing.assert_array_equal(opened(found), image)
    assert (found.width, found.height, found.alt) == (7, 9, "noise")
    assert len(picture(image, "", quality=10).source) < len(found.source)


@pytest.mark.parametrize("channels", [1, 2])
def test_other_channels_are_shown_in_grey(channels):
    image = np.full((2, 2, channels), 0.2, np.float32)
    image[..., -1] += 0.2 * (channels - 1)
    np.testing.assert_array_equal(opened(picture(image, "")), np.full((2, 2, 3), 51 if channels == 1 else 76))


def test_a_sheet_has_its_patches_in_order_and_gaps_between():
    patches = np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1).repeat(2, 1).repeat(2, 2) / 2
    found = sheet(patches, 2)
    assert found.shape == (6, 6, 4)
    assert [found[0, 0, 0], found[0, 4, 0], found[4, 0, 0]] == [0, 0.5, 1]
    assert found[2, 0, 3] == found[0, 2, 3] == found[4, 4, 3] == 0
    assert [sheet(patches, 2, 1)[row, column, 3] < 1 for row, column in ((0, 0), (0, 4), (4, 0))] == [False, True, True]


def test_maps_of_errors_are_black_where_there_are_none():
    image = np.zeros((1, 3, 3), np.float32)
    other = image + np.array([0, 0.1, 9], np.float32)[:, None]
    found = error_map(image, other, 0.2).sum(axis=2)[0]
    assert found[0] < 0.05
    assert found[0] < found[1] < found[2]


def test_equal_codes_have_equal_colours_and_others_differ(rng):
    codes = rng.normal(size=(6, 2)).astype(np.float32)
    codes[5] = codes[0]
    colours = code_colours(codes)
    np.testing.assert_allclose(colours[5], colours[0], atol=1e-6)
    assert len(np.unique(colours.round(4), axis=0)) == 5
    assert ((colours >= 0) & (colours <= 1)).all()
    assert np.isfinite(code_colours(np.ones((3, 4), np.float32))).all()
    np.testing.assert_array_equal(token_map(np.array([[2, 1]]), colours), [colours[[2, 1]]])


def test_thumbnails_keep_their_form(rng):
    found = thumbnail(rng.random((40, 80, 1)).astype(np.float32), "", 20)
    assert (found.width, found.height) == (20, 10)
