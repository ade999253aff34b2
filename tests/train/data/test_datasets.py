import functools
import gzip
import hashlib
import http.server
import os
import pathlib
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from geovq.storage.arrays import load_arrays, save_arrays
from geovq.validation import InputError
from train.data import datasets as data
from train.data import tfds as tfds_source

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
Contents = dict[str, bytes]


def idx(array: np.ndarray) -> bytes:
    """The IDX file of a uint8 array, by the format's description: 0, 0, 8 (uint8), rank, sizes, entries."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">i", size) for size in array.shape) + array.tobytes()


def write(folder: pathlib.Path, contents: Contents, zipped: bool = True) -> pathlib.Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in contents.items():
        path = folder / (f"{file}.gz" if zipped else file)
        path.write_bytes(gzip.compress(content) if zipped else content)
    return folder


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Declares made-up files to be the official ones of a dataset, of whose training images `n_val` are cut off."""

    def declare(contents: Contents, name: str = "fashion_mnist", n_val: int = 2) -> None:
        files = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
        monkeypatch.setitem(data.SOURCES, name, data.SOURCES[name]._replace(files=files, n_val=n_val))

    return declare


@pytest.fixture
def contents(official: Callable[..., None]) -> Contents:
    """Seven training and four test images of 28x28, all different, declared official."""
    rng = np.random.default_rng(0)
    made = {
        FILES[0]: idx(rng.integers(0, 256, (7, 28, 28), np.uint8)),
        FILES[1]: idx(np.array([3, 1, 4, 1, 5, 9, 2], np.uint8)),
        FILES[2]: idx(rng.integers(0, 256, (4, 28, 28), np.uint8)),
        FILES[3]: idx(np.array([6, 5, 3, 0], np.uint8)),
    }
    official(made)
    return made


@pytest.mark.parametrize("zipped", [True, False])
def test_two_images_by_hand(tmp_path: pathlib.Path, official: Callable[..., None], zipped: bool) -> None:
    images = bytes.fromhex("00000803 00000002 00000001 00000003 000102 FDFEFF")
    labels = bytes.fromhex("00000801 00000002 07 09")
    made = dict(zip(FILES, (images, labels, images, labels), strict=True))
    official(made, n_val=1)
    found = data.load("fashion_mnist", write(tmp_path, made, zipped))
    assert found.test_images.tolist() == [[[[0], [1], [2]]], [[[253], [254], [255]]]]
    assert found.test_labels.tolist() == [7, 9]
    assert (found.class_names[7], found.class_names[9]) == ("Sneaker", "Ankle boot")
    assert {found.train_labels[0], found.val_labels[0]} == {7, 9}
    assert found.train_images[0, 0, 0, 0] == {7: 0, 9: 253}[int(found.train_labels[0])]
    assert all(a.dtype == np.uint8 and a.flags.writeable for a in found[0:6:2])
    assert all(a.dtype == np.int32 for a in found[1:6:2])


def test_official_files(fashion_dir: pathlib.Path) -> None:
    found = data.load("fashion_mnist", fashion_dir)
    sizes = [len(part) for part in found[:6]]
    assert sizes == [55_000, 55_000, 5_000, 5_000, 10_000, 10_000]
    assert found.train_images.shape[1:] == (28, 28, 1)
    labels = np.concatenate([found.train_labels, found.val_labels])
    assert np.bincount(labels).tolist() == [6_000] * 10
    assert np.bincount(found.test_labels).tolist() == [1_000] * 10
    # Xiao et al. give the training set's mean intensity as 0.2860
    total = sum(part.sum(dtype=np.int64) for part in (found.train_images, found.val_images))
    assert total / (60_000 * 784 * 255) == pytest.approx(0.2860, abs=5e-5)


def test_raw_and_gzipped_files_may_be_mixed(tmp_path: pathlib.Path, contents: Contents) -> None:
    zipped = data.load("fashion_mnist", write(tmp_path / "a", contents))
    write(tmp_path / "b", dict(list(contents.items())[:2]))
    mixed = data.load("fashion_mnist", write(tmp_path / "b", dict(list(contents.items())[2:]), zipped=False))
    assert data.fingerprint(zipped) == data.fingerprint(mixed)


