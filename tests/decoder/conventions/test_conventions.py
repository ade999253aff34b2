"""Every convention and mistake of docs/conventions.md gets what the page says, and the call that a message has mends it."""

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import geovq
from geovq.assignment.base import Codebook
from geovq.assignment.whitened import Whitened
from geovq.decoder.adapters import as_partial, from_nnx
from geovq.decoder.autoencoder import check_autoencoder
from geovq.decoder.conventions.adaptation import ConventionWarning, adapt
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError, check_images
from tests.decoder.conventions import toys
from tests.decoder.conventions.cases import CASES, GROUPS, HEADING, PAGE, standardize, table


def knock(make: Callable[[], Any], images: Any) -> None:
    """The door as `Tokenizer.fit` has it; warnings are errors."""
    encode, decode = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_autoencoder(encode, decode, check_images(images))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_a_convention_gets(case):
    images = case.images(toys.draw_images(size=case.size, channels=case.channels))
    with jax.enable_x64(True) if case.x64 else contextlib.nullcontext():
        if case.gets == "accepted":
            encode, decode = (as_partial(function) for function in case.make())
            knock(lambda: (encode, decode), images)
            latents = encode(check_images(images))
            assert latents.dtype == decode(latents).dtype == np.float32
            return
        with pytest.raises(ConventionWarning if case.warned else InputError) as caught:
            knock(case.make, images)
        assert case.gets in str(caught.value)
        if case.fix:
            assert case.fix in str(caught.value)
            given = dict(zip(("encode", "decode"), case.make(), strict=True))
            knock(lambda: eval(case.fix, {"geovq": geovq, "jax": jax, **given}), images)


@pytest.mark.parametrize("make", [Tokenizer.fit, Tokenizer.from_codes])
def test_tokenizers_stand_behind_the_door(make):
    images, codes = toys.draw_images(), () if make == Tokenizer.fit else (np.eye(4),)
    with pytest.raises(InputError, match=r"geovq.adapt\(encode, decode, images=lambda y: \(y \+ 1\) / 2\)"):
        make(toys.encode, lambda z: 2 * toys.decode(z) - 1, *codes, images)


def test_without_images_the_codes_are_decoded_and_encoded():
    """An encoder that standardizes each image takes what it is given, and no image that nobody has."""
    images = standardize(toys.draw_images())
    codes = np.asarray(toys.encode(images)).reshape(-1, 4)[::20]
    codebook = Codebook(codes[None], np.broadcast_to(np.eye(4, dtype=np.float32), (4, 6, 4, 4)))
    options: dict = {"assigner": Whitened(), "image_shape": images.shape[1:]}
    tokenizer = Tokenizer(lambda x: toys.encode(standardize(x)), toys.decode, codebook, **options)
    assert tokenizer.encode(images).shape == (6, 4, 6)
    for (first, second), message in (
        (
            (toys.encode, lambda z: toys.decode(z)[:, :4]),
            r"decode: expected images \(2, 8, 12, 3\), found \(2, 4, 12, 3\)",
        ),
        (
            (lambda x: toys.encode(x)[:, :2], toys.decode),
            r"encode: expected latents \(2, 4, 6, 4\), found \(2, 2, 6, 4\)",
        ),
        ((lambda x: (toys.encode(x), 0), toys.decode), r"geovq.adapt\(encode, decode, latents=0\)"),
    ):
        with pytest.raises(InputError, match=message):
            Tokenizer(first, second, codebook, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "NHCW"}, "layout: expected 'NHWC' or 'NCHW', found 'NHCW'"),
        ({"range": (1, 0)}, "range: expected two increasing finite numbers"),
        ({"range": (0, np.inf)}, "range: expected two increasing"),
        ({"range": (0, 1, 2)}, "range: expected two increasing"),
        ({"range": 255}, "range: expected two increasing"),
        ({"scale": 0}, "scale: expected a finite number other than 0, found 0"),
        ({"scale": "0.18215"}, "scale: expected a finite number other than 0, found '0.18215'"),
        ({"shift": np.nan}, "shift: expected a finite number, found nan"),
        ({"latents": 1.5}, "latents: expected an index, a key, the name of an attribute, or a function"),
        ({"images": True}, "images: expected an index"),
    ],
)
def test_conventions_that_do_not_exist_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        adapt(*toys.OURS, **options)


def test_scaled_latents_by_hand():
    """(3 - 1) · 2 = 4, and back."""
    encode, decode = adapt(lambda x: 0 * x + 3, lambda z: z / 12, scale=2, shift=1)
    image = np.ones((1, 1, 1, 1), np.float32)
    assert encode(image).item() == 4
    assert decode(encode(image)).item() == 0.25


def test_an_adapted_function_carries_its_parameters():
    pair = from_nnx(toys.Nnx(), "encode"), from_nnx(toys.Nnx(), "decode")
    assert [leaf.shape for leaf in jax.tree.leaves(adapt(*pair, layout="NCHW").decode)] == [(3, 4)]


def test_the_page_has_the_cases():
    assert PAGE.read_text().partition(HEADING)[2] == table(), "run python -m tests.decoder.conventions.cases"
    assert len({(title, case.name) for title, cases in GROUPS.items() for case in cases}) == len(CASES) >= 40
