"""Fine-tuning of a published autoencoder's tokenizer on a folder of photographs."""

import jax
import numpy as np
import pytest
from flax import nnx

from geovq.assignment.whitened import Whitened
from geovq.corpus.crops import draw_crops
from geovq.corpus.pixels import read_image
from geovq.corpus.token_folder import open_tokens
from geovq.models.autoencoders import load_autoencoder
from geovq.models.config import TinyAutoencoderConfig
from geovq.models.tiny_autoencoder import TinyAutoencoder
from geovq.tokenizer.tokenizer import Tokenizer
from tests.cli.programs import geovq
from tests.runs import program

FLAGS = [
    "--finetune.epochs",
    "6",
    "--finetune.rounds",
    "1",
    "--finetune.learning-rate",
    "0.003",
    "--crops",
    "64",
    "--crop",
    "32",
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A tiny autoencoder, a tokenizer of it, and photographs."""
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path_factory.mktemp("sources")
    config = TinyAutoencoderConfig(4, 8, (0, 0, 1), (1, 0, 0))
    TinyAutoencoder(config, rngs=nnx.Rngs(0)).save_pretrained(folder / "vae")
    (folder / "photographs").mkdir()
    rng = np.random.default_rng(0)
    for i in range(5):
        smooth = jax.image.resize(rng.random((6, 8, 3)), (48, 64, 3), "linear")
        image.fromarray(np.asarray(255 * smooth).astype(np.uint8)).save(folder / "photographs" / f"{i}.png")
    vae = load_autoencoder(folder / "vae")
    crops = draw_crops(folder / "photographs", 32, 8)
    Tokenizer.fit(vae.encode, vae.decode, crops, num_codes=16, assigner=Whitened()).save(folder / "photos.npz")
    return folder


def flags(sources, **changed):
    """The command line, with some values changed or, where None, left out."""
    given = {
        "tokenizer": sources / "photos.npz",
        "autoencoder": sources / "vae",
        "images": sources / "photographs",
    } | changed
    return [str(word) for name, value in given.items() if value is not None for word in (f"--{name}", value)]


@pytest.mark.slow
def test_photographs_look_better_and_the_result_is_loaded_in_three_lines(sources, tmp_path):
    found = program("finetune", *flags(sources), "--run", str(tmp_path / "run"), *FLAGS)
    assert found.returncode == 0, found.stderr
    vae = load_autoencoder(sources / "vae")
    tuned = Tokenizer.load(tmp_path / "run/finetune/tokenizer.npz", vae.encode, vae.decode)
    before = Tokenizer.load(sources / "photos.npz", vae.encode, vae.decode)
    crops = draw_crops(sources / "photographs", 48, 5)  # another size than it was trained on
    errors = [((t.decode(t.encode(crops)) - crops / 255) ** 2).mean() for t in (tuned, before)]
    assert errors[0] < 0.8 * errors[1]
    encoded = geovq("encode", tmp_path / "run/finetune/tokenizer.npz", sources / "photographs", "--out", tmp_path / "t")
    assert encoded.returncode == 0, encoded.stderr
    (tokens,) = (image.tokens for image in open_tokens(tmp_path / "t") if image.name == "0.png")
    np.testing.assert_array_equal(tokens, tuned.encode(read_image(sources / "photographs/0.png")[None])[0])
    again = program("finetune", *flags(sources), "--run", str(tmp_path / "run"), *FLAGS)
    assert "finetune: complete, skipped" in again.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"images": None}, "expected --tokenizer, --autoencoder and --images together"),
        ({"autoencoder": "nowhere"}, "nowhere: expected a folder with a model's files, found none"),
        (
            {"tokenizer": "nowhere.npz"},
            "nowhere.npz: expected a .npz file of arrays written by this project, found none",
        ),
        ({"images": "nowhere"}, "nowhere: expected"),
        ({"crop": 33}, "crop: expected a multiple of the autoencoder's stride (4, 4), found 33"),
        ({"crop": 100}, "expected images of at least 100x100 pixels"),
        ({"crops": 4}, "batch_size: expected 1..4"),
    ],
)
def test_bad_input_is_refused_in_one_line(sources, tmp_path, changed, message):
    found = program("finetune", *flags(sources, **changed), "--run", str(tmp_path / "run"))
    assert found.returncode == 2, found.stdout
    assert found.stderr.count("\n") == 1, found.stderr
    assert message in found.stderr
    assert not (tmp_path / "run/finetune").exists()
