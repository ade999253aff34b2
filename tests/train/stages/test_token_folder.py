"""A Transformer on a folder of tokens: any grid, several codes, labels or none."""

import jax
import numpy as np
import pytest

from geovq.corpus.token_files import Header
from geovq.corpus.token_folder import open_tokens
from geovq.corpus.token_shards import Shard, begin, finish, write_shard
from geovq.models.gpt import token_nats
from geovq.models.sampling import sample
from geovq.validation import InputError
from tests.programs import program
from tests.runs import run_of
from train.config.options import GPTOptions
from train.run.folder import Run
from train.stages import token_folder

OPTIONS = [
    *("--gpt.layers", "1", "--gpt.width", "16", "--gpt.heads", "2", "--gpt.dropout", "0", "--gpt.batch-size", "8"),
    *("--gpt.epochs", "12", "--gpt.learning-rate", "0.03"),
]


def written(path, grids, labels, *, num_codes=6, num_quantizers=1):
    """A folder of tokens in two shards."""
    header = Header("tokenizer", "Whitened()", num_codes, num_quantizers, "images", 2)
    begin(path, header)
    for number, rows in enumerate((slice(0, 25), slice(25, None))):
        part = grids[rows]
        names = [f"{number}-{i}.png" for i in range(len(part))]
        write_shard(path, number, header, Shard(names, part, [(16, 24)] * len(part), labels[rows], []))
    finish(path)
    return path


@pytest.fixture
def labelled(tmp_path, rng):
    """Grids of which every token is the number of the class, but that a few images have no label."""
    classes = rng.integers(3, size=80)
    grids = [np.full((2, 3), each, np.int32) for each in classes]
    labels = [None if i % 10 == 0 else "abc"[each] for i, each in enumerate(classes)]
    return written(tmp_path / "tokens", grids, labels)


def test_the_program_learns_what_labels_say(labelled, tmp_path):
    flags = ("--tokens", str(labelled), "--run", str(tmp_path / "run"), *OPTIONS)
    found = program("gpt", *flags)
    assert found.returncode == 0, found.stderr
    assert "76 images of 2x3 tokens, 4 others to validate, 3 classes" in found.stdout
    model = token_folder.trained(run_of(tmp_path / "run"))
    assert model.classes == ("a", "b", "c")
    drawn = sample(model.gpt, jax.random.key(0), 3, np.arange(3), temperature=0.0)
    np.testing.assert_array_equal(drawn, np.repeat([[0], [1], [2]], 6, axis=1))
    assert "gpt: complete, skipped" in program("gpt", *flags).stdout


@pytest.mark.parametrize("layout", ["sequence", "heads"])
def test_several_codes_without_labels(tmp_path, rng, layout):
    codes = rng.integers(5, size=(60, 1, 1, 1))
    grids = [np.broadcast_to(each, (2, 2, 2)) + np.array([0, 1]) for each in codes]  # the second code follows the first
    folder = open_tokens(written(tmp_path / "tokens", grids, [None] * 60, num_quantizers=2))
    options = GPTOptions(
        layers=1, width=16, heads=2, dropout=0.0, epochs=12, batch_size=8, learning_rate=3e-2, code_layout=layout
    )
    made = Run(tmp_path / "run", run_config(options))
    token_folder.run(made, folder)
    model = token_folder.trained(made)
    assert model.classes == ()
    nats = np.asarray(token_nats(model.gpt, np.stack(grids).reshape(60, 4, 2))).mean(axis=0)
    assert nats[0, 0] == pytest.approx(np.log(5), abs=0.4)
    assert nats.ravel()[1:].max() < 0.3


def run_config(options):
    """The default options but those of the Transformer."""
    from train.config.options import Config

    return Config(gpt=options)


def test_grids_are_chosen(tmp_path, rng):
    grids = [rng.integers(0, 6, shape).astype(np.int32) for shape in [(2, 3)] * 30 + [(3, 2)] * 30]
    folder = open_tokens(written(tmp_path / "tokens", grids, [None] * 60))
    made = Run(tmp_path / "run", run_config(GPTOptions(layers=1, width=8, heads=2, epochs=1, batch_size=8)))
    with pytest.raises(InputError, match=r"expected images of one grid, found 2x3 \(30 images\), 3x2 \(30 images\)"):
        token_folder.run(made, folder)
    token_folder.run(made, folder, (3, 2))
    assert token_folder.trained(made).gpt.config.grid == (3, 2)
    with pytest.raises(InputError, match="made from the present tokens, found one made from another"):
        token_folder.run(made, folder, (2, 3))


def test_what_does_not_fit_is_refused(labelled, tmp_path):
    made = Run(tmp_path / "run", run_config(GPTOptions(start="codes")))
    with pytest.raises(InputError, match="expected random for a folder of tokens"):
        token_folder.run(made, open_tokens(labelled))
    single = written(tmp_path / "single", [np.zeros((2, 2), np.int32)], [None])
    with pytest.raises(InputError, match="expected two images or more, one of which is held out, found 1"):
        token_folder.run(Run(tmp_path / "run", run_config(GPTOptions())), open_tokens(single))
    for flags in (["--tokens", str(labelled), "--prior", str(tmp_path)], ["--grid", "2", "3"]):
        found = program("gpt", "--run", str(tmp_path / "none"), *flags)
        assert (found.returncode, found.stderr.count("\n")) == (2, 1)


def test_held_out_images_are_the_same_for_all_and_not_trained_on():
    tokens, labels = np.arange(50)[:, None], np.arange(50, dtype=np.int32)
    parts = token_folder.split(tokens, labels)
    assert len(parts["val"]) == 2
    np.testing.assert_array_equal(np.sort(np.concatenate([parts["train"], parts["val"]]).ravel()), np.arange(50))
    np.testing.assert_array_equal(parts["train"][:, 0], parts["train_labels"])
