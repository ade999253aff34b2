"""Pixels of image files: what Pillow wrote with known pixels is read as these pixels, or refused by name."""

import sys

import numpy as np
import PIL.Image
import pytest

from geovq.corpus.pixels import read_image, read_size
from geovq.validation import InputError

H, W = 5, 7

ORIENTATIONS = {
    1: lambda y, x: (y, x),
    2: lambda y, x: (y, W - 1 - x),
    3: lambda y, x: (H - 1 - y, W - 1 - x),
    4: lambda y, x: (H - 1 - y, x),
    5: lambda y, x: (x, y),
    6: lambda y, x: (W - 1 - x, y),
    7: lambda y, x: (W - 1 - x, H - 1 - y),
    8: lambda y, x: (x, H - 1 - y),
}
"""Row and column of the file that hold the pixel (y, x) of the upright image: which sides EXIF calls the first row and column."""


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, (H, W, 3), dtype=np.uint8)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
@pytest.mark.parametrize("tag", ORIENTATIONS)
def test_every_exif_orientation_is_turned_upright(tag, format, pixels, tmp_path):
    stored = np.zeros((H, W, 3) if tag < 5 else (W, H, 3), np.uint8)
    for y in range(H):
        for x in range(W):
            stored[ORIENTATIONS[tag](y, x)] = pixels[y, x]
    exif = PIL.Image.Exif()
    exif[0x0112] = tag
    path = tmp_path / f"turned.{format.lower()}"
    PIL.Image.fromarray(stored).save(path, format, exif=exif, lossless=True)
    np.testing.assert_array_equal(read_image(path), pixels)
    assert read_size(path) == (H, W)


def palette(pixels):
    """A palette image whose colours 0, 1, 2, ... are the pixels in their order."""
    image = PIL.Image.fromarray(np.arange(H * W, dtype=np.uint8).reshape(H, W), "L").convert("P")
    image.putpalette(pixels.tobytes())
    return image


def grey16(pixels):
    return PIL.Image.fromarray(pixels[..., 0].astype(np.uint16) * 256 + 201)


def bilevel(pixels):
    return PIL.Image.fromarray(pixels[..., 0] > 127)


def repeat(channel):
    return np.repeat(np.asarray(channel, np.uint8)[..., None], 3, axis=-1)


MODES = {
    "RGB": (PIL.Image.fromarray, lambda pixels: pixels),
    "grey": (lambda pixels: PIL.Image.fromarray(pixels[..., 0]), lambda pixels: repeat(pixels[..., 0])),
    "16 bits": (grey16, lambda pixels: repeat(pixels[..., 0])),
    "1 bit": (bilevel, lambda pixels: repeat(255 * (pixels[..., 0] > 127))),
    "palette": (palette, lambda pixels: pixels),
}
"""By name: an image of Pillow from pixels, and what is read of it as a PNG."""


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_a_png_becomes_rgb(mode, pixels, tmp_path):
    made, wanted = MODES[mode]
    made(pixels).save(tmp_path / "image.png")
    found = read_image(tmp_path / "image.png")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, wanted(pixels))


def test_transparent_pixels_are_blended_with_white(pixels, tmp_path):
    alpha = np.linspace(0, 255, H * W).round().astype(np.uint8).reshape(H, W, 1)
    wanted = pixels * (alpha / 255) + 255 * (1 - alpha / 255)
    rgba = np.concatenate([pixels, alpha], axis=-1)
    for name, image in {
        "a.png": PIL.Image.fromarray(rgba),
        "b.webp": PIL.Image.fromarray(rgba),
        "c.png": PIL.Image.fromarray(np.concatenate([pixels[..., :1], alpha], axis=-1)),
    }.items():
        image.save(tmp_path / name, lossless=True, exact=True)
        truth = wanted[..., :1] if image.mode == "LA" else wanted
        np.testing.assert_allclose(read_image(tmp_path / name), np.broadcast_to(truth, (H, W, 3)), atol=1)


