"""A Transformer over tokens of your own: it learns what digits look like as tokens, and draws new ones.

python -m examples.transformer                                   # two minutes -> transformer.png
python -m examples.transformer --steps 50 --gpt-steps 20         # a trial
"""

import argparse
import functools
import pathlib

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from examples.common import digits, save_rows, train
from examples.own_autoencoder import trained_autoencoder
from geovq import Tokenizer, Whitened, from_nnx
from geovq.models.config import GPTConfig
from geovq.models.gpt import GPT, drop_labels, loss
from geovq.models.sampling import rising_guidance, sample
from geovq.models.token_data import check_labels

GUIDANCE = 2.0


def nats(
    config: GPTConfig,
    model: GPT,
    tokens: Int[Array, "n t"],
    labels: Int[Array, " n"],
    keys: Int[Array, " n"],
) -> Float[Array, ""]:
    """Of a token; the class of some images is left out, which guidance needs."""
    for_labels, for_dropout = jax.random.split(jax.random.key(keys[0]))
    return loss(model, tokens, drop_labels(labels, config, for_labels), key=for_dropout)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Trains both networks, prints nats a token before and after, and draws samples of every digit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=1500, help="of the autoencoder's training (1500)")
    parser.add_argument("--gpt-steps", type=int, default=500, help="of the Transformer's training (500)")
    parser.add_argument("--num-codes", type=int, default=64, help="codes (64)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("transformer.png"), help="the picture")
    options = parser.parse_args(arguments)
    images, labels = digits()
    module = trained_autoencoder(options.steps)
    encode, decode = from_nnx(module, "encode"), from_nnx(module, "decode")
    tokenizer = Tokenizer.fit(
        encode, decode, images, num_codes=options.num_codes, codebook="metric", assigner=Whitened(), max_images=400
    )
    tokens = tokenizer.encode(images)  # (n, 4, 4)

    h, w = tokens.shape[1:]
    config = GPTConfig(num_codes=options.num_codes, grid=(h, w), classes=10, class_dropout=0.1, layers=2, width=96)
    model = GPT(config, rngs=nnx.Rngs(0))
    rows = [tokens.reshape(len(tokens), -1), check_labels(labels, config.classes), np.arange(len(tokens))]
    losses = train(model, functools.partial(nats, config), rows, options.gpt_steps)
    found = {"before": losses[0], "after": float(np.mean(losses[-10:]))}
    print(f"nats a token: {found['before']:.2f} before, {found['after']:.2f} after training")

    wanted = np.repeat(np.arange(10), 4)
    drawn = sample(model, jax.random.key(0), 40, wanted, guidance=rising_guidance(GUIDANCE, config.length), chunk=40)
    made = tokenizer.decode(np.asarray(drawn).reshape(-1, h, w)).reshape(10, 4, 8, 8, 1)
    real = np.stack([images[labels == digit][0] for digit in range(10)])
    save_rows(options.out, {"real": real} | {f"sample {i + 1}": made[:, i] for i in range(4)})
    return found


if __name__ == "__main__":
    main()
