"""How the Transformer is trained, on tokens whose first is the label."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from train.loop.steps import Schedule
from train.stages.gpt_model import gpt_model

from geovq.models.config import GPTConfig
from geovq.models.gpt import GPT, token_nats
from train.config.options import GPTOptions

CLASSES = 4


@pytest.fixture
def tokens(rng):
    found: dict[str, np.ndarray] = {}
    for part, n in (("train", 256), ("val", 40)):
        labels = rng.integers(CLASSES, size=n)
        found |= {part: np.stack([labels, *[(labels + 1) % CLASSES] * 3], axis=1), f"{part}_labels": labels}
    return found


@pytest.mark.parametrize("conditional", [True, False])
def test_labels_tell_what_they_can_and_validation_is_a_likelihood(tokens, conditional):
    config = GPTConfig(
        num_codes=CLASSES,
        grid=(2, 2),
        classes=CLASSES if conditional else 0,
        class_dropout=0.25 if conditional else 0.0,
        layers=1,
        width=16,
        heads=2,
        dropout=0.0,
    )
    options = GPTOptions(conditional=conditional, label_smoothing=0.1, epochs=8, batch_size=16, learning_rate=3e-2)
    schedule = Schedule.of(len(tokens["train"]), options)
    gpt = GPT(config, rngs=nnx.Rngs(0))
    model = gpt_model(gpt, tokens, options, schedule)
    state, step = model.state, jax.jit(model.step)
    for number in range(schedule.steps):
        rows = np.arange(options.batch_size) + number * options.batch_size
        state, _ = step(state, jax.random.key(number), *model.batch(rows % len(tokens["train"])))
    trained = nnx.merge(nnx.graphdef(gpt), state["params"])

    def nats(labels: np.ndarray | None) -> np.ndarray:
        known = None if labels is None else jnp.asarray(labels)
        return np.asarray(token_nats(trained, jnp.asarray(tokens["val"]), known))

    found = nats(tokens["val_labels"] if conditional else None)
    first, rest = found[:, 0].mean(), found[:, 1:].mean()
    assert (first, rest) == pytest.approx((0.08 if conditional else math.log(CLASSES), 0.08), abs=0.07)
    if conditional:
        free = nats(np.full_like(tokens["val_labels"], CLASSES))
        assert free[:, 0].mean() == pytest.approx(math.log(CLASSES), abs=0.2)  # some labels are left out in training
    scores = model.validate(state)
    assert scores["loss"] == scores["nats_per_token"] == pytest.approx(found.mean(), rel=1e-5)  # without smoothing
    assert scores["bits_per_image"] == pytest.approx(found.mean() * 4 / math.log(2), rel=1e-5)
