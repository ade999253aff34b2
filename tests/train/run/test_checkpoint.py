"""Checkpoints: what was saved comes back to the bit; what is damaged is passed over, never restored."""

import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from geovq.models.config import VAEConfig
from geovq.models.spatial_vae import SpatialVAE
from geovq.validation import InputError
from train.run.checkpoint import Checkpoints, Restored, tree_digest

# Where a read fails, Orbax's other readers end after its event loop.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def tree(value: float) -> dict:
    return {"w": np.full((3, 4), value, np.float32), "inner": {"step": np.int64(value), "sum": np.float64(value / 3)}}


def restored(checkpoints: Checkpoints, like: dict) -> Restored:
    found = checkpoints.restore(like)
    assert found is not None
    return found


def flip_largest_file(folder: pathlib.Path) -> None:
    """Changes one bit in the middle of the step's largest data file."""
    path = max((p for p in folder.rglob("d/*") if p.is_file()), key=lambda p: p.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def test_round_trip_to_the_bit(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.restore(tree(0)) is None
        sha = checkpoints.save(7, tree(1))
        found = checkpoints.restore(tree(0))
    assert found is not None
    assert (found.step, found.sha256) == (7, sha)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b, strict=True), found.state, tree(1))
    assert tree_digest(found.state) == tree_digest(tree(1)) != tree_digest(tree(2))


def test_halves_and_random_keys(tmp_path):
    """Parameters in every precision that modules have, and the keys that a module owns."""
    dtypes = (jnp.bfloat16, jnp.float16, jnp.float8_e4m3fn, jnp.float32)
    keys = {"key": jax.random.key(3), "keys": jax.random.split(jax.random.key(4, impl="rbg"))}
    state = {"halves": [jnp.arange(3).astype(dtype) for dtype in dtypes], **keys}
    like = {"halves": [jnp.zeros(3, dtype) for dtype in dtypes], **jax.tree.map(jnp.zeros_like, keys)}
    with Checkpoints(tmp_path) as checkpoints:
        sha = checkpoints.save(1, state)
        found = restored(checkpoints, like)
        with pytest.raises(InputError, match=r"expected halves\.0 as float16 \(3,\), found bfloat16 \(3,\)"):
            checkpoints.restore({"halves": [like["halves"][1]]})
    assert tree_digest(found.state) == tree_digest(state) == sha
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b, strict=True), found.state["halves"], state["halves"])
    for name, key in keys.items():
        assert found.state[name].dtype == key.dtype
        np.testing.assert_array_equal(jax.random.key_data(found.state[name]), jax.random.key_data(key))


def test_model_and_optimizer(tmp_path):
    params = nnx.state(SpatialVAE(VAEConfig((8, 8, 1), (2, 2), 3, 4, 4), rngs=nnx.Rngs(0)))
    state = {"params": params, "optimizer": optax.adamw(1e-3).init(params)}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
        found = checkpoints.restore({"params": params})
    assert found is not None
    assert tree_digest(found.state["params"]) == tree_digest(params)


def test_the_newest_two_are_kept(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, tree(step))
        assert checkpoints.steps() == [2, 3]
        assert restored(checkpoints, tree(0)).step == 3


def test_damaged_step_is_passed_over_and_can_be_saved_again(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, tree(1))
        checkpoints.save(2, tree(2))
    flip_largest_file(tmp_path / "2")
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.warns(RuntimeWarning, match="checkpoint 2 .* is damaged"):
            found = restored(checkpoints, tree(0))
        assert found.step == 1
        assert found.state["w"][0, 0] == 1
        checkpoints.save(2, tree(2))
        assert restored(checkpoints, tree(0)).step == 2


def test_silently_changed_values_are_noticed(tmp_path, monkeypatch):
    """Orbax restores what it reads; only the stored digest tells."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, tree(1))
        real = checkpoints._manager.restore

        def changed(step, args):
            restored = real(step, args=args)
            if "state" in restored:
                restored["state"]["w"][0, 0] += 1e-7
            return restored

        monkeypatch.setattr(checkpoints._manager, "restore", changed)
        with (
            pytest.warns(RuntimeWarning, match="expected sha256"),
            pytest.raises(InputError, match=r"found 1 damaged ones \(steps 1\)"),
        ):
            checkpoints.restore(tree(0))


def test_truncated_step_is_passed_over(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, tree(1))
        checkpoints.save(2, tree(2))
    for path in (tmp_path / "2" / "state").rglob("d/*"):
        path.write_bytes(path.read_bytes()[:5])
    with Checkpoints(tmp_path) as checkpoints, pytest.warns(RuntimeWarning, match="damaged"):
        assert restored(checkpoints, tree(0)).step == 1


@pytest.mark.parametrize(
    "like",
    [
        {"w": np.zeros((4, 4), np.float32)},
        {"w": np.zeros((3, 4), np.float64)},
        {"other": np.zeros(3)},
    ],
)
def test_checkpoint_of_another_model_is_refused(tmp_path, like):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, tree(1))
        with pytest.raises(InputError, match="the checkpoint is of another model"):
            checkpoints.restore(like)


def test_full_disk_is_one_message_and_loses_nothing(tmp_path, monkeypatch):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, tree(1))

        def full(*_, **__):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(checkpoints._manager, "save", full)
            with pytest.raises(InputError, match=r"No space left on device.*goes on from step 1"):
                checkpoints.save(2, tree(2))
        assert restored(checkpoints, tree(0)).step == 1


def test_too_little_space_is_noticed_before_anything_is_written(tmp_path, monkeypatch):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, tree(1))
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr("train.run.checkpoint.shutil.disk_usage", lambda _: usage._replace(free=100))
        with pytest.raises(InputError, match=r"100 bytes free for 64 bytes.*goes on from step 1"):
            checkpoints.save(2, tree(2))
        assert checkpoints.steps() == [1]


def test_saved_from_another_device_restores_to_the_host(tmp_path):
    """Nothing of the device or its sharding is stored: what comes back is NumPy."""
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    state = {"w": jax.device_put(jnp.arange(4.0), sharding)}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
        found = restored(checkpoints, {"w": np.zeros(4, np.float32)})
    assert type(found.state["w"]) is np.ndarray
    assert not list(tmp_path.rglob("*sharding*"))
