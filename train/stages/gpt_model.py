"""How the Transformer is trained: where it begins, its loss on a batch of tokens, and what is validated."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

from geovq.batching.chunks import map_chunks
from geovq.models.gpt import GPT, drop_labels, loss, token_nats
from geovq.models.gpt_start import start_at_codes
from train.config.options import GPTOptions
from train.loop import steps
from train.run.folder import Run
from train.stages import networks, tokenizers

_ROWS_KEY = 2**32 - 1
"""Folded into the seed's key for the rows of the codes: no parameter and no step of the training draws from the same key."""


def begun(run: Run) -> GPT:
    """The run's Transformer as its training begins: with initial weights and, if its options say so, rows from the codes."""
    gpt, options = networks.new_gpt(run), run.config.gpt
    if options.start == "codes":
        tokenizer = tokenizers.modelled(run, "euclidean")  # codes are the same for all assignments
        key = jax.random.fold_in(jax.random.key(options.seed), _ROWS_KEY)
        start_at_codes(gpt, tokenizer.codes, tokenizer.codebook.mean_metric, key)
    return gpt


def gpt_model(gpt: GPT, tokens: Mapping[str, np.ndarray], options: GPTOptions, schedule: steps.Schedule) -> steps.Model:
    """What the training loop needs.

    Args:
        gpt: With its initial weights.
        tokens: "train" and "val" (n, t), and their "train_labels" and "val_labels" (n,).
        options: How it is trained.
        schedule: How long.

    Returns:
        The model; "loss", by which the best parameters are kept, is in nats per token.
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
        mean = np.mean(found)
        return {"loss": mean, "nats_per_token": mean, "bits_per_image": mean * gpt.config.length / math.log(2)}

    def batch(indices: np.ndarray) -> tuple[Any, ...]:
        return tokens["train"][indices], tokens["train_labels"][indices] if options.conditional else None

    optimizer = steps.adamw(schedule, options.learning_rate, options.weight_decay)
    if options.average:
        first = steps.averaged(params, training_loss, optimizer, options.average)
    else:
        first = steps.by_gradient(params, training_loss, optimizer)
    return steps.Model(*first, batch, validate)