def test_validation_is_cut_from_training_by_the_seed_alone(tmp_path: pathlib.Path, contents: Contents) -> None:
    load = functools.partial(data.load, "fashion_mnist", write(tmp_path, contents))
    whole = np.frombuffer(contents[FILES[0]], np.uint8, offset=16).reshape(7, 28, 28, 1)
    found = load(seed=3)
    order = np.random.default_rng(3).permutation(7)
    np.testing.assert_array_equal(found.val_images, whole[sorted(order[-2:])])
    np.testing.assert_array_equal(found.train_images, whole[sorted(order[:-2])])
    assert data.fingerprint(load(seed=3)) == data.fingerprint(found)
    others = [load(seed=s) for s in range(8)]
    assert len({o.val_images.tobytes() for o in others}) > 1
    assert len({o.test_images.tobytes() for o in others}) == 1


def test_digits() -> None:
    from sklearn.datasets import load_digits

    found, other = data.load("digits", seed=0), data.load("digits", seed=1)
    assert [len(part) for part in found[:6]] == [1297, 1297, 200, 200, 300, 300]
    assert all(part.shape[1:] == (28, 28, 1) and part.dtype == np.uint8 for part in found[0:6:2])
    assert all(part.dtype == np.int32 for part in found[1:6:2])
    assert (found.train_images.min(), found.train_images.max()) == (0, 255)
    assert np.bincount(found.test_labels).tolist() == [30] * 10
    np.testing.assert_array_equal(found.test_images, other.test_images)
    assert found.val_images.tobytes() != other.val_images.tobytes()
    assert found.class_names == tuple("0123456789")
    # nothing is lost and no image comes twice: the three parts together are the whole of scikit-learn's set
    images = np.concatenate(found[0:6:2])
    labels = np.concatenate(found[1:6:2])
    bunch = load_digits()
    np.testing.assert_array_equal(np.bincount(labels), np.bincount(bunch.target))
    assert images.mean() == pytest.approx(bunch.images.mean() * 255 / 16, rel=0.05)
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(
        np.unique(bunch.images.reshape(len(bunch.images), -1), axis=0)
    )


def test_fingerprint_sees_every_part() -> None:
    images, labels = [np.full((2, 1, 1, 1), i, np.uint8) for i in range(3)], [np.full(2, i) for i in range(3)]
    base = data.Dataset(images[0], labels[0], images[1], labels[1], images[2], labels[2], ("a", "b"))
    changed = [base._replace(**{field: getattr(base, field) + 1}) for field in base._fields[:6]]
    changed += [base._replace(class_names=("a", "c"))]
    changed += [base._replace(train_labels=base.train_labels.astype(np.int32))]
    changed += [base._replace(train_images=base.train_images.reshape(1, 2, 1, 1))]
    changed += [base._replace(train_images=base.val_images, val_images=base.train_images)]
    prints = [data.fingerprint(d) for d in (base, *changed)]
    assert len(set(prints)) == len(prints)
    assert all(len(p) == 64 for p in prints)


def test_epoch_order_is_a_pure_function() -> None:
    first = data.epoch_order(100, seed=1, epoch=2)
    assert sorted(first) == list(range(100))
    np.testing.assert_array_equal(first, data.epoch_order(100, seed=1, epoch=2))
    others = [data.epoch_order(100, 1, 3), data.epoch_order(100, 2, 2), data.epoch_order(100, 2, 1)]
    assert all((first != o).any() for o in others)
    assert data.epoch_order(1, 0, 0).tolist() == [0]


@pytest.mark.parametrize(("n", "seed", "epoch"), [(0, 0, 0), (3, -1, 0), (3, 0, -1)])
def test_epoch_order_refuses(n: int, seed: int, epoch: int) -> None:
    with pytest.raises(InputError, match=r"expected .* found"):
        data.epoch_order(n, seed, epoch)


def test_unknown_name_and_bad_seed(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match="expected one of fashion_mnist, mnist, digits, found 'cifar'"):
        data.load("cifar", tmp_path)
    with pytest.raises(InputError, match="seed: expected an integer >= 0, found -1"):
        data.load("digits", seed=-1)


