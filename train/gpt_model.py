"""How the Transformer is trained: its loss on a batch of tokens, and what is validated."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

from geovq.chunks import map_chunks
from geovq.gpt import GPT, drop_labels, loss, token_nats
from train import steps
from train.config import GPTOptions


def gpt_model(gpt: GPT, tokens: Mapping[str, np.ndarray], options: GPTOptions, schedule: steps.Schedule) -> steps.Model:
    """What the training loop needs.

    Args:
        gpt: With its initial weights.
        tokens: "train" and "val" (n, t), and their "train_labels" and "val_labels" (n,).
        options: How it is trained.
        schedule: How long.

    Returns:
        The model; "loss" is in nats per token.
    """
    graphdef, params = nnx.split(gpt)

    def training_loss(params: Any, key: jax.Array, batch: Any, labels: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        model = nnx.merge(graphdef, params)
        if labels is not None:
            drawn, key = jax.random.split(key)
            labels = drop_labels(labels, model.config, drawn)
        value = loss(model, batch, labels, key=key, label_smoothing=options.label_smoothing)
        return value, {"loss": value}

    @jax.jit
    def nats(params: Any, batch: Any, labels: Any) -> jax.Array:
        known = labels if options.conditional else None
        return token_nats(nnx.merge(graphdef, params), batch, known).mean(axis=1)

    def validate(state: steps.State) -> dict[str, Any]:
        found = map_chunks(lambda t, y: nats(state["params"], t, y), tokens["val"], tokens["val_labels"], chunk=500)
        return {"loss": np.mean(found), "bits_per_image": np.mean(found) * gpt.config.length / math.log(2)}

    def batch(indices: np.ndarray) -> tuple[Any, ...]:
        return tokens["train"][indices], tokens["train_labels"][indices] if options.conditional else None

    optimizer = steps.adamw(schedule, options.learning_rate, options.weight_decay)
    if options.average:
        begun = steps.averaged(params, training_loss, optimizer, options.average)
    else:
        begun = steps.by_gradient(params, training_loss, optimizer)
    return steps.Model(*begun, batch, validate)
