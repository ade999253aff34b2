"""What the examples share: images, a training loop, and a picture of rows of images."""

import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import optax
from flax import nnx
from jaxtyping import Float, Int


def digits() -> tuple[Float[np.ndarray, "n 8 8 1"], Int[np.ndarray, " n"]]:
    """The 1,797 digits of scikit-learn, intensities in [0, 1], in an order without meaning, and what each is."""
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.images))
    return (found.images[order, :, :, None] / 16).astype(np.float32), found.target[order]


def train(
    module: nnx.Module, loss: Callable, data: Sequence[np.ndarray], steps: int, *, rate: float = 2e-3, batch: int = 128
) -> list[float]:
    """Trains a module in place by AdamW with a falling rate.

    Args:
        module: The network.
        loss: Takes the module and a batch of each array to one number.
        data: Arrays whose rows belong together.
        steps: Of the optimiser.
        rate: The largest learning rate.
        batch: Rows of a step.

    Returns:
        The loss of every step.
    """
    optimizer = nnx.Optimizer(module, optax.adamw(optax.cosine_decay_schedule(rate, steps)), wrt=nnx.Param)

    @nnx.jit
    def step(module: nnx.Module, optimizer: nnx.Optimizer, *rows: np.ndarray) -> Float[np.ndarray, ""]:
        value, gradients = nnx.value_and_grad(loss)(module, *rows)
        optimizer.update(module, gradients)
        return value

    rng, values = np.random.default_rng(0), []
    for _ in range(steps):
        rows = rng.integers(len(data[0]), size=min(batch, len(data[0])))
        values.append(step(module, optimizer, *(each[rows] for each in data)))
    return [float(value) for value in values]


def save_rows(path: pathlib.Path, rows: Mapping[str, Float[np.ndarray, "n H W C"]]) -> None:
    """Draws rows of images with their names at the left.

    Args:
        path: The PNG to write.
        rows: Images in [0, 1] by name, as many in each row.
    """
    from matplotlib.figure import Figure

    columns = len(next(iter(rows.values())))
    figure = Figure(figsize=(1.8 + 0.62 * columns, 0.66 * len(rows)), layout="constrained")
    for line, (name, images) in zip(figure.subplots(len(rows), columns, squeeze=False), rows.items(), strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image.clip(0, 1).squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.set(xticks=[], yticks=[], frame_on=False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    figure.savefig(path, dpi=100, metadata={"Software": None})
