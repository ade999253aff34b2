"""What else a codebook may be good for than reconstruction: codes that mean something, that are stable, that bear noise."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score

from benchmarks.common.rows import Row
from geovq.scores.intervals import bootstrap_interval
from geovq.tokenizer.tokenizer import Tokenizer

NOISE = 0.1
"""Standard deviation of the noise on latents, in those of each dimension over the data."""


def class_information(tokens: Int[np.ndarray, "n h w"], labels: Int[np.ndarray, " n"]) -> tuple[float, float]:
    """Normalized mutual information of codes and classes over all tokens, and the purity: how often a code's commonest class."""
    flat, classes = tokens.ravel(), np.repeat(labels, tokens[0].size)
    table = np.zeros((flat.max() + 1, classes.max() + 1))
    np.add.at(table, (flat, classes), 1)
    return float(normalized_mutual_info_score(classes, flat)), float(table.max(axis=1).sum() / table.sum())


def stability(tokens: Sequence[Int[np.ndarray, "n h w"]]) -> list[float]:
    """Adjusted mutual information of the tokens of the same images under each two of several VAEs."""
    return [
        float(adjusted_mutual_info_score(first.ravel(), second.ravel()))
        for i, first in enumerate(tokens)
        for second in tokens[i + 1 :]
    ]


def kept_under_noise(tokenizer: Tokenizer, latents: Float[np.ndarray, "n h w d"]) -> Float[np.ndarray, " n"]:
    """Part of an image's tokens that stay the same when its latents move at random."""
    scale = NOISE * latents.std(axis=(0, 1, 2))
    moved = latents + scale * np.random.default_rng(0).standard_normal(latents.shape).astype(np.float32)
    same = tokenizer.assign_latents(latents) == tokenizer.assign_latents(moved.astype(np.float32))
    return same.reshape(len(same), -1).mean(axis=1)


def semantic_rows(
    codebook: str,
    k: int,
    tokens: Sequence[Int[np.ndarray, "n h w"]],
    kept: Sequence[Float[np.ndarray, " n"]],
    labels: Int[np.ndarray, " n"],
) -> list[Row]:
    """Rows of one codebook, assigned by whitened distance, out of the tokens of every seed."""
    fields: Row = {"case": "semantics", "codes": k, "system": "ours", "codebook": codebook, "assign": "whitened"}
    information, purity = np.array([class_information(found, labels) for found in tokens]).T
    rows = [
        _over(fields, "class_nmi", information),
        _over(fields, "class_purity", purity),
    ]
    if len(tokens) > 1:
        rows.append(_over(fields, "stability_ami", np.array(stability(tokens))))
    mean, low, high = bootstrap_interval(np.mean(kept, axis=0))
    rows.append({**fields, "score": "kept_under_noise", "value": mean, "low": low, "high": high, "n": len(labels)})
    return rows


def _over(fields: Row, score: str, values: np.ndarray) -> Row:
    """Mean over seeds, or pairs of seeds, between the least and the greatest."""
    return {
        **fields,
        "score": score,
        "value": float(values.mean()),
        "low": float(values.min()),
        "high": float(values.max()),
        "n": len(values),
    }
