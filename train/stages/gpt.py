"""The stage that trains the causal Transformer on the tokens of one codebook and assigner."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import PyTree

from geovq.batching.chunks import map_chunks
from geovq.models.gpt import GPT, drop_labels, loss, sequences_of_pass, token_nats
from geovq.models.gpt_start import start_at_codes
from geovq.validation import InputError
from train.config.options import GPTOptions, token_sections, tokenizer_stages
from train.loop import loop
from train.loop.schedule import Schedule
from train.loop.task import GradientTask, Means, State
from train.run.folder import Run
from train.run.stage_record import Stage
from train.stages import image_tokens, inputs, networks, tokenizers

_ROWS_KEY = 2**32 - 1
"""Folded into the seed's key for the rows of the codes: no parameter and no step of the training draws from the same key."""


class GPTTask(GradientTask):
    """A Transformer on tokens, with classes or without; "loss", by which the best parameters are kept, is in nats per token."""

    convolves = False

    def __init__(self, gpt: GPT, tokens: Mapping[str, np.ndarray], options: GPTOptions, schedule: Schedule):
        """The task.

        Args:
            gpt: With its initial weights.
            tokens: "train" and "val" (n, t) or (n, t, S), and their "train_labels" and "val_labels" (n,).
            options: How it is trained.
            schedule: How long.
        """
        self._graphdef, params = nnx.split(gpt)
        super().__init__(params, schedule.adamw(options), options.average)
        self._tokens, self._options, self._config = tokens, options, gpt.config
        self._nats = jax.jit(self._mean_nats)

    def batch(self, indices: np.ndarray) -> tuple[Any, ...]:
        """Tokens, and labels where the Transformer knows classes."""
        tokens = self._tokens["train"][indices].astype(np.int32)
        return tokens, self._known(self._tokens["train_labels"][indices])

    def loss(self, params: PyTree, key: jax.Array, *batch: Any) -> tuple[jax.Array, Means]:
        """Nats per token, with smoothed targets and with some labels left out."""
        tokens, labels = batch
        if labels is not None:
            drawn, key = jax.random.split(key)
            labels = drop_labels(labels, self._config, drawn)
        model = nnx.merge(self._graphdef, params)
        value = loss(model, tokens, labels, key=key, label_smoothing=self._options.label_smoothing)
        return value, {"loss": value}

    def validate(self, state: State) -> Mapping[str, float]:
        """Nats per token and bits per image of the validation tokens, without smoothing."""
        found = map_chunks(
            lambda tokens, labels: self._nats(state["params"], tokens, labels),
            self._tokens["val"],
            self._tokens["val_labels"],
            chunk=sequences_of_pass(self._config),
        )
        mean = float(np.mean(found))
        codes = self._config.length * self._config.num_quantizers
        return {"loss": mean, "nats_per_token": mean, "bits_per_image": mean * codes / math.log(2)}

    def _mean_nats(self, params: PyTree, tokens: Any, labels: Any) -> jax.Array:
        nats = token_nats(nnx.merge(self._graphdef, params), tokens, self._known(labels))
        return nats.reshape(len(nats), -1).mean(axis=1)

    def _known(self, labels: Any) -> Any:
        """Labels where the Transformer knows classes."""
        return labels if self._config.classes else None


def initial_gpt(run: Run) -> GPT:
    """The run's Transformer before training: with random weights and, if its options say so, rows from the codes."""
    gpt, options = networks.new_gpt(run), run.config.gpt
    if options.start == "codes":
        tokenizer = tokenizers.of_gpt(run, "euclidean")  # codes are the same for all assigners
        key = jax.random.fold_in(jax.random.key(options.seed), _ROWS_KEY)
        start_at_codes(gpt, tokenizer.codes, tokenizer.mean_metric, key)
    return gpt


def run(run: Run, tokens_of: Run | None = None, prior: Run | None = None) -> None:
    """Trains the run's Transformer, unless that is done.

    Args:
        run: With the complete stages that make its tokenizer.
        tokens_of: Another run with a trained Transformer over the same tokens, which are copied from there.
        prior: Another run with a trained Transformer over tokens of the same tokenizer. The descent starts at its tokens, and
            gpt.nat_weight weighs its nats. Not needed once the tokens are there.

    Raises:
        InputError: A stage is not complete, the other run's tokens are not those of this one or not of its tokenizer, or a
            weight of nats without a prior or a prior without a weight.
    """
    options, before = run.config.gpt, Stage(run.folder, "gpt")
    assigned = (before.folder / "tokens.npz").exists()  # then the prior is not needed any more
    if (options.nat_weight == 0 and prior is not None) or (options.nat_weight and prior is None and not assigned):
        raise InputError(
            f"gpt.nat_weight: expected a weight and --prior RUN, or neither, found {options.nat_weight:g} and "
            f"{prior.folder if prior else 'no prior'}; give both, or leave both out."
        )
    data = inputs.images(run.config.data)
    made_from = {"data": data.sha256, **{name: run.fingerprint(name) for name in tokenizer_stages(run.config)}}
    expected = None if prior is None else image_tokens.expected_by(prior, run, made_from)
    if options.nat_weight:
        recorded = before.record.get("inputs", {}).get("prior")
        made_from["prior"] = recorded if prior is None else prior.fingerprint("gpt")
    stage = run.begin("gpt", (*token_sections(run.config), "gpt"), made_from)
    if stage is None:
        return
    if not (stage.folder / "tokens.npz").exists():
        if tokens_of is None:
            image_tokens.save(run, data, stage, expected)
        else:
            image_tokens.copy(tokens_of, run, stage)
    tokens = image_tokens.load(run)
    schedule = Schedule.of(len(tokens["train"]), options)
    loop.train(stage.folder, "gpt", GPTTask(initial_gpt(run), tokens, options, schedule), schedule, stage.pause)
    stage.finish("gpt/tokens.npz", "gpt/checkpoints")
