"""Tokenise your own autoencoder: a Flax module that knows nothing of tokens.

    python -m examples.own_autoencoder                      # half a minute -> own_autoencoder.png
    python -m examples.own_autoencoder --steps 50           # a trial: worse images

The network below stands for yours. Only the last lines of `main` are about GeoVQ.
"""

import argparse
import pathlib

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from examples.common import digits, save_rows, train
from geovq import Joint, Nearest, Tokenizer, Whitened, from_nnx
from geovq.scores import psnr


class Autoencoder(nnx.Module):
    """Images (n, 8, 8, 1) to latents (n, 4, 4, d), and back."""

    def __init__(self, channels: int = 4, width: int = 32, *, rngs: nnx.Rngs):
        """A layer down, and one up."""
        self.down = nnx.Conv(1, width, (3, 3), strides=2, rngs=rngs)
        self.to_latents = nnx.Conv(width, channels, (3, 3), rngs=rngs)
        self.from_latents = nnx.Conv(channels, width, (3, 3), rngs=rngs)
        self.up = nnx.Conv(width, 4, (3, 3), rngs=rngs)

    def encode(self, images: Float[Array, "n H W 1"]) -> Float[Array, "n h w d"]:
        """Latents."""
        return self.to_latents(nnx.gelu(self.down(images)))

    def decode(self, latents: Float[Array, "n h w d"]) -> Float[Array, "n H W 1"]:
        """Images, two by two pixels for each latent."""
        pixels = self.up(nnx.gelu(self.from_latents(latents)))
        n, h, w, _ = pixels.shape
        return nnx.sigmoid(pixels).reshape(n, h, w, 2, 2).transpose(0, 1, 3, 2, 4).reshape(n, 2 * h, 2 * w, 1)


def squared_error(module: Autoencoder, images: Float[Array, "n H W 1"]) -> Float[Array, ""]:
    """Of the reconstructions, with a little weight on the size of the latents."""
    latents = module.encode(images)
    return jnp.mean((module.decode(latents) - images) ** 2) + 1e-3 * jnp.mean(latents**2)


def trained_autoencoder(steps: int) -> Autoencoder:
    """Trained on all digits but the last 200."""
    module = Autoencoder(rngs=nnx.Rngs(0))
    train(module, squared_error, [digits()[0][:-200]], steps)
    return module


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Trains, tokenises, prints mean PSNR by what was done to the images, and draws ten of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=1500, help="of training (1500)")
    parser.add_argument("--num-codes", type=int, default=64, help="codes (64)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("own_autoencoder.png"), help="the picture")
    options = parser.parse_args(arguments)
    module = trained_autoencoder(options.steps)
    images, test = digits()[0][:-200], digits()[0][-200:]

    encode, decode = from_nnx(module, "encode"), from_nnx(module, "decode")
    tokenizer = Tokenizer.fit(
        encode, decode, images, num_codes=options.num_codes, codebook="metric", assigner=Joint(), max_images=400
    )
    shown = {"original": test, "autoencoder": np.clip(decode(encode(test)), 0, 1)}
    for assigner in (Nearest(), Whitened(), Joint()):
        tokens = tokenizer.replace(assigner=assigner).encode(test)  # int32 (n, 4, 4)
        shown[f"tokens, {type(assigner).__name__}"] = tokenizer.decode(tokens)

    found = {name: float(psnr(test, each).mean()) for name, each in shown.items() if name != "original"}
    for name, value in found.items():
        print(f"{name:>17}: {value:.2f} dB")
    save_rows(options.out, {name: each[:10] for name, each in shown.items()})
    return found


if __name__ == "__main__":
    main()