def test_missing_folder_and_files(tmp_path: pathlib.Path, contents: Contents) -> None:
    with pytest.raises(InputError, match=r"nowhere: expected a folder, found nothing of that name; pass the folder"):
        data.load("fashion_mnist", tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: expected a folder, found a file"):
        data.load("fashion_mnist", tmp_path / "file")
    del contents[FILES[1]], contents[FILES[2]]
    with pytest.raises(InputError) as caught:
        data.load("fashion_mnist", write(tmp_path / "half", contents))
    message = str(caught.value)
    assert str(tmp_path / "half") in message
    assert all(file in message.split("found no")[0] for file in FILES)
    assert message.split("found no")[1].split(";")[0].strip() == f"{FILES[1]}, {FILES[2]}"


def swapped(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


@pytest.mark.parametrize(
    ("file", "spoil", "message"),
    [
        (FILES[0], lambda c: b"", "begins with 00000803, found an empty file"),
        (FILES[0], lambda c: c[:3], "begins with 00000803, found 000008;"),
        (FILES[0], lambda c: c[:9], r"expected 16 bytes for its \(7, 0, 0\) entries"),
        (FILES[0], lambda c: swapped(c, 3, b"\1"), "begins with 00000803, found 00000801; .* swapped"),
        (FILES[1], lambda c: swapped(c, 2, b"\x0d"), "begins with 00000801, found 00000d01"),
        (FILES[0], lambda c: c[:-1], "expected 5,504 bytes .* found 5,503"),
        (FILES[2], lambda c: c + b"\0", "expected 3,152 bytes .* found 3,153"),
        (FILES[0], lambda c: swapped(c, 4, b"\xff" * 12), "expected .* bytes for its .* found 5,504"),
        (FILES[1], lambda c: idx(np.zeros(0, np.uint8)), r"its \(0,\) entries \(at least one\)"),
        (FILES[1], lambda c: idx(np.zeros(8, np.uint8)), "expected 7 labels, one for each image, found 8"),
        (FILES[3], lambda c: idx(np.array([0, 1, 10, 2], np.uint8)), r"expected labels in 0\.\.9, found 10 at 2"),
        (
            FILES[0],
            lambda c: swapped(c, 500, bytes([c[500] ^ 1])),
            "official fashion_mnist file .* of no known dataset",
        ),
        (FILES[3], lambda c: swapped(c, 8, bytes([c[8] - 1])), "official fashion_mnist file"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_spoilt_file(
    tmp_path: pathlib.Path,
    contents: Contents,
    file: str,
    spoil: Callable[[bytes], bytes],
    message: str,
    zipped: bool,
) -> None:
    contents[file] = spoil(contents[file])
    with pytest.raises(InputError, match=f"{file}.*{message}"):
        data.load("fashion_mnist", write(tmp_path, contents, zipped))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda z: z[: len(z) // 2],
        lambda z: z[:-4],
        lambda z: z[:1],
        lambda z: b"",
        lambda z: b"plain text",
        lambda z: swapped(z, len(z) // 2, bytes(8)),
        lambda z: swapped(z, 10, b"\x07"),  # a block type that deflate does not have
    ],
)
def test_damaged_gzip(tmp_path: pathlib.Path, contents: Contents, spoil: Callable[[bytes], bytes]) -> None:
    path = write(tmp_path, contents) / f"{FILES[0]}.gz"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match=f"{FILES[0]}.gz: expected .*; .*download it again"):
        data.load("fashion_mnist", tmp_path)


def test_files_of_another_dataset_are_named(
    tmp_path: pathlib.Path, contents: Contents, official: Callable[..., None]
) -> None:
    digits = {file: swapped(content, len(content) - 1, b"\0") for file, content in contents.items()}
    digits[FILES[0]] = swapped(contents[FILES[0]], 16, bytes(4))
    official(digits, name="mnist")
    with pytest.raises(InputError, match=r"expected the official fashion_mnist file .* that of mnist"):
        data.load("fashion_mnist", write(tmp_path, digits))


# --- through tensorflow-datasets ---


@pytest.fixture
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/geovq"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfds_source, "unreachable", lambda url: "cable cut")


def register(monkeypatch: pytest.MonkeyPatch, contents: Contents) -> None:
    """Registers made-up files with tensorflow-datasets, as its url_checksums do for the official ones."""
    from tensorflow_datasets.core.download import checksums
    from tensorflow_datasets.image_classification import mnist

    infos = {}
    for file, content in contents.items():
        zipped = gzip.compress(content, mtime=0)
        infos[f"{mnist.FashionMNIST.URL}{file}.gz"] = checksums.UrlInfo(
            size=len(zipped), checksum=hashlib.sha256(zipped).hexdigest(), filename=f"{file}.gz"
        )
    monkeypatch.setattr(checksums, "get_all_url_infos", lambda: infos)


def place_by_hand(cache: pathlib.Path, contents: Contents) -> pathlib.Path:
    folder = cache / "tfds/downloads/manual/fashion_mnist"
    folder.mkdir(parents=True)
    for file, content in contents.items():
        (folder / f"{file}.gz").write_bytes(gzip.compress(content, mtime=0))
    return folder


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # np.load leaves a truncated .npz open
@pytest.mark.usefixtures("offline")
def test_tfds_and_folder_agree_and_the_cache_is_used(
    tmp_path: pathlib.Path, cache: pathlib.Path, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, contents)
    place_by_hand(cache, contents)
    expected = data.fingerprint(data.load("fashion_mnist", write(tmp_path / "folder", contents), seed=5))
    through_tfds = data.load("fashion_mnist", seed=5)
    assert data.fingerprint(through_tfds) == expected
    assert "tensorflow" not in sys.modules
    assert list((cache / "tfds/fashion_mnist").glob("*/fashion_mnist-train.array_record*"))

    with monkeypatch.context() as patch:
        patch.setattr(tfds_source, "_through_tfds", None)  # what is cached is not prepared again
        cached = data.load("fashion_mnist", seed=5)
        assert data.fingerprint(cached) == expected
        assert all(a.flags.writeable and a.dtype == b.dtype for a, b in zip(cached[:6], through_tfds[:6], strict=True))

    path = cache / "fashion_mnist.npz"
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    for content in (bytes(damaged), whole[:1000], b""):
        path.write_bytes(content)
        with pytest.warns(UserWarning, match="cache is made again"):
            assert data.fingerprint(data.load("fashion_mnist", seed=5)) == expected
        assert load_arrays(path)[1]["dataset"] == "fashion_mnist"

    save_arrays(path, {"train_images": np.zeros(3)}, {"dataset": "fashion_mnist", "files": {}})
    with pytest.warns(UserWarning, match="made from other files"):
        assert data.fingerprint(data.load("fashion_mnist", seed=5)) == expected


@pytest.mark.usefixtures("offline")
def test_damaged_records_are_refused(cache: pathlib.Path, contents: Contents, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, contents)
    place_by_hand(cache, contents)
    data.load("fashion_mnist")
    (cache / "fashion_mnist.npz").unlink()
    records = next((cache / "tfds/fashion_mnist").glob("*/fashion_mnist-train.array_record*"))
    test_records = next(records.parent.glob("fashion_mnist-test.array_record*"))
    whole = records.read_bytes()
    for content in (test_records.read_bytes(), whole[: len(whole) // 2], b""):
        records.write_bytes(content)
        with pytest.raises(InputError, match=r"prepared by tensorflow-datasets, found .*; remove that folder"):
            data.load("fashion_mnist")
    records.write_bytes(whole)
    (records.parent / "dataset_info.json").unlink()
    with pytest.raises(InputError, match=r"prepared by tensorflow-datasets, found .*; remove that folder"):
        data.load("fashion_mnist")


@pytest.mark.usefixtures("offline")
def test_records_of_other_files_are_refused(
    cache: pathlib.Path, contents: Contents, official: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = contents | {FILES[1]: swapped(contents[FILES[1]], 8, b"\0")}
    official(other)
    register(monkeypatch, other)
    place_by_hand(cache, other)
    data.load("fashion_mnist")
    (cache / "fashion_mnist.npz").unlink()
    official(contents)
    with pytest.raises(InputError, match=f"found other content than that of {FILES[1]}; remove that folder"):
        data.load("fashion_mnist")


@pytest.mark.usefixtures("offline")
def test_wrong_file_placed_by_hand(cache: pathlib.Path, contents: Contents, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, contents)
    spoilt = contents | {FILES[0]: swapped(contents[FILES[0]], 500, bytes(8))}
    folder = place_by_hand(cache, spoilt)
    with pytest.raises(InputError, match="expected the four official files, found NonMatchingChecksumError"):
        data.load("fashion_mnist")
    register(monkeypatch, spoilt)  # a checksum of theirs that is wrong, too: the content is still checked by ours
    with pytest.raises(InputError, match=f"{folder}/{FILES[0]}.gz: expected the official fashion_mnist file"):
        data.load("fashion_mnist")
    assert not (cache / "fashion_mnist.npz").exists()


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["fashion_mnist", "mnist"])
def test_no_network_is_one_message(cache: pathlib.Path, name: str) -> None:
    start = time.monotonic()
    with pytest.raises(InputError) as caught:
        data.load(name)
    assert time.monotonic() - start < 5
    message = str(caught.value)
    assert all(f"{file}.gz" in message for file in FILES)
    assert f"in {cache}/tfds/downloads/manual/{name}, or pass the folder that holds them (--data-dir)" in message
    assert "cable cut" in message


@pytest.fixture
def serve() -> Iterator[Callable[[pathlib.Path], str]]:
    """Serves a folder on this machine for the length of a test."""
    servers = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    def start(folder: pathlib.Path) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_download(
    tmp_path: pathlib.Path,
    cache: pathlib.Path,
    contents: Contents,
    serve: Callable[[pathlib.Path], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tensorflow_datasets.image_classification import mnist

    folder = write(tmp_path / "served", contents)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(mnist.FashionMNIST, "URL", serve(folder))
    assert data.fingerprint(data.load("fashion_mnist")) == data.fingerprint(data.load("fashion_mnist", folder))

    (cache / "fashion_mnist.npz").unlink()
    (folder / f"{FILES[0]}.gz").write_bytes(gzip.compress(contents[FILES[0]][:-1]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    with pytest.raises(InputError, match=r"expected 5,504 bytes .* found 5,503"):
        data.load("fashion_mnist")
    (folder / f"{FILES[2]}.gz").unlink()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a third"))
    with pytest.raises(InputError, match=r"expected the four official files, found DownloadError.*--data-dir"):
        data.load("fashion_mnist")


def test_unreachable(
    tmp_path: pathlib.Path, serve: Callable[[pathlib.Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").touch()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    url = serve(tmp_path)
    assert tfds_source.unreachable(f"{url}here") is None
    assert "404" in (tfds_source.unreachable(f"{url}gone") or "")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert "refused" in (tfds_source.unreachable(f"http://127.0.0.1:{closed.getsockname()[1]}/") or "")


def test_a_resolver_that_hangs_costs_less_than_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    woken = threading.Event()

    def hang(*args: object, **kwargs: object) -> None:
        woken.wait(60)
        raise OSError("woken")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    start = time.monotonic()
    assert tfds_source.unreachable("http://nowhere.invalid/") == "no answer within 3 s"
    assert time.monotonic() - start < 5
    woken.set()


@pytest.mark.usefixtures("offline")
def test_a_cache_that_cannot_be_written_is_no_loss(
    tmp_path: pathlib.Path, cache: pathlib.Path, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise InputError("no space left")

    register(monkeypatch, contents)
    place_by_hand(cache, contents)
    monkeypatch.setattr(tfds_source, "save_arrays", full)
    with pytest.warns(UserWarning, match="not cached, because of no space left"):
        found = data.load("fashion_mnist")
    assert data.fingerprint(found) == data.fingerprint(data.load("fashion_mnist", write(tmp_path / "f", contents)))


def test_cache_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert tfds_source.cache_dir() == tmp_path / "x/geovq"
    for ignored in ("", "relative"):  # as the XDG base directory specification asks
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert tfds_source.cache_dir() == tmp_path / ".cache/geovq"


def test_import_is_light() -> None:
    heavy = "{'jax', 'tensorflow_datasets', 'tensorflow', 'sklearn', 'PIL'}"
    code = f"import sys, train.data.datasets; print(sorted({heavy} & set(sys.modules)))"
    root = pathlib.Path(data.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.stdout.strip() == "[]"
