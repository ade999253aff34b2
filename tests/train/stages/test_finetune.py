"""Fine-tuning: it improves reconstruction, on own or given tokens, with or without LPIPS, and when it was killed."""

import dataclasses
import shutil
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from geovq.scores import reconstruction as scores
from geovq.storage.arrays import load_arrays
from geovq.storage.records import read_record, write_record
from geovq.validation import InputError
from tests.programs import program
from tests.runs import CHEAP_JOINT, ROUNDS, succeed
from train.config.options import FinetuneOptions, SampleOptions
from train.data.datasets import load
from train.run.folder import Run
from train.stages import finetune, image_tokens
from train.stages.rounds import image_costs
from train.stages.sampling import draw
from train.stages.tokenizers import load_finetuned, load_tokenizer


def test_fine_tuning_improves_reconstruction(tuned):
    folder, printed = tuned
    assert "dB on 40 validation images after round 0" in printed
    images = load("digits").test_images[:100]
    target = images.astype(np.float32) / 255
    for assign in ("whitened", "joint"):
        before, after = load_tokenizer(folder, "whitened", assign), load_finetuned(folder, assign)
        errors = [((t.decode(t.encode(images)) - target) ** 2).sum() for t in (after, before)]
        assert errors[0] < errors[1]
    np.testing.assert_array_equal(  # the encoder stays
        encoded(load_finetuned(folder), images), encoded(load_tokenizer(folder), images)
    )


def encoded(tokenizer, images):
    return np.asarray(tokenizer._parts.vae.encode(images.astype(np.float32) / 255))


@pytest.mark.slow
def test_fine_tuning_that_was_killed_ends_with_the_same_bits(tuned, started, tmp_path, monkeypatch):
    """Killed at its fourth checkpoint of each call, until it is complete."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "compiled"))  # a kill may leave half an entry
    folder = tmp_path / "killed"
    shutil.copytree(started, folder)
    code = CHEAP_JOINT + (
        "import os, runpy, signal, sys\n"
        "from train.run.checkpoint import Checkpoints\n"
        "save, calls = Checkpoints.save, iter(range(100))\n"
        "def killing(self, step, state):\n"
        "    save(self, step, state)\n"
        "    if next(calls) == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Checkpoints.save = killing\n"
        f"sys.argv = {['finetune', '--run', str(folder), *ROUNDS]!r}\n"
        "runpy.run_module('train.finetune', run_name='__main__', alter_sys=True)"
    )
    killed = 0
    while (found := subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=300)).returncode:
        assert found.returncode == -9, found.stderr
        killed += 1
    assert killed >= 1
    for mine, theirs in zip(*(load_arrays(f / "finetune/tokenizer.npz") for f in (folder, tuned[0])), strict=True):
        assert mine.keys() == theirs.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], theirs[name])


def test_what_fine_tuning_lowers_is_the_squared_error_and_the_weighed_lpips(rng):
    images, decoded = rng.random((2, 3, 28, 28, 1)).astype(np.float32)
    errors = ((images - decoded) ** 2).sum(axis=(1, 2, 3))
    plain = image_costs(FinetuneOptions(), jnp.asarray(images), jnp.asarray(decoded))
    assert plain.keys() == {"squared_error", "cost"}
    np.testing.assert_allclose(plain["cost"], errors, rtol=1e-5)
    weighed = image_costs(FinetuneOptions(lpips_weight=20), jnp.asarray(images), jnp.asarray(decoded))
    np.testing.assert_allclose(weighed["lpips"], scores.lpips(images, decoded), rtol=1e-4)
    np.testing.assert_allclose(weighed["cost"], errors + 20 * weighed["lpips"], rtol=1e-5)


@pytest.mark.slow
def test_a_weight_of_lpips_lowers_it(started, tmp_path):
    folder = tmp_path / "perceptual"
    shutil.copytree(started, folder)
    flags = ["--finetune.rounds", "1", "--finetune.epochs", "2", "--finetune.max-val-images", "40"]
    printed = succeed("finetune", folder, *flags, "--finetune.lpips-weight", "1000", "--finetune.batch-size", "128")
    before, after = (float(line.split("LPIPS ")[1].split()[0]) for line in printed.splitlines() if "LPIPS" in line)
    assert after < 0.95 * before


@pytest.mark.slow
def test_a_decoder_is_fine_tuned_on_the_tokens_of_a_transformer(expected, started, tmp_path):
    shutil.copytree(expected[1].folder, tmp_path / "tuned")
    options = FinetuneOptions(
        epochs=(3,), rounds=1, batch_size=128, max_val_images=40, assigners=("joint",), max_images=128
    )
    made = Run(tmp_path / "tuned", dataclasses.replace(expected[1].config, finetune=options))
    finetune.run(made, expected[1])
    images, tokens = load("digits").test_images / np.float32(255), image_tokens.load(expected[1])["test"]
    before, after = load_tokenizer(started, "whitened"), load_finetuned(made.folder)
    errors = [((t.decode(tokens.reshape(-1, 4, 4)) - images) ** 2).sum() for t in (after, before)]
    assert errors[0] < 0.95 * errors[1]
    sampled = dataclasses.replace(made.config, sample=SampleOptions(per_class=1, decoder="finetuned"))
    grids, shown = draw(Run(made.folder, sampled))
    np.testing.assert_array_equal(np.concatenate([*shown.values()]), after.decode(grids))
    for tokens_of, message in ((None, "expected --tokens-of RUN"), (expected[0], "from the present tokens")):
        with pytest.raises(InputError, match=message):
            finetune.run(made, tokens_of)
    kmeans = dataclasses.replace(made.config, finetune=dataclasses.replace(options, codebook="kmeans"))
    shutil.copytree(started, tmp_path / "kmeans")
    with pytest.raises(InputError, match=r"another gpt.codebook, whitened there and kmeans here"):
        finetune.run(Run(tmp_path / "kmeans", kmeans), expected[1])
    found = program("finetune", "--run", str(tmp_path / "tuned"), "--tokens-of", str(tmp_path / "nowhere"))
    assert (found.returncode, found.stderr.count("\n")) == (2, 1)
    assert "nowhere: expected a run folder, found no config.json" in found.stderr


@pytest.mark.slow
def test_samples_want_a_decoder_for_the_present_codes(expected, tmp_path):
    shutil.copytree(expected[1].folder, tmp_path / "stale")
    sampled = SampleOptions(per_class=1, decoder="finetuned")
    options = FinetuneOptions(epochs=(1,), rounds=1, batch_size=256, max_val_images=40)
    made = Run(tmp_path / "stale", dataclasses.replace(expected[1].config, finetune=options, sample=sampled))
    finetune.run(made, expected[1])
    record = read_record(made.folder / "finetune/stage.json")
    record["inputs"]["codebook"] = "another"
    write_record(made.folder / "finetune/stage.json", record)
    with pytest.raises(
        InputError, match="expected a decoder that was fine-tuned for the present codebook, found one for"
    ):
        draw(made)


def test_a_damaged_fine_tuned_tokenizer_is_refused(tuned, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(tuned[0], folder)
    path = folder / "finetune/tokenizer.npz"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match=r"`python -m train\.finetune --run .*` makes it again"):
        load_finetuned(folder)
