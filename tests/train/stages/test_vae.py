"""The VAE's training: it reaches the rate that is asked for, and compiles its step once."""

import json

import jax
import numpy as np
import pytest

from tests.programs import program
from tests.runs import TINY_VAE, run_of, succeed
from train.data.datasets import load
from train.loop.schedule import Schedule
from train.stages import networks
from train.stages.vae import VAETask


def test_the_state_keeps_its_types(started):
    """A step whose output has other types than its input would be compiled twice."""
    run, images = run_of(started), load("digits").val_images
    options = run.config.vae
    task = VAETask(networks.new_vae(run, (28, 28, 1)), images, images, options, Schedule.of(1000, options))
    state = task.initial_state()
    after, _ = jax.eval_shape(task.step, state, jax.random.key(0), *task.batch(np.arange(2)))
    for before, then in zip(jax.tree.leaves(jax.eval_shape(lambda x: x, state)), jax.tree.leaves(after), strict=True):
        assert (before.shape, before.dtype, before.weak_type) == (then.shape, then.dtype, then.weak_type)


@pytest.mark.slow
def test_a_vae_is_trained_to_a_rate(tmp_path):
    flags = ["--vae.epochs", "15", "--vae.batch-size", "64", "--vae.checkpoint-every", "1000"]
    succeed("vae", tmp_path, *TINY_VAE, *flags, "--bits", "4")
    reached = [json.loads(line) for line in (tmp_path / "vae/metrics.jsonl").read_text().splitlines()]
    assert abs(reached[0]["val_bits_per_token"] - 4) > 1
    assert abs(reached[-1]["val_bits_per_token"] - 4) < 0.5
    best = min(reached, key=lambda row: row["val_loss"])  # whose parameters are kept
    assert abs(best["val_bits_per_token"] - 4) < 0.5


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("finetune", ["--finetune.codebook", "metric"], "finetune.codebook: expected one that is built"),
        ("finetune", ["--finetune.codebook", "vqvae"], "baseline: expected a complete stage, found none"),
        ("finetune", ["--finetune.rounds", "0"], "finetune.rounds: expected 1..1,000, found 0"),
        ("codebook", ["--codebook.num-quantizers", "5"], "codebook.num_quantizers: expected 1..4, found 5"),
        (
            "codebook",
            ["--codebook.num-quantizers", "2", "--codebook.codebooks", "geodesic"],
            "expected only kmeans, whitened, metric, refined where tokens have 2 codes",
        ),
        ("baseline", ["--baseline.levels", "1"], "baseline.levels: expected 2..1,024"),
        ("vae", ["--bits", "-1"], "vae.bits: expected a number in 0..1e+30"),
    ],
)
def test_bad_options_are_one_line(name, flags, message, started):
    found = program(name, "--run", str(started), *flags)
    assert found.returncode == 2
    assert message in found.stderr
    assert "Traceback" not in found.stderr
