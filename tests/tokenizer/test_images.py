"""Images of the sizes that a tokenizer takes: checked one by one and together, padded, and cropped back."""

import numpy as np
import pytest

from geovq.decoder.sizes import Sizes
from geovq.tokenizer.images import as_crop, as_crops, as_pixels, check_image_list, check_images_of
from geovq.validation import InputError

ANY = Sizes((8, 8, 1), (2, 2), (4, 4))
OBLONG = Sizes((8, 9, 1), (2, 3), (4, 3))
ONE = Sizes((8, 8, 1), (2, 2))


def test_images_are_as_many_as_latents():
    images = np.zeros((2, 4, 4, 1), np.float32)
    np.testing.assert_array_equal(check_images_of(images, (4, 4, 1), 2), images)
    with pytest.raises(InputError, match="images: expected 3, one for each latent, found 2"):
        check_images_of(images, (4, 4, 1), 3)
    with pytest.raises(InputError, match=r"expected shape \(n, 4, 4, 3\)"):
        check_images_of(images, (4, 4, 3), 2)


def test_bytes_of_any_size_stay_bytes():
    images = np.full((2, 12, 4, 1), 255, np.uint8)
    assert as_pixels(images, ANY) is images
    padded = as_pixels(images[:, :5, :1], ANY, pad=True)
    np.testing.assert_array_equal(padded, np.full((2, 8, 4, 1), 255, np.uint8), strict=True)


@pytest.mark.parametrize(
    ("shape", "sizes", "pad", "message"),
    [
        (
            (10, 9, 1),
            ANY,
            False,
            r"that the stride 4 divides, found 10x9; take 8x8 or 12x12: .*_multiple\(image, 4\), or pad",
        ),
        ((8, 10, 1), OBLONG, False, r"the stride 4x3 divides, found 8x10; take 8x9 or 8x12: .*_multiple\(image, 12\)"),
        ((3, 8, 1), ANY, False, "found 3x8; take 4x8: crop"),
        ((0, 8, 1), ANY, False, "found 0x8; take 4x8: crop"),
        ((0, 8, 1), ANY, True, "found 0x8"),
        ((8, 8, 3), ANY, True, r"expected 1 channels, found shape \(8, 8, 3\)"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(shape, sizes, pad, message):
    image = np.zeros(shape, np.float32)
    with pytest.raises(InputError, match=r"images: .*" + message):
        as_pixels(image[None], sizes, pad=pad)
    with pytest.raises(InputError, match=r"images\[1\]: .*" + message):
        check_image_list([np.zeros((8, sizes.image_shape[1], 1), np.float32), image], sizes, pad=pad)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (np.zeros((8, 8), np.float32), r"expected shape \(H, W, C\), found \(8, 8\)"),
        (np.zeros((8, 8, 1), np.uint8), r"expected float32 as images\[0\], found uint8"),
        (np.zeros((8, 8, 1), np.int64), "expected uint8 in 0..255 or floats"),
        (np.full((8, 8, 1), 2, np.float32), r"expected floats in \[0, 1\], found values in \[2, 2\]"),
        (np.full((8, 8, 1), np.nan, np.float32), "expected finite values"),
    ],
)
def test_an_image_of_a_list_that_does_not_fit_is_named(second, message):
    for sizes in (ANY, ONE):
        with pytest.raises(InputError, match=r"images\[1\]: " + message):
            check_image_list([np.zeros((8, 8, 1), np.float32), second], sizes)


def test_one_size_alone_takes_no_other():
    with pytest.raises(InputError, match=r"images: expected shape \(n, 8, 8, 1\), found \(1, 12, 8, 1\)"):
        as_pixels(np.zeros((1, 12, 8, 1), np.float32), ONE, pad=True)
    with pytest.raises(InputError, match=r"images\[0\]: expected shape \(8, 8, 1\), the only one that this VAE takes"):
        check_image_list([np.zeros((12, 8, 1), np.float32)], ONE)


def test_crops_are_what_was_padded():
    assert as_crop((7, 5, 3), (8, 8, 1), ANY) == (7, 5)
    assert as_crop(np.array([8, 8]), (8, 8, 1), ANY) == (8, 8)
    assert as_crops(None, [(8, 8, 1), (4, 8, 1)], ANY) == [(8, 8), (4, 8)]
    assert as_crops([(5, 6), (4, 7)], [(8, 8, 1), (4, 8, 1)], ANY) == [(5, 6), (4, 7)]


@pytest.mark.parametrize(
    ("wanted", "sizes", "message"),
    [
        ((4, 8), ANY, r"expected \(H, W\) of an image with these tokens, H 5..8 and W 5..8, found \(4, 8\)"),
        ((9, 8), ANY, r"found \(9, 8\)"),
        ((7, 8), ONE, "H 8 and W 8"),
        (8, ANY, "found 8;"),
        ((8,), ANY, "image_shape: expected"),
        (("a", "b"), ANY, "image_shape: expected"),
        ((7.7, 8), ANY, r"found \(7.7, 8\)"),
    ],
)
def test_other_crops_are_refused(wanted, sizes, message):
    with pytest.raises(InputError, match=message):
        as_crop(wanted, (8, 8, 1), sizes)
    with pytest.raises(InputError, match=r"image_shape\[1\]: expected" if isinstance(wanted, tuple) else "image_shape"):
        as_crops([(8, 8), wanted], [(8, 8, 1), (8, 8, 1)], sizes)


def test_a_size_for_every_image():
    with pytest.raises(InputError, match="image_shape: expected a list of 2, one for each image, found 1"):
        as_crops([(8, 8)], [(8, 8, 1), (8, 8, 1)], ANY)
