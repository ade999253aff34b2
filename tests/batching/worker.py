"""A program that `tests/batching/test_processes.py` runs in several processes: what they compute, in FOLDER/INDEX.npz."""

import pathlib
import sys

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from geovq.batching import processes
from geovq.batching.chunks import map_chunks
from geovq.batching.run import run, run_summed
from geovq.storage.arrays import save_arrays
from geovq.storage.files import turn, write_bytes

ROWS = np.arange(26, dtype=np.float32).reshape(13, 2)


class Cube:
    """Kernel: the third power of a latent."""

    def passes(self, shape: tuple[int, ...]) -> int:
        """As many as it has entries."""
        return shape[0]

    def __call__(self, decode: Partial, z: np.ndarray, *, at_once: int) -> np.ndarray:
        """Of one latent."""
        return decode(z) ** 3


def compute() -> dict[str, np.ndarray]:
    """Everything that several processes share."""
    cube, decode = Cube(), Partial(lambda scale, z: scale * z, np.float32(2))
    total, halves = map_chunks(lambda x: (jnp.sum(x, axis=1), x / 2), ROWS, chunk=3)
    return {
        "total": total,
        "halves": halves,
        "wide": map_chunks(lambda x: np.asarray(x, np.float64) / 3, ROWS[:1], chunk=8),
        "cubes": run(cube, decode, ROWS),
        "sum": run_summed(cube, decode, ROWS),
        "sum of one": run_summed(cube, decode, ROWS[:1]),
    }


def main() -> None:
    """Computes, and writes what was found; the first process writes for both what both would write."""
    folder = pathlib.Path(sys.argv[1])
    part = processes.join()
    found = compute()
    with processes.on_its_own() as own:
        found["own"] = map_chunks(lambda x: x + own.index, ROWS[own.index :: own.count], chunk=4)
        save_arrays(folder / f"{part.index}.npz", found, {})
        write_bytes(folder / f"own-{part.index}", b"own")
    (folder / "late").exists()
    write_bytes(folder / "once", str(part.index).encode())
    with turn() as mine:
        assert mine == (part.index == 0)
        if mine:
            write_bytes(folder / "within", b"nobody waits for it")
    assert (folder / "once").read_bytes() == b"0"


if __name__ == "__main__":
    main()
