"""Crops: windows of their images, the same for a seed, uniform over images and positions."""

import collections

import numpy as np
import PIL.Image
import pytest

from geovq.corpus import crops as crops_module
from geovq.corpus.crops import crop_to_multiple, draw_crops
from geovq.validation import InputError

SIZES = {"a.png": (9, 12), "b.png": (4, 30), "c/d.png": (6, 6)}
"""Height and width of images whose pixels say which image, row and column they are."""


def numbered(image, height, width):
    rows, columns = np.indices((height, width))
    return np.stack([np.full_like(rows, image), rows, columns], axis=-1).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    for i, (name, size) in enumerate(SIZES.items()):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        PIL.Image.fromarray(numbered(i, *size)).save(tmp_path / name)
    return tmp_path


def positions(crops):
    """Image, row and column of the first pixel of every crop, checked to be a window of that image."""
    found = [tuple(int(value) for value in crop[0, 0]) for crop in crops]
    for (image, top, left), crop in zip(found, crops, strict=True):
        height, width = crop.shape[:2]
        whole = numbered(image, *list(SIZES.values())[image])
        np.testing.assert_array_equal(crop, whole[top : top + height, left : left + width])
    return found


@pytest.mark.parametrize("size", [1, 4, (4, 6), (3, 2), [2, 3]])
def test_crops_are_windows_of_the_images(size, folder):
    crops = draw_crops(folder, size, 10, seed=3)
    assert crops.shape == (10, *((size, size) if isinstance(size, int) else size), 3)
    assert crops.dtype == np.uint8
    assert {image for image, _, _ in positions(crops)} == {0, 1, 2}


def test_every_image_and_every_position_is_as_likely(folder):
    count = collections.Counter(positions(draw_crops(folder, 4, 3 * 900)))
    for image, possible in ((0, 6 * 9), (1, 27), (2, 9)):
        numbers = [number for (of, _, _), number in count.items() if of == image]
        assert sum(numbers) == 900
        assert len(numbers) == possible
        expected = 900 / possible
        chi2 = sum((number - expected) ** 2 / expected for number in numbers)
        assert abs(chi2 - (possible - 1)) < 4 * np.sqrt(2 * (possible - 1))


def test_the_seed_says_which_and_a_larger_draw_begins_alike(folder):
    crops = draw_crops(folder, 2, 20, seed=1)
    np.testing.assert_array_equal(crops[:2], draw_crops(folder, 2, 2, seed=1))
    assert (crops != draw_crops(folder, 2, 20, seed=2)).any()


def test_paths_are_the_folder_that_they_make(folder):
    crops = draw_crops([folder / name for name in SIZES], 4, 5)
    np.testing.assert_array_equal(crops, draw_crops(folder, 4, 5))


def test_small_images_are_left_out_and_counted(folder):
    with pytest.warns(UserWarning, match=r"1 of the 3 images drawn are smaller than 6x6 pixels"):
        crops = draw_crops(folder, 6, 8)
    assert {image for image, _, _ in positions(crops)} == {0, 2}
    with pytest.raises(InputError, match=r"at least 10x31 pixels \(height x width\), found 3 that are all smaller"):
        draw_crops(folder, (10, 31), 8)


def test_an_image_on_its_side_is_measured_upright(tmp_path):
    """Its file has 4 rows of 6 pixels: upright it has 6 rows of 4."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.fromarray(numbered(0, 4, 6)).save(tmp_path / "side.png", exif=exif)
    assert draw_crops(tmp_path, (6, 4), 1).shape == (1, 6, 4, 3)
    with pytest.raises(InputError, match="all smaller"):
        draw_crops(tmp_path, (4, 6), 1)


def test_each_image_is_read_once_and_others_not_at_all(folder, monkeypatch):
    opened = []
    read = crops_module.read_image

    def counted(path):
        opened.append(path)
        return read(path)

    monkeypatch.setattr(crops_module, "read_image", counted)
    draw_crops(folder, 2, 30)
    assert sorted(opened) == sorted(folder / name for name in SIZES)
    opened.clear()
    draw_crops(folder, 2, 1)
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("size", "n", "seed", "message"),
    [
        (0, 1, 0, "size: expected a whole number in 1..65536, found 0"),
        (2.5, 1, 0, "size: expected a whole number"),
        ((2, 3, 3), 1, 0, r"size: expected a number or \(height, width\)"),
        (2, 0, 0, "n: expected a whole number in 1..10000000"),
        (2, 1, -1, "seed: expected a whole number in 0..4294967295"),
    ],
)
def test_other_arguments_are_refused(size, n, seed, message, folder):
    with pytest.raises(InputError, match=message):
        draw_crops(folder, size, n, seed)


def test_the_centre_is_kept_down_to_a_multiple_of_the_stride():
    image = numbered(0, 21, 26)
    crop = crop_to_multiple(image, 8)
    assert crop.shape == (16, 24, 3)
    np.testing.assert_array_equal(crop[0, 0], (0, 2, 1))  # 2 of 5 rows above, 1 of 2 columns at the left
    np.testing.assert_array_equal(crop_to_multiple(image[None], 8)[0], crop)
    np.testing.assert_array_equal(crop_to_multiple(crop, 8), crop)
    np.testing.assert_array_equal(crop_to_multiple(image, 1), image)


@pytest.mark.parametrize(
    ("shape", "multiple", "message"),
    [
        ((7, 26, 3), 8, "expected at least 8x8 pixels, found 7x26"),
        ((21, 26), 8, r"expected shape \(H, W, C\) or \(n, H, W, C\), found \(21, 26\)"),
        ((21, 26, 3), 0, "multiple: expected a whole number in 1..65536"),
    ],
)
def test_what_has_no_such_centre_is_refused(shape, multiple, message):
    with pytest.raises(InputError, match=message):
        crop_to_multiple(np.zeros(shape), multiple)
