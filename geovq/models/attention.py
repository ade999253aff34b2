"""Causal attention without the (t, t) weights of all heads at once, and rotary positions of a grid.

Long sequences are attended to in blocks of queries. A block sees the keys up to its own end alone, so that the half of the
products that the mask would remove is not computed, and its weights are computed again for the gradient instead of being kept
(Rabe & Staats 2021, "Self-attention does not need O(n²) memory"). On a CPU heads are taken two by two, whose weights stay in the
cache; where JAX has cuDNN's fused kernel, in half precision on an NVIDIA GPU, that one is called.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

DENSE = 128
"""Longest sequence whose weights are computed all at once."""

_BLOCK = 128
"""Queries of a block at least."""

_BLOCKS = 16
"""Blocks of a sequence at most, since each is compiled by itself."""

_HEADS = 2
"""Heads together on a CPU, whose weights stay in its cache."""

_WEIGHTS = 1 << 26
"""Attention weights in memory together on an accelerator (256 MiB in float32)."""

_BASE = 10_000
"""Ratio of the fastest to the slowest rotation, as in Su et al. 2021."""


def attention(
    q: Float[Array, "n s heads c"],
    k: Float[Array, "n u heads c"],
    v: Float[Array, "n u heads c"],
    first: Int[Array, ""] | int = 0,
) -> Float[Array, "n s heads c"]:
    """Causal attention of s positions, the first of which is number `first`, to u positions from 0 on.

    Args:
        q: Queries.
        k: Keys.
        v: Values; those of later positions than the query's are not read.
        first: Position of the first query.

    Returns:
        For every query and head, the mean of the values up to its own position, weighted by softmax(q·k / √c).
    """
    past = jnp.arange(k.shape[1])[None, :] <= first + jnp.arange(q.shape[1])[:, None]
    return jax.nn.dot_product_attention(q, k, v, mask=past[None, None])


def self_attention(
    q: Float[Array, "n t heads c"], k: Float[Array, "n t heads c"], v: Float[Array, "n t heads c"]
) -> Float[Array, "n t heads c"]:
    """`attention` of all positions of a sequence, in bounded memory.

    Args:
        q: Queries.
        k: Keys.
        v: Values.

    Returns:
        As `attention`, to rounding.
    """
    n, t, heads, c = q.shape
    if t <= DENSE:
        return attention(q, k, v)
    if _is_fused(q):
        return jax.nn.dot_product_attention(q, k, v, is_causal=True, implementation="cudnn")
    block = max(_BLOCK, -(-t // _BLOCKS))
    at_once = _HEADS if jax.default_backend() == "cpu" else max(1, _WEIGHTS // (block * t))
    by_head = (x.swapaxes(1, 2).reshape(n * heads, t, c) for x in (q, k, v))
    of_head = jax.checkpoint(lambda qkv: _blockwise(*qkv, block=block))  # or each block would keep a copy of its keys
    mixed = jax.lax.map(of_head, tuple(by_head), batch_size=at_once)
    return mixed.reshape(n, heads, t, c).swapaxes(1, 2)


def attend_to_cache(
    q: Float[Array, "n 1 heads c"],
    keys: Float[Array, "n heads c t"],
    values: Float[Array, "n heads c t"],
    position: Int[Array, ""] | int,
) -> Float[Array, "n 1 heads c"]:
    """`attention` of one position, to keys and values that lie as a processor reads them: no step of sampling copies them.

    Args:
        q: Query of the position.
        keys: Of all positions, filled up to the query's own.
        values: Likewise.
        position: Number of the query's position.

    Returns:
        As `attention` of a single query, to rounding.
    """
    exact = jnp.promote_types(q.dtype, jnp.float32)
    scores = jnp.einsum("nhc,nhct->nht", q[:, 0], keys, preferred_element_type=exact) / q.shape[3] ** 0.5
    past = jnp.arange(keys.shape[3]) <= position
    weights = jax.nn.softmax(jnp.where(past, scores, jnp.finfo(exact).min), axis=-1).astype(values.dtype)
    return jnp.einsum("nht,nhct->nhc", weights, values)[:, None]


def _blockwise(
    q: Float[Array, "t c"], k: Float[Array, "t c"], v: Float[Array, "t c"], *, block: int
) -> Float[Array, "t c"]:
    """Causal attention of one head, block after block of its queries."""

    @functools.partial(jax.checkpoint, static_argnums=3)
    def of_block(q, k, v, first):
        return attention(q[None, :, None], k[None, :, None], v[None, :, None], first)[0, :, 0]

    starts = range(0, len(q), block)
    return jnp.concatenate([of_block(q[i : i + block], k[: i + block], v[: i + block], i) for i in starts])


def _is_fused(q: Float[Array, "n t heads c"]) -> bool:
    """Whether cuDNN's attention takes such queries: half precision, on an NVIDIA GPU, 128 channels at most, a multiple of 8."""
    half = q.dtype in (jnp.bfloat16, jnp.float16)
    return half and q.shape[3] <= 128 and q.shape[3] % 8 == 0 and _has_cuda()


def _has_cuda() -> bool:
    return jax.default_backend() == "gpu" and "cuda" in jax.devices()[0].client.platform_version.lower()


def rotary_angles(grid: tuple[int, int], channels: int) -> Float[np.ndarray, "t half"]:
    """Angles by which the pairs of channels of a head are rotated at each token of a grid, in raster order.

    The first half of the pairs turns with the row and the other half with the column, at geometrically falling speeds (Su et al.
    2021, "RoFormer", in two dimensions). A product of a query and a key then depends on rows and columns by their differences.

    Args:
        grid: (h, w).
        channels: Of a head; a multiple of 4.

    Returns:
        float32 (h·w, channels / 2), in radians.
    """
    speeds = _BASE ** -(np.arange(channels // 4) / (channels // 4))
    rows, columns = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    return np.concatenate([rows[:, None] * speeds, columns[:, None] * speeds], axis=1).astype(np.float32)


def rotate(x: Float[Array, "n s heads c"], angles: Float[Array | np.ndarray, "s half"]) -> Float[Array, "n s heads c"]:
    """Queries or keys with every pair of channels, i and i + c/2, rotated by its angle at each position.

    Args:
        x: Queries or keys.
        angles: (s, c/2), of their positions.

    Returns:
        As long as they were, in their own precision.
    """
    exact = jnp.promote_types(x.dtype, jnp.float32)
    cos, sin = (f(jnp.asarray(angles, exact))[None, :, None] for f in (jnp.cos, jnp.sin))
    one, other = jnp.split(x.astype(exact), 2, axis=-1)
    return jnp.concatenate([one * cos - other * sin, one * sin + other * cos], axis=-1).astype(x.dtype)
