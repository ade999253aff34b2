"""Initial rows of a Transformer's codes: alike where the codes decode alike.

A Transformer has to learn which of its K tokens resemble each other; a codebook in a decoder's latents knows. Both rows of a
code, one in the embedding and one in the head, start as random projections of the code in coordinates in which Euclidean
distance is √(ΔᵀḠΔ), the change of the decoded image under the mean metric (a random projection keeps distances in
expectation: Johnson & Lindenstrauss, 1984). They are as large as other initial weights, and are trained like them.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from geovq.models.gpt import GPT
from geovq.models.gpt_block import SCALE
from geovq.numerics.linalg import eigen_root
from geovq.validation import InputError

_ALIKE = 1e-5
"""Codes that differ by less than this part of their size are the same but for rounding."""


def code_rows(
    codes: Float[np.ndarray, "K d"], mean_metric: Float[np.ndarray, "d d"], width: int, key: PRNGKeyArray
) -> Float[np.ndarray, "K width"]:
    """Rows for codes, whose distances are about proportional to √(ΔᵀḠΔ).

    Args:
        codes: (K, d).
        mean_metric: Mean of JᵀJ over the data, intensity².
        width: Channels of a row; the more, the better distances are kept.
        key: Draws the projection.

    Returns:
        float32, of mean zero over the codes and root mean square `gpt.SCALE`; all zero where no two codes decode apart.
    """
    root = eigen_root(mean_metric)
    scaled = (codes - codes.mean(axis=0, dtype=np.float64)) @ root
    if np.abs(scaled).max() <= _ALIKE * np.abs(codes).max() * np.abs(root).max():
        return np.zeros((len(codes), width), np.float32)
    rows = scaled @ np.asarray(jax.random.normal(key, (codes.shape[1], width), jnp.float32))
    return (SCALE * rows / np.sqrt(np.mean(rows**2))).astype(np.float32)


def start_at_codes(
    gpt: GPT, codes: Float[np.ndarray, "K d"], mean_metric: Float[np.ndarray, "d d"], key: PRNGKeyArray
) -> None:
    """Replaces a Transformer's initial rows of its codes, at its start and at its end, by `code_rows`.

    Args:
        gpt: With initial weights; changed in place.
        codes: (K, d), for its K tokens.
        mean_metric: Mean of JᵀJ over the data, intensity².
        key: Draws the two projections; not the key of the initial weights, or these and the projections would be alike.

    Raises:
        InputError: Another number of codes than its tokens have.
    """
    if len(codes) != gpt.config.num_codes:
        raise InputError(f"codes: expected {gpt.config.num_codes}, one for each token, found {len(codes)}.")
    for_embedding, for_head = jax.random.split(key)
    gpt.codes[...] = jnp.asarray(code_rows(codes, mean_metric, gpt.config.width, for_embedding))
    gpt.head.kernel[...] = jnp.asarray(code_rows(codes, mean_metric, gpt.config.width, for_head).T)