def test_a_transparent_colour_becomes_white(pixels, tmp_path):
    wanted = pixels.copy()
    wanted[0, 1] = 255
    palette(pixels).save(tmp_path / "palette.png", transparency=1)
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), wanted)
    PIL.Image.fromarray(pixels).save(tmp_path / "key.png", transparency=tuple(map(int, pixels[0, 1])))
    np.testing.assert_array_equal(read_image(tmp_path / "key.png"), wanted)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_of_one_colour_keeps_it(mode, tmp_path):
    image = PIL.Image.new("RGB", (16, 8), (200, 40, 90)).convert(mode)
    image.save(tmp_path / "flat.JPG", "JPEG", quality=100)
    wanted = {"RGB": (200, 40, 90), "CMYK": (200, 40, 90), "L": [round(0.299 * 200 + 0.587 * 40 + 0.114 * 90)] * 3}[
        mode
    ]
    np.testing.assert_allclose(read_image(tmp_path / "flat.JPG"), np.broadcast_to(wanted, (8, 16, 3)), atol=3)


def test_a_telephones_photograph_with_a_preview_is_its_first_image(tmp_path):
    first, preview = PIL.Image.new("RGB", (16, 8), (10, 200, 30)), PIL.Image.new("RGB", (8, 4))
    first.save(tmp_path / "telephone.jpg", "MPO", save_all=True, append_images=[preview], quality=100)
    np.testing.assert_allclose(
        read_image(tmp_path / "telephone.jpg"), np.broadcast_to((10, 200, 30), (8, 16, 3)), atol=3
    )


def test_the_content_says_what_a_file_is_and_not_its_name(pixels, tmp_path):
    PIL.Image.fromarray(pixels).save(tmp_path / "really_a_png.jpg", "PNG")
    np.testing.assert_array_equal(read_image(tmp_path / "really_a_png.jpg"), pixels)


def animation(path, pixels, format):
    frames = [PIL.Image.fromarray(pixels), PIL.Image.fromarray(255 - pixels)]
    frames[0].save(path, format, save_all=True, append_images=frames[1:])


def cut(path, pixels, format):
    PIL.Image.fromarray(np.repeat(np.repeat(pixels, 20, 0), 20, 1)).save(path, format)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flipped(path, pixels, format):
    PIL.Image.fromarray(pixels).save(path, format)
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    path.write_bytes(bytes(content))


REFUSED = {
    "animated PNG": (lambda path, pixels: animation(path, pixels, "PNG"), "expected one image, found 2 frames"),
    "animated WebP": (lambda path, pixels: animation(path, pixels, "WEBP"), "expected one image, found 2 frames"),
    "cut PNG": (lambda path, pixels: cut(path, pixels, "PNG"), "expected a whole PNG, JPEG or WebP file"),
    "cut JPEG": (lambda path, pixels: cut(path, pixels, "JPEG"), "expected a whole PNG, JPEG or WebP file"),
    "cut WebP": (lambda path, pixels: cut(path, pixels, "WEBP"), "expected a whole PNG, JPEG or WebP file"),
    "flipped bits": (lambda path, pixels: flipped(path, pixels, "PNG"), "expected a whole PNG, JPEG or WebP file"),
    "empty": (lambda path, pixels: path.touch(), "expected a whole PNG, JPEG or WebP file"),
    "text": (lambda path, pixels: path.write_text("no image"), "expected a whole PNG, JPEG or WebP file"),
    "GIF": (lambda path, pixels: PIL.Image.fromarray(pixels).save(path, "GIF"), "expected a whole PNG, JPEG or WebP"),
    "folder": (lambda path, pixels: path.mkdir(), "expected a whole PNG, JPEG or WebP file"),
    "missing": (lambda path, pixels: None, "expected an image file, found nothing"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_whole_image_is_refused_by_name(case, pixels, tmp_path):
    make, message = REFUSED[case]
    make(tmp_path / "image.png", pixels)
    with pytest.raises(InputError, match=rf"image\.png: {message}"):
        read_image(tmp_path / "image.png")


@pytest.mark.parametrize("most", [H * W - 1, H * W // 3])
def test_an_image_too_large_to_open_is_refused_by_name(most, pixels, tmp_path, monkeypatch):
    """Pillow warns up to twice its limit, and raises above."""
    PIL.Image.fromarray(pixels).save(tmp_path / "huge.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", most)
    for read in (read_image, read_size):
        with pytest.raises(InputError, match=rf"huge\.png: expected at most {most} pixels"):
            read(tmp_path / "huge.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", H * W)
    np.testing.assert_array_equal(read_image(tmp_path / "huge.png"), pixels)


def test_without_pillow_one_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(InputError, match=r"expected Pillow to be installed.*pip install 'geovq\[images\]'"):
        read_image(tmp_path / "image.png")
