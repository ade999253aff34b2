"""Is the Transformer fast? Cached sampling beside uncached, and a training step beside the same model in PyTorch.

    python -m benchmarks.gpt

Some ten minutes on two idle CPU cores. Tokens are random, since their values do not change the times. All ways have a turn in
each round, after cached sampling has given the tokens of uncached sampling, and PyTorch the logits of the same weights. Where
PyTorch is not installed its rows are left out (pip install -e '.[peers]'). Writes benchmarks/results/gpt.json.
"""

import dataclasses
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.common.harness import in_turn, no_options, save
from benchmarks.common.rows import Row, ratio_row, spread_row
from train.config.options import GPTOptions
from train.run.command_line import run_program

SIZES = {"4/256/4": GPTOptions(), "8/512/8": GPTOptions(layers=8, width=512, heads=8)}
"""Layers, width and heads: the study's Transformers."""

BATCHES = (64, 256)
"""Sequences that are sampled together."""

CODES, GRID, CLASSES = 512, (4, 4), 10
ROUNDS = 7
STEPS = 5
"""Training steps in a turn."""

ONE_STEP = "--one-step"
"""Prints the seconds of a training step of the small model, and nothing else: a process cannot change its own memory pages."""


def model_of(options: GPTOptions) -> Any:
    """The Transformer with its initial weights."""
    from flax import nnx

    from geovq.models.config import GPTConfig
    from geovq.models.gpt import GPT

    config = GPTConfig(
        CODES,
        GRID,
        CLASSES,
        options.layers,
        options.width,
        options.heads,
        dropout=options.dropout,
        class_dropout=options.class_dropout,
        bfloat16=options.bfloat16,
    )
    return GPT(config, rngs=nnx.Rngs(options.seed))


def batch_of(n: int) -> tuple[Any, Any]:
    """Tokens and labels."""
    rng = np.random.default_rng(0)
    return rng.integers(0, CODES, (n, GRID[0] * GRID[1]), np.int32), rng.integers(0, CLASSES, n, np.int32)


class Peer(NamedTuple):
    """A model with the weights of ours, and a training step of its own."""

    logits: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """Tokens (n, t) and labels (n,) to logits (n, t, K), without dropout."""
    step: Callable[[np.ndarray, np.ndarray], float]
    """Tokens and labels of a batch to its loss; the weights follow AdamW."""


