"""Archives and images made to do harm: refused in one printable line, nothing written, nothing run, memory bounded."""

from __future__ import annotations

import ast
import io
import signal
import stat
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minform_cli.data
from minform_cli.config.schema import DataConfig
from minform_cli.data.images import archive as archive_module
from minform_cli.data.images.decode import is_grey_file
from minform_cli.data.spec import DATA_SETS
from minform_cli.errors import InputError, Interrupted, MinformError
from tests.data.images.archives import png, tar_with, zip_with
from tests.data.pictures import load, make_folder


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


def link_in_zip(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


ESCAPING = [
    "../evil.png",
    "train/a/../../../evil.png",
    "/tmp/evil.png",
    "//evil.png",
    "C:/evil.png",
    "train\\a\\..\\..\\..\\evil.png",
    "..",
    "train/../../\x1b[2Jevil.png",
]


@pytest.mark.parametrize("name", ESCAPING)
@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_members_that_would_leave_the_folder_condemn_the_archive(tmp_path, refused, name: str, kind: str) -> None:
    path = tmp_path / f"hostile.{kind}"
    if kind == "zip":
        zip_with(path, (name, png()))
    else:
        tar_with(path, (name, png()), packed=kind == "tar.gz")
    message = refused(InputError, load, path)
    assert "would leave the folder" in message
    assert "hostile" in message


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE],
    ids=["symlink", "hardlink", "character", "block", "fifo", "contiguous"],
)
@pytest.mark.parametrize("name", ["train/a/9.png", "train/link"])
def test_links_and_devices_condemn_a_tar(tmp_path, refused, kind: bytes, name: str) -> None:
    if kind == tarfile.CONTTYPE:
        # A kind of regular file to tarfile; its content is its own, so it may stay.
        load(tar_with(tmp_path / "x.tar", special("train/notes", kind)))
        return
    message = refused(InputError, load, tar_with(tmp_path / "x.tar", special(name, kind, "/etc/passwd")))
    assert "is a link, a device" in message


def test_links_condemn_a_zip(tmp_path, refused) -> None:
    message = refused(InputError, load, zip_with(tmp_path / "x.zip", (link_in_zip("train/a/9.png"), b"/etc/passwd")))
    assert "is a link" in message


def test_names_that_come_twice_condemn_an_archive(tmp_path, refused) -> None:
    assert "comes twice" in refused(InputError, load, tar_with(tmp_path / "x.tar", ("./train/a/1.png", png())))


def test_a_class_name_with_terminal_escapes_is_refused_without_printing_them(tmp_path, refused) -> None:
    for name in ("\x1b]0;owned\x07", "line\nbreak", "\u202eright to left"):
        message = refused(InputError, load, tar_with(tmp_path / "x.tar", (f"train/{name}/1.png", png())))
        assert "cannot be printed" in message


def test_paths_and_files_with_terminal_escapes_are_not_printed_raw(tmp_path, refused) -> None:
    path = tmp_path / "\x1b[31m.tar"
    tar_with(path, ("train/a/\x1b[2J.png", b"broken"))
    refused(InputError, load, path)
    refused(InputError, load, tmp_path / "\x1b[31m nothing.zip")
    path = tar_with(tmp_path / "\x1b[1mfine.tar")
    assert DATA_SETS.get("image-folder").spec(DataConfig(name="image-folder", path=str(path))).title.isprintable()


def test_every_cut_of_an_archive_is_noticed(tmp_path, refused) -> None:
    for kind in ("x.tar", "x.tar.gz", "x.zip"):
        path = tmp_path / kind
        zip_with(path) if kind == "x.zip" else tar_with(path, packed=kind.endswith("gz"))
        whole = path.read_bytes()
        # A tar ends with 1 KB of zeros and padding to 10 KB; a cut inside that loses nothing.
        end = len(whole.rstrip(b"\0")) if kind == "x.tar" else len(whole)
        for cut in np.linspace(0, end - 1, 60).astype(int):
            path.write_bytes(whole[:cut])
            refused(InputError, load, path)


def test_random_damage_to_an_archive_is_one_line_or_harmless(tmp_path) -> None:
    random = np.random.default_rng(0)
    refusals = 0
    for kind in ("x.tar", "x.tar.gz", "x.zip"):
        path = tmp_path / kind
        zip_with(path) if kind == "x.zip" else tar_with(path, packed=kind.endswith("gz"))
        whole = path.read_bytes()
        for _ in range(150):
            damaged = bytearray(whole)
            for _ in range(int(random.integers(1, 4))):
                damaged[random.integers(len(whole))] = random.integers(256)
            path.write_bytes(damaged)
            try:
                load(path)
            except MinformError as error:
                refusals += 1
                assert isinstance(error, InputError)
                assert str(error).isprintable()
    assert refusals > 100


def test_random_damage_to_images_is_one_line_or_harmless(tmp_path) -> None:
    random = np.random.default_rng(1)
    path = make_folder(tmp_path / "set", {"train": {"a": 2, "b": 2}})
    target = path / "train/a/000.png"
    for format_ in ("png", "jpeg", "gif", "bmp", "tiff", "webp", "ppm"):
        buffer = io.BytesIO()
        Image.open(path / "train/b/000.png").save(buffer, format_)
        whole = buffer.getvalue()
        for _ in range(40):
            damaged = bytearray(whole[: random.integers(1, len(whole) + 1)])
            damaged[random.integers(len(damaged))] = random.integers(256)
            target.write_bytes(damaged)
            try:
                load(path)
            except MinformError as error:
                assert isinstance(error, InputError)
                assert str(error).isprintable()


def test_a_signal_is_not_taken_for_a_damaged_image(monkeypatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise Interrupted(signal.SIGTERM, "stopped")

    monkeypatch.setattr(Image, "open", stopped)
    with pytest.raises(Interrupted):
        is_grey_file(io.BytesIO(), "a.png")


def test_an_absurd_number_of_members_or_bytes_is_refused(tmp_path, refused, monkeypatch) -> None:
    path = tar_with(tmp_path / "x.tar")
    monkeypatch.setattr(archive_module, "MAX_MEMBERS", 5)
    assert "5 members" in refused(InputError, load, path)
    monkeypatch.setattr(archive_module, "MAX_TOTAL_BYTES", 500)
    assert "500 bytes" in refused(InputError, load, path)


def test_the_package_below_data_has_no_way_to_unpack_or_unpickle() -> None:
    """Archives are read member by member; numpy's files are opened with pickles forbidden."""
    for path in Path(minform_cli.data.__path__[0]).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
                assert not names & {"pickle", "shelve", "marshal", "dill", "cloudpickle", "joblib"}, path
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"extractall", "extract", "unpack_archive", "system", "popen"}, path
            if isinstance(node, ast.Call):
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                assert name not in {"eval", "exec", "__import__"}, path
                if ast.unparse(node.func) == "np.load":
                    assert "allow_pickle=False" in ast.unparse(node), path
