"""Every convention and mistake of docs/conventions.md gets what the page says, and the call that a message has mends it."""

import contextlib
import warnings
from typing import Any

import jax
import numpy as np
import pytest

import geovq
from geovq.decoder.adapters import as_partial
from geovq.decoder.autoencoder import check_autoencoder
from geovq.decoder.conventions import ConventionWarning
from geovq.validation import InputError, check_images
from tests.decoder import toys
from tests.decoder.cases import CASES, GROUPS, HEADING, PAGE, table


def knock(encode: Any, decode: Any, images: Any) -> None:
    """The door as `Tokenizer.fit` has it; warnings are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_autoencoder(encode, decode, check_images(images))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_a_convention_gets(case):
    images = case.images(toys.draw_images(size=case.size, channels=case.channels))
    with jax.enable_x64(True) if case.x64 else contextlib.nullcontext():
        if case.gets == "accepted":
            encode, decode = (as_partial(function) for function in case.make())
            knock(encode, decode, images)
            latents = encode(check_images(images))
            assert latents.dtype == decode(latents).dtype == np.float32
            return
        with pytest.raises(ConventionWarning if case.warned else InputError) as caught:
            knock(*case.make(), images)
        assert case.gets in str(caught.value)
        if case.fix:
            assert case.fix in str(caught.value)
            encode, decode = case.make()
            mended = eval(case.fix, {"geovq": geovq, "jax": jax, "encode": encode, "decode": decode})
            knock(*mended, images)


def test_the_page_has_the_cases():
    assert PAGE.read_text().partition(HEADING)[2] == table(), "run python -m tests.decoder.cases"
    assert len({(title, case.name) for title, cases in GROUPS.items() for case in cases}) == len(CASES) >= 40