def torch_peer(model: Any, options: GPTOptions) -> Peer | None:
    """The model in PyTorch, its loss and its optimizer as `train.gpt` has them; None where PyTorch is not installed."""
    try:
        import torch
        from torch import nn
        from torch.nn import functional
    except ImportError:
        return None

    config = model.config

    def tensor(value: Any) -> Any:
        return torch.tensor(np.asarray(value[...]))

    def linear(ours: Any) -> nn.Linear:
        outputs, inputs = ours.kernel.shape[::-1]
        layer = nn.Linear(inputs, outputs, bias=ours.bias is not None)
        with torch.no_grad():
            layer.weight.copy_(tensor(ours.kernel).T)
            if ours.bias is not None:
                layer.bias.copy_(tensor(ours.bias))
        return layer

    def norm(ours: Any) -> nn.LayerNorm:
        layer = nn.LayerNorm(config.width, eps=ours.epsilon)
        with torch.no_grad():
            layer.weight.copy_(tensor(ours.scale))
            layer.bias.copy_(tensor(ours.bias))
        return layer

    class Block(nn.Module):
        def __init__(self, ours: Any):
            super().__init__()
            self.norm_attention, self.norm_mlp = norm(ours.norm_attention), norm(ours.norm_mlp)
            self.query_key_value, self.mixed = linear(ours.query_key_value), linear(ours.mixed)
            self.up, self.down = linear(ours.up), linear(ours.down)
            self.dropout = nn.Dropout(config.dropout)

        def forward(self, x: Any) -> Any:
            n, t, width = x.shape
            qkv = self.query_key_value(self.norm_attention(x)).view(n, t, 3, config.heads, width // config.heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.dropout(self.mixed(mixed.transpose(1, 2).reshape(n, t, width)))
            return x + self.dropout(self.down(functional.gelu(self.up(self.norm_mlp(x)), approximate="tanh")))

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.start, self.codes = (
                nn.Embedding.from_pretrained(tensor(rows), freeze=False) for rows in (model.start, model.codes)
            )
            self.rows, self.columns = nn.Parameter(tensor(model.rows)), nn.Parameter(tensor(model.columns))
            self.blocks = nn.ModuleList([Block(block) for block in model.blocks])
            self.norm, self.head = norm(model.norm), linear(model.head)
            self.dropout = nn.Dropout(config.dropout)

        def forward(self, tokens: Any, labels: Any) -> Any:
            x = torch.cat([self.start(labels)[:, None], self.codes(tokens[:, :-1])], dim=1)
            x = self.dropout(x + (self.rows[:, None] + self.columns[None]).view(config.length, -1))
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    torch.manual_seed(options.seed)
    peer = Transformer()
    optimizer = torch.optim.AdamW(
        peer.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay, fused=True
    )

    def logits(tokens: np.ndarray, labels: np.ndarray) -> np.ndarray:
        peer.eval()
        with torch.no_grad():
            return peer(torch.tensor(tokens).long(), torch.tensor(labels).long()).numpy()

    def step(tokens: np.ndarray, labels: np.ndarray) -> float:
        peer.train()
        known, wanted = torch.tensor(labels).long(), torch.tensor(tokens).long()
        known = torch.where(torch.rand(len(known)) < config.class_dropout, config.classes, known)
        found = peer(wanted, known).view(-1, config.num_codes)
        loss = functional.cross_entropy(found, wanted.view(-1), label_smoothing=options.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return Peer(logits, step)


def our_steps(model: Any, options: GPTOptions) -> Callable[[], None]:
    """So many training steps, as `train.gpt` makes them."""
    import jax
    import jax.numpy as jnp
    from train.loop.schedule import Schedule
    from train.stages.gpt import GPTTask

    from train.loop import loop

    tokens, labels = batch_of(options.batch_size)
    named = {"train": tokens, "train_labels": labels, "val": tokens, "val_labels": labels}
    task = GPTTask(model, named, options, Schedule.of(len(tokens), options))
    call = loop.compile_steps(task.step)
    state = jax.tree.map(jnp.array, task.initial_state())

    def some_steps() -> None:
        nonlocal state
        for number in range(STEPS):
            state, means = call(state, [jax.random.key(number)], [(tokens, labels)])
        jax.block_until_ready((state, means))

    return some_steps


def training(name: str, options: GPTOptions) -> list[Row]:
    """A training step, of a small model one in half precision too, and PyTorch's."""
    model = model_of(options)
    tokens, labels = batch_of(options.batch_size)
    ways = {"ours": our_steps(model, options)}
    if options == SIZES["4/256/4"]:  # it may be slow
        half = dataclasses.replace(options, bfloat16=True)
        ways["ours in bfloat16"] = our_steps(model_of(half), half)
    peer = torch_peer(model, options)
    if peer is not None:
        np.testing.assert_allclose(peer.logits(tokens, labels), model(tokens, labels), atol=1e-4)
        step = peer.step

        def peer_steps() -> None:
            for _ in range(STEPS):
                step(tokens, labels)

        ways["PyTorch"] = peer_steps
    seconds = {way: [s / STEPS for s in turns] for way, turns in in_turn(ways, ROUNDS).items()}
    fields = {"case": "training step", "sizes": name}
    rows = [spread_row(fields | {"peer": way}, "seconds", turns) for way, turns in seconds.items()]
    return rows + [ratio_row(fields | {"peer": way}, turns, seconds["ours"]) for way, turns in seconds.items()]


def sampling(name: str, options: GPTOptions, n: int) -> list[Row]:
    """Cached sampling, and a pass over the whole sequence for each of its tokens."""
    import jax
    from flax import nnx

    from geovq.models.sampling import draw_token, sample

    model, key = model_of(options), jax.random.key(1)
    labels = batch_of(n)[1]
    graphdef, params = nnx.split(model)

    @jax.jit
    def whole_sequences(params: Any, labels: Any) -> Any:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, np.arange(n, dtype=np.uint32))

        def draw_next(position: Any, tokens: Any) -> Any:
            logits = nnx.merge(graphdef, params)(tokens, labels)[:, position]
            here = jax.vmap(jax.random.fold_in, (0, None))(keys, position)
            return tokens.at[:, position].set(jax.vmap(lambda k, x: draw_token(k, x, 1.0, 0, 1.0))(here, logits))

        return jax.lax.fori_loop(0, model.config.length, draw_next, np.zeros((n, model.config.length), np.int32))

    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: sample(model, key, n, labels, chunk=n),
        "without a cache": lambda: np.asarray(whole_sequences(params, labels)),
    }
    np.testing.assert_array_equal(ways["ours"](), ways["without a cache"]())
    seconds = in_turn(ways, ROUNDS)
    fields = {"case": "sampling", "sizes": name, "batch": n}
    rows = [spread_row(fields | {"peer": way}, "seconds", turns) for way, turns in seconds.items()]
    return rows + [ratio_row(fields | {"peer": way}, turns, seconds["ours"]) for way, turns in seconds.items()]


def pages() -> list[Row]:
    """A training step with ordinary memory pages and with huge ones, each in processes of its own."""
    seconds: dict[str, list[float]] = {"ours": [], "ordinary pages": []}
    for _ in range(3):
        for way, tunables in (("ours", "glibc.malloc.hugetlb=1"), ("ordinary pages", "")):
            found = subprocess.run(
                [sys.executable, "-m", "benchmarks.gpt", ONE_STEP],
                env=os.environ | {"GLIBC_TUNABLES": tunables},
                capture_output=True,
                text=True,
                check=True,
            )
            seconds[way].append(float(found.stdout))
    fields = {"case": "memory pages", "sizes": "4/256/4"}
    return [ratio_row(fields | {"peer": way}, turns, seconds["ours"]) for way, turns in seconds.items()]


def main() -> None:
    """Runs the benchmark."""
    if sys.argv[1:] == [ONE_STEP]:
        options = SIZES["4/256/4"]
        print(statistics.median(in_turn({"ours": our_steps(model_of(options), options)}, ROUNDS)["ours"]) / STEPS)
        return
    no_options(__doc__)
    from train.evaluation.report import text_table

    rows = [row for name, options in SIZES.items() for row in training(name, options)]
    rows += [row for name, options in SIZES.items() for n in BATCHES for row in sampling(name, options, n)]
    rows += pages()
    table = [
        [*(r.get(f) for f in ("case", "sizes", "batch", "peer")), r["value"]] for r in rows if r["score"] == "ratio"
    ]
    print(text_table(["case", "layers/width/heads", "batch", "way", "times as long as ours"], table))
    save("gpt", rows, {"model": 0}, f"{ROUNDS} rounds in turn")


if __name__ == "__main__":
    run_program(main)
