"""The Transformer in PyTorch, with fused attention, as a rival."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from train.config.options import GPTOptions


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
