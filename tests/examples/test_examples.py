"""The examples on small settings: they end, say what they should find, and draw their pictures."""

import importlib
import pathlib

import numpy as np
import PIL.Image
import pytest

import examples

SMALL = {
    "own_autoencoder": ["--steps", "150", "--num-codes", "16"],
    "better_vqvae": ["--steps", "100", "--num-codes", "16"],
    "geodesic": ["--steps", "100", "--iterations", "30"],
    "swiss_roll": ["--points", "800"],
    "transformer": ["--steps", "60", "--gpt-steps", "60", "--num-codes", "16"],
}

BETTER = {  # a finding that is larger, and one that is smaller
    "own_autoencoder": ("tokens, Joint", "tokens, Nearest"),
    "better_vqvae": ("better tokens", "own tokens"),
    "geodesic": ("straight line", "geodesic"),
    "swiss_roll": ("k-means", "GeodesicKMedoids"),
    "transformer": ("before", "after"),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "transformer" else name for name in sorted(SMALL)]
)
def test_an_example_finds_what_it_is_about_and_draws_it(name, tmp_path, capsys):
    path = tmp_path / "picture.png"
    found = importlib.import_module(f"examples.{name}").main([*SMALL[name], "--out", str(path)])
    larger, smaller = BETTER[name]
    assert found[larger] > found[smaller], found
    assert all(np.isfinite(value) for value in found.values())
    assert capsys.readouterr().out.count("\n") >= 1
    with PIL.Image.open(path) as picture:
        assert min(picture.size) > 50


def test_there_is_a_test_of_every_example():
    files = {path.stem for path in pathlib.Path(str(examples.__file__)).parent.glob("*.py")}
    assert files - {"__init__", "common"} == set(SMALL)
