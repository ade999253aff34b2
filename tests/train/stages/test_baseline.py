"""Baselines trained end to end: they learn, take our assigners, are fine-tuned, and a Transformer models their tokens."""

import json
import shutil

import numpy as np
import pytest

from geovq.assignment.joint import Joint
from geovq.models.fsq import grid_codes
from geovq.storage.arrays import load_arrays
from tests.programs import program
from tests.runs import TINY_GPT, TINY_VAE, succeed
from train.data.datasets import load
from train.stages.tokenizers import load_baseline, load_finetuned

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folders of a VQ-VAE and of FSQ."""
    found = {}
    for system in ("vqvae", "fsq"):
        found[system] = tmp_path_factory.mktemp("runs") / system
        options = ["--baseline.system", system, "--baseline.num-codes", "8", "--baseline.levels", "3", "5"]
        longer = ["--vae.epochs", "12", "--vae.batch-size", "128"]
        succeed("baseline", found[system], *TINY_VAE, *longer, *options)
    return found


@pytest.mark.parametrize(("system", "codes"), [("vqvae", 8), ("fsq", 15)])
def test_baselines_learn_and_take_our_assigners(system, codes, trained):
    folder = trained[system]
    rows = [json.loads(line) for line in (folder / "baseline/metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["val_psnr"] > rows[0]["val_psnr"]
    data = load("digits")
    images, target = data.val_images, data.val_images.astype(np.float32) / 255
    own = load_baseline(folder, data.train_images)
    assert own.num_codes == codes
    if system == "fsq":
        np.testing.assert_array_equal(own.codes, grid_codes((3, 5)))
    found = own.decode(own.encode(images))
    psnr = -10 * np.log10(((found - target) ** 2).mean(axis=(1, 2, 3))).mean()
    np.testing.assert_allclose(psnr, max(row["val_psnr"] for row in rows), atol=0.05)
    joint = own.replace(assigner=Joint(jacobians=1, corrections=0))
    assert ((joint.decode(joint.encode(images)) - target) ** 2).sum() < ((found - target) ** 2).sum()


def test_a_transformer_of_a_baselines_tokens_is_trained_and_sampled(trained, tmp_path):
    folder = tmp_path / "fsq"
    shutil.copytree(trained["fsq"], folder)
    found = program("gpt", "--run", str(folder), "--gpt.codebook", "kmeans", *TINY_GPT, "--gpt.epochs", "2")
    assert found.returncode == 2
    assert "vae: expected a complete stage" in found.stderr
    succeed("gpt", folder, "--gpt.codebook", "baseline", "--gpt.assigner", "euclidean", *TINY_GPT, "--gpt.epochs", "2")
    tokens = load_arrays(folder / "gpt/tokens.npz")[0]["test"]
    data = load("digits")
    expected = load_baseline(folder, data.train_images).encode(data.test_images)
    np.testing.assert_array_equal(tokens, expected.reshape(tokens.shape))
    succeed("sample", folder, "--out", str(tmp_path / "x.png"), "--sample.per-class", "2")
    assert (tmp_path / "x.png").stat().st_size > 500


def test_a_vq_vae_is_fine_tuned_alike(trained, tmp_path):
    folder = tmp_path / "vqvae"
    shutil.copytree(trained["vqvae"], folder)
    flags = ["--finetune.codebook", "vqvae", "--finetune.assigners", "joint", "--finetune.probes", "4"]
    flags += ["--finetune.max-images", "256", "--finetune.max-val-images", "40", "--finetune.rounds", "1"]
    succeed("finetune", folder, *flags, "--finetune.epochs", "3")
    data = load("digits")
    images, target = data.test_images[:100], data.test_images[:100].astype(np.float32) / 255
    before, after = load_baseline(folder, data.train_images, "joint"), load_finetuned(folder, "joint")
    errors = [((t.decode(t.encode(images)) - target) ** 2).sum() for t in (after, before)]
    assert errors[0] < errors[1]
    np.testing.assert_array_equal(encoded(after, images), encoded(before, images))  # the encoder stays


def encoded(tokenizer, images):
    return np.asarray(tokenizer._parts.vae.encode(images.astype(np.float32) / 255))


def test_a_run_of_fsq_has_no_codes_to_fine_tune(trained):
    found = program("finetune", "--run", str(trained["fsq"]), "--finetune.codebook", "vqvae")
    assert found.returncode == 2
    assert "finetune.codebook: expected a VQ-VAE for vqvae, found a run whose baseline is fsq; run" in found.stderr
