"""Files of arrays: what was saved comes back, and what was changed does not."""

import os

import ml_dtypes
import numpy as np
import pytest

from geovq.storage.arrays import load_arrays, save_arrays, stored_digest
from geovq.storage.bits import digest
from geovq.storage.records import read_json
from geovq.validation import InputError


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    return {"a": np.arange(6, dtype=np.int32).reshape(2, 3), "empty": np.zeros((0, 2)), "scalar": np.array(1.5)}


def test_round_trip(tmp_path, arrays):
    sha = save_arrays(tmp_path / "x.npz", arrays, {"kind": "test", "sizes": [1, 2]})
    found, meta = load_arrays(tmp_path / "x.npz")
    assert meta == {"kind": "test", "sizes": [1, 2]}
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    assert sha == stored_digest(tmp_path / "x.npz") == digest(arrays, meta)
    assert os.listdir(tmp_path) == ["x.npz"]


def test_digest_sees_names_dtypes_shapes_values_and_meta(arrays):
    base = digest(arrays)
    changed = [
        {**arrays, "a": arrays["a"] + 1},
        {**arrays, "a": arrays["a"].reshape(3, 2)},
        {**arrays, "a": arrays["a"].astype(np.uint32)},
        {"b": arrays["a"], "empty": arrays["empty"], "scalar": arrays["scalar"]},
    ]
    assert len({base, *(digest(other) for other in changed), digest(arrays, {"x": 1})}) == 6
    assert digest(arrays) == digest(dict(reversed(arrays.items())))


KINDS = ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "float16", ">f4", "<c8", "bool", "<M8[s]", "<U3"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_dtype_comes_back_to_the_bit(tmp_path, kind):
    """Also those that JAX adds to NumPy; empty, of no axes, not contiguous, and read-only."""
    whole = np.arange(6).reshape(2, 3).astype(ml_dtypes.finfo(kind).dtype if "float8" in kind else kind)
    whole.flags.writeable = False
    arrays = {"whole": whole, "slanted": whole.T, "one": whole[0, 1, ...], "none": whole[:0]}
    sha = save_arrays(tmp_path / "x.npz", arrays, {})
    assert stored_digest(tmp_path / "x.npz") == sha == digest(arrays)
    found, _ = load_arrays(tmp_path / "x.npz")
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert (found[name].shape, found[name].tobytes()) == (array.shape, array.tobytes())


def test_digest_tells_dtypes_of_one_size_apart():
    bits = np.arange(4, dtype=np.uint8)
    eights = [bits.view(kind) for kind in (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.int4, np.int8)]
    assert len({digest({"a": bits}), *(digest({"a": array}) for array in eights)}) == 5
    assert digest({"a": bits.view(np.float16)}) != digest({"a": bits.view(ml_dtypes.bfloat16)})


@pytest.mark.parametrize("other", ["float16", "float8_e5m2", "no dtype", "object"])
def test_a_changed_dtype_is_refused(tmp_path, other):
    path = tmp_path / "x.npz"
    save_arrays(path, {"a": np.arange(3, dtype=ml_dtypes.bfloat16)}, {})
    with np.load(path) as file:
        members = dict(file)
    members["__meta__"] = np.array(str(members["__meta__"]).replace("bfloat16", other))
    np.savez(path, **members)
    with pytest.raises(InputError, match=r"the content was changed|cannot be read"):
        load_arrays(path)


@pytest.mark.parametrize("keep", [0, 10, 300, -1])
def test_truncated_file_is_refused(tmp_path, arrays, keep):
    path = tmp_path / "x.npz"
    save_arrays(path, arrays, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"cannot be read"):
        load_arrays(path)


def test_changed_values_are_refused(tmp_path, arrays):
    path = tmp_path / "x.npz"
    save_arrays(path, arrays, {})
    with np.load(path) as file:
        members = dict(file)
    members["a"] = members["a"] + 1
    np.savez(path, **members)
    with pytest.raises(InputError, match="the content was changed"):
        load_arrays(path)


def test_no_flipped_bit_gives_other_arrays(tmp_path):
    """Most bits are noticed; the others, such as dates in the archive's index, change nothing that is read."""
    path = tmp_path / "x.npz"
    save_arrays(path, {"a": np.arange(5)}, {"b": 1})
    whole = path.read_bytes()
    refused = 0
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 1 << position % 8
        path.write_bytes(data)
        try:
            arrays, meta = load_arrays(path)
        except InputError:
            refused += 1
        else:
            np.testing.assert_array_equal(arrays["a"], np.arange(5), strict=True)
            assert meta == {"b": 1}
    assert refused > len(whole) / 2


def test_pickles_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.array([{"an": "object"}], dtype=object))
    with pytest.raises(InputError, match="cannot be read"):
        load_arrays(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.npz: expected a .npz file of arrays.*, found none; check"):
        load_arrays(tmp_path / "none.npz")
    with pytest.raises(InputError, match=r"none\.json: expected a JSON file, found none"):
        read_json(tmp_path / "none.json")
