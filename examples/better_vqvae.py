"""Better tokens for a VQ-VAE that is already trained: the same codes, the same decoder, other tokens.

python -m examples.better_vqvae                      # half a minute -> better_vqvae.png
python -m examples.better_vqvae --steps 50           # a trial
"""

import argparse
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

import geovq
from examples.common import digits, save_rows, train
from examples.own_autoencoder import Autoencoder


class VQVAE(nnx.Module):
    """An autoencoder whose latents are replaced by the nearest of K codes (van den Oord, Vinyals & Kavukcuoglu 2017)."""

    def __init__(self, num_codes: int, *, rngs: nnx.Rngs):
        """Codes begin at random."""
        self.autoencoder = Autoencoder(rngs=rngs)
        self.codes = nnx.Param(0.5 * jax.random.normal(rngs.params(), (num_codes, 4)))

    def quantize(self, latents: Float[Array, "n h w d"]) -> Float[Array, "n h w d"]:
        """The nearest codes."""
        codes = self.codes.get_value()
        distances = jnp.sum((latents[..., None, :] - codes[None, None, None]) ** 2, axis=-1)
        return codes[jnp.argmin(distances, axis=-1)]


def vq_loss(module: VQVAE, images: Float[Array, "n H W 1"]) -> Float[Array, ""]:
    """Squared error with the gradient passed straight through, codes to latents, and latents to codes."""
    latents = module.autoencoder.encode(images)
    quantized = module.quantize(latents)
    straight = latents + jax.lax.stop_gradient(quantized - latents)
    to_latents = jnp.mean((quantized - jax.lax.stop_gradient(latents)) ** 2)
    to_codes = jnp.mean((latents - jax.lax.stop_gradient(quantized)) ** 2)
    return jnp.mean((module.autoencoder.decode(straight) - images) ** 2) + 0.1 * to_latents + 0.025 * to_codes


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Trains a VQ-VAE, finds better tokens, prints mean PSNR of both, and draws ten images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=1500, help="of training (1500)")
    parser.add_argument("--num-codes", type=int, default=32, help="codes (32)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("better_vqvae.png"), help="the picture")
    options = parser.parse_args(arguments)
    module = VQVAE(options.num_codes, rngs=nnx.Rngs(0))
    train(module, vq_loss, [digits()[0][:-200]], options.steps)
    test = digits()[0][-200:]

    encode, decode = (geovq.from_nnx(module.autoencoder, method) for method in ("encode", "decode"))
    better = geovq.better_tokens(encode, decode, np.asarray(module.codes.get_value()), test)

    found = {"own tokens": float(better.own_psnr.mean()), "better tokens": float(better.psnr.mean())}
    for name, value in found.items():
        print(f"{name:>13}: {value:.2f} dB")
    rows = {"own tokens": better.own_tokens, "better tokens": better.tokens}
    save_rows(
        options.out,
        {"original": test[:10]} | {name: better.tokenizer.decode(each[:10]) for name, each in rows.items()},
    )
    return found


if __name__ == "__main__":
    main()
