"""The registered data sets: what they promise without opening a file is what loading delivers."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from minform_cli.config.schema import DataConfig
from minform_cli.data.images import cifar as cifar_module
from minform_cli.data.images import idx
from minform_cli.data.images.cifar import CifarSet, load_cifar
from minform_cli.data.images.idx import IdxFile, IdxSet, load_idx
from minform_cli.data.load import load_data
from minform_cli.data.spec import DATA_SETS
from minform_cli.errors import InputError

PUBLISHED = {  # name: (channels, height, classes, train, val, test)
    "digits": (1, 8, 10, 1257, 270, 270),
    "mnist": (1, 28, 10, 55000, 5000, 10000),
    "fashion-mnist": (1, 28, 10, 55000, 5000, 10000),
    "cifar10": (3, 32, 10, 45000, 5000, 10000),
    "cifar100": (3, 32, 100, 45000, 5000, 10000),
    "imagenet-folder": (3, 224, 1000, 1281167, 50000, 0),
}


def test_table_above_names_every_set_that_has_published_sizes() -> None:
    of_the_user = {"image-folder", "text", "parallel-text", "multi30k", "pydoc-topics", "glue"}
    assert set(PUBLISHED) | of_the_user == set(DATA_SETS.names())


@pytest.mark.parametrize("name", PUBLISHED)
def test_spec_has_the_published_sizes(name: str) -> None:
    spec = DATA_SETS.get(name).spec(DataConfig(name=name))
    sizes = (spec.num_train, spec.num_val, spec.num_test)
    assert (spec.channels, spec.height, spec.num_classes, *sizes) == PUBLISHED[name]
    assert spec.width == spec.height
    assert len(set(spec.class_names)) == spec.num_classes


@pytest.mark.parametrize("name", DATA_SETS.names())
def test_every_set_has_a_line_for_the_table_of_data_sets(name: str) -> None:
    module = DATA_SETS.get(name)
    assert module.SUMMARY.isprintable()
    assert module.SOURCE.isprintable()


def test_specs_import_neither_numpy_nor_torch_nor_sklearn() -> None:
    code = (
        "import sys; from minform_cli.config.schema import DataConfig; from minform_cli.data.spec import DATA_SETS\n"
        "for name in DATA_SETS.names():\n"
        "    module = DATA_SETS.get(name)\n"
        "    subset = 'sst2' if name == 'glue' else None\n"
        "    if name != 'image-folder': module.spec(DataConfig(name=name, subset=subset))\n"
        "print([m for m in ('numpy', 'torch', 'sklearn', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_digits_load_with_the_sizes_of_the_spec_and_use_all_values_from_0_to_255() -> None:
    data = load_data(DataConfig(name="digits"))
    assert data.train.images.shape == (1257, 1, 8, 8)
    assert data.train.images.dtype == np.uint8
    assert data.train.labels.dtype == np.int64
    assert (len(data.val), len(data.test)) == (270, 270)
    assert set(np.unique(data.train.images)) == {v * 255 // 16 for v in range(17)}


def test_digits_on_the_test_set_train_on_everything_else() -> None:
    data = load_data(DataConfig(name="digits", validation="test"))
    assert (len(data.train), len(data.val), data.test, data.spec.num_test) == (1527, 270, None, 0)


def test_imagenet_without_a_folder_has_a_spec_and_asks_for_the_folder_to_load(refused) -> None:
    module = DATA_SETS.get("imagenet-folder")
    assert module.spec(DataConfig(name="imagenet-folder", image_size=64)).height == 64
    assert "data.path" in refused(InputError, module.load_official, DataConfig(name="imagenet-folder"))


def test_validation_on_a_test_set_that_does_not_exist_is_refused(refused) -> None:
    config = DataConfig(name="imagenet-folder", validation="test")
    assert "accepted: holdout" in refused(InputError, DATA_SETS.get("imagenet-folder").spec, config)


# MNIST's format, on a small set of our own


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[IdxSet, Path, dict[str, bytes]]:
    """Four IDX files of 20 and 10 images, known by their SHA-256, and the folder they belong in."""
    random = np.random.default_rng(0)
    contents: dict[str, bytes] = {}
    files: list[IdxFile] = []
    for part, count in (("train", 20), ("t10k", 10)):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            name = f"{part}-{kind}-ubyte"
            contents[name] = idx_bytes(array)
            files.append(IdxFile(name, count, sha256=hashlib.sha256(contents[name]).hexdigest()))
    folder = tmp_path / "data" / "small" / "raw"
    folder.mkdir(parents=True)
    monkeypatch.setenv("MINFORM_DATA", str(tmp_path / "data"))
    return IdxSet("Small", ("small/raw", "raw"), ("https://mirror.invalid/",), *files), folder, contents


def write_all(folder: Path, contents: dict[str, bytes], packed: bool) -> None:
    for name, content in contents.items():
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_are_read_packed_and_unpacked(small, packed: bool) -> None:
    published, folder, contents = small
    write_all(folder, contents, packed)
    data = load_idx(published, holdout=10)
    assert data.train.images.shape == (20, 1, 28, 28)
    assert data.train.images.tobytes() == contents["train-images-idx3-ubyte"][16:]
    assert data.test.labels.tolist() == list(range(10))


def test_idx_files_are_found_in_torchvisions_layout_without_a_folder_of_the_set(small, tmp_path: Path) -> None:
    published, _, contents = small
    (tmp_path / "data" / "raw").mkdir()
    write_all(tmp_path / "data" / "raw", contents, packed=True)
    assert len(load_idx(published, holdout=10).train) == 20


def test_damaged_idx_files_are_refused_and_named(small, refused) -> None:
    published, folder, contents = small
    name = "train-images-idx3-ubyte"
    good = gzip.compress(contents[name])
    damaged = {
        "one byte changed": gzip.compress(
            contents[name][:500] + bytes([contents[name][500] ^ 1]) + contents[name][501:]
        ),
        "packed file cut": good[: len(good) // 2],
        "unpacked bytes cut": contents[name][:-1],
        "longer": gzip.compress(contents[name] + b"\0"),
        "a bomb": gzip.compress(bytes(2**24)),
        "empty": b"",
        "a web page": b"<html>not found</html>",
    }
    for what, content in damaged.items():
        write_all(folder, contents, packed=True)
        (folder / f"{name}.gz").write_bytes(content)
        message = refused(InputError, load_idx, published, 10)
        assert f"{name}.gz" in message, what
        assert "damaged" in message, what
        assert f"https://mirror.invalid/{name}.gz" in message, what


def test_idx_headers_and_labels_are_checked_where_no_checksum_of_the_unpacked_file_is_known() -> None:
    file = IdxFile("x-labels", 20, per_class=2)
    good = idx_bytes(np.arange(20, dtype=np.uint8) % 10)
    assert idx._parse(good, file).shape == (20,)
    for bad in (
        idx_bytes(np.arange(19, dtype=np.uint8) % 10),
        idx_bytes(np.zeros(20, dtype=np.uint8)),
        idx_bytes(np.full(20, 11, dtype=np.uint8)),
        good[:-1],
        good + b"\0",
        good[:3],
        idx_bytes(np.zeros((20, 1), dtype=np.uint8)),
    ):
        with pytest.raises(ValueError):
            idx._parse(bad, file)


def test_the_published_checksum_of_a_packed_file_is_checked(small, refused) -> None:
    _, folder, contents = small
    write_all(folder, contents, packed=True)
    name = "train-images-idx3-ubyte"
    file = IdxFile(name, 20, packed_sha256=hashlib.sha256((folder / f"{name}.gz").read_bytes()).hexdigest())
    assert len(idx._unpacked(folder / f"{name}.gz", file)) == 16 + 20 * 784
    (folder / f"{name}.gz").write_bytes(gzip.compress(contents[name], compresslevel=1))
    with pytest.raises(ValueError, match="SHA-256"):
        idx._unpacked(folder / f"{name}.gz", file)


def test_a_missing_file_offline_names_file_address_and_folder(small, refused) -> None:
    published, folder, _ = small
    message = refused(InputError, load_idx, published, 10)
    assert "train-images-idx3-ubyte.gz" in message
    assert str(folder) in message
    assert "https://mirror.invalid/train-images-idx3-ubyte.gz" in message


@pytest.mark.real_data
def test_mnist_has_its_published_counts_and_balance(real_data: Path) -> None:
    data = load_data(DataConfig(name="mnist"))
    assert (len(data.train), len(data.val), len(data.test)) == (55000, 5000, 10000)
    both = np.bincount(data.train.labels) + np.bincount(data.val.labels)
    assert both.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    # The figures everybody normalises MNIST with, known to four digits.
    assert (round(data.mean[0], 4), round(data.std[0], 4)) == (0.1307, 0.3081)
    # A class's part of the validation set differs from its exact share by less than one example.
    assert np.abs(np.bincount(data.val.labels) - both / 12).max() < 1


# CIFAR's format, on a small set of our own


def cifar(tmp_path: Path, label_bytes: int) -> tuple[CifarSet, bytes, dict[str, bytes]]:
    random = np.random.default_rng(0)
    contents: dict[str, bytes] = {}
    for name, count in (("one.bin", 6), ("two.bin", 4), ("test.bin", 5)):
        records = random.integers(0, 256, (count, label_bytes + 3072), dtype=np.uint8)
        records[:, :label_bytes] = 9
        records[:, label_bytes - 1] = np.arange(count)
        contents[name] = records.tobytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(f"inner/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    published = CifarSet(
        title="Small",
        folder="small",
        archive="small.tar.gz",
        url="https://mirror.invalid/small.tar.gz",
        sha256=hashlib.sha256(buffer.getvalue()).hexdigest(),
        inner="inner",
        train_files={name: sums[name] for name in ("one.bin", "two.bin")},
        test_files={"test.bin": sums["test.bin"]},
        label_bytes=label_bytes,
        num_classes=10,
        pickled=("small-py",),
    )
    return published, buffer.getvalue(), contents


@pytest.mark.parametrize("label_bytes", [1, 2])
@pytest.mark.parametrize("below", ["", "small"])
def test_cifar_is_read_from_the_archive_and_from_its_folder(tmp_path, monkeypatch, label_bytes, below) -> None:
    published, archive, contents = cifar(tmp_path, label_bytes)
    monkeypatch.setenv("MINFORM_DATA", str(tmp_path / "data"))
    root = tmp_path / "data" / below
    root.mkdir(parents=True, exist_ok=True)
    (root / "small.tar.gz").write_bytes(archive)
    packed = load_cifar(published, 2)
    (root / "small.tar.gz").unlink()
    (root / "inner").mkdir()
    for name, content in contents.items():
        (root / "inner" / name).write_bytes(content)
    unpacked = load_cifar(published, 2)
    assert packed.train.labels.tolist() == [*range(6), *range(4)]
    assert packed.test.images.shape == (5, 3, 32, 32)
    first = np.frombuffer(contents["one.bin"], dtype=np.uint8)[label_bytes : label_bytes + 3072]
    assert np.array_equal(packed.train.images[0].ravel(), first)
    assert np.array_equal(packed.train.images, unpacked.train.images)
    assert np.array_equal(packed.test.images, unpacked.test.images)


def test_damaged_cifar_files_are_refused_and_named(tmp_path, monkeypatch, refused) -> None:
    published, archive, contents = cifar(tmp_path, 1)
    monkeypatch.setenv("MINFORM_DATA", str(tmp_path))
    (tmp_path / "small.tar.gz").write_bytes(archive[:-1])
    assert "small.tar.gz" in refused(InputError, load_cifar, published, 2)
    (tmp_path / "inner").mkdir()
    assert "one.bin is missing" in refused(InputError, load_cifar, published, 2)
    for name, content in contents.items():
        (tmp_path / "inner" / name).write_bytes(content[:-1] + b"\1")
    assert "SHA-256" in refused(InputError, load_cifar, published, 2)


@pytest.mark.parametrize("content", [b"", bytes(3072), bytes(3074), bytes([10]) + bytes(3072)])
def test_cifar_records_of_another_length_or_class_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ValueError):
        cifar_module._records(content, cifar(tmp_path, 1)[0])


def test_where_only_pickles_lie_the_error_says_why_they_are_not_used(tmp_path, monkeypatch, refused) -> None:
    published, _, _ = cifar(tmp_path, 1)
    monkeypatch.setenv("MINFORM_DATA", str(tmp_path))
    (tmp_path / "small-py").mkdir()
    message = refused(InputError, load_cifar, published, 2)
    assert "small-py" in message
    assert "pickle" in message
    assert "https://mirror.invalid/small.tar.gz" in message
