"""Archives and images made to do harm: refused in one printable line, nothing written, nothing run, memory bounded."""

from __future__ import annotations

import ast
import gzip
import io
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minform_cli.data
from minform_cli.config.schema import DataConfig
from minform_cli.data import archive as archive_module
from minform_cli.data.load import load_data
from minform_cli.data.spec import DATA_SETS
from minform_cli.errors import InputError, MinformError
from tests.data.pictures import make_folder


def png(size: tuple[int, int] = (8, 8)) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def load(path: Path) -> object:
    return load_data(DataConfig(name="image-folder", path=str(path)))


def tar_with(path: Path, *extra: tarfile.TarInfo | tuple[str, bytes], packed: bool = False) -> Path:
    """A tar that would be a good set of images without its last members."""
    with tarfile.open(path, "w:gz" if packed else "w", format=tarfile.GNU_FORMAT) as archive:
        members = [(f"train/{c}/{n}.png", png()) for c in "ab" for n in range(3)]
        for member in [*members, *extra]:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member[0])
            content = b"" if isinstance(member, tarfile.TarInfo) else member[1]
            if info.isreg():
                info.size = info.size or len(content)
            archive.addfile(info, io.BytesIO(content.ljust(info.size, b"\0")) if info.isreg() else None)
    return path


def zip_with(path: Path, *extra: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for c in "ab":
            for n in range(3):
                archive.writestr(f"train/{c}/{n}.png", png())
        for name, content in extra:
            archive.writestr(name, content)
    return path


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


# Bombs: run in a process of their own, so that its largest memory can be read


def huge_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(2**20), 9)
    chunks = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (body, data, b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def claims(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.type = kind
    return info.tobuf(format=tarfile.GNU_FORMAT)


def zeros_gz(path: Path, head: bytes, megabytes: int) -> Path:
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(head)
        for _ in range(megabytes):
            file.write(bytes(2**20))
    return path


def member_bomb(folder: Path) -> Path:
    return zeros_gz(folder / "b.tar.gz", claims("train/a/0.png", 2**33), 400)


def pax_bomb(folder: Path) -> Path:
    return zeros_gz(folder / "b.tar.gz", claims("x", 400 * 2**20, tarfile.XHDTYPE), 400)


def longname_bomb(folder: Path) -> Path:
    return zeros_gz(folder / "b.tar.gz", claims("x", 400 * 2**20, tarfile.GNUTYPE_LONGNAME), 400)


def longname_chain(folder: Path) -> Path:
    return zeros_gz(folder / "b.tar.gz", (claims("x", 512, tarfile.GNUTYPE_LONGNAME) + bytes(512)) * 5000, 1)


def trailing_zeros(folder: Path) -> Path:
    return zeros_gz(folder / "b.tar.gz", b"", 400)


def sparse_bomb(folder: Path) -> Path:
    block = bytearray(claims("train/a/0.png", 512, tarfile.GNUTYPE_SPARSE))
    block[386:398] = b"%011o\0" % 0
    block[398:410] = b"%011o\0" % 512
    block[483:495] = b"%011o\0" % (2**25)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    path = folder / "b.tar"
    path.write_bytes(bytes(block) + bytes(512 + 1024))
    return path


def zip_bomb(folder: Path) -> Path:
    path = folder / "b.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("train/a/0.png", "w", force_zip64=True) as file,
    ):
        for _ in range(400):
            file.write(bytes(2**20))
    return path


def zip_that_lies(folder: Path) -> Path:
    """The directory says 100 bytes, the compressed stream holds 400 MB."""
    path = zip_bomb(folder)
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("train/a/1.png", "train/b/0.png", "train/b/1.png"):
            archive.writestr(name, png())
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<I", 400 * 2**20), struct.pack("<I", 100)))
    return path


def header_bomb(folder: Path) -> Path:
    return zip_with(folder / "b.zip", ("train/a/!.png", huge_header(2**31 - 1, 2**31 - 1)))


def quiet_pixel_bomb(folder: Path) -> Path:
    """Below the size at which the image library itself warns."""
    return zip_with(folder / "b.zip", ("train/a/!.png", huge_header(7_000, 7_000)))


def pixel_bomb(folder: Path) -> Path:
    return zip_with(folder / "b.zip", ("train/a/!.png", huge_header(20_000, 20_000)))


def text_bomb(folder: Path) -> Path:
    """A compressed text chunk of 200 MB in a small PNG."""
    body = b"zTXt" + b"k\0\0" + zlib.compress(bytes(200 * 2**20), 9)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    image = png()
    return zip_with(folder / "b.zip", ("train/a/!.png", image[:33] + chunk + image[33:]))


BOMBS = {
    member_bomb: "claims 8,589,934,592 bytes",
    pax_bomb: "absurd size",
    longname_bomb: "absurd size",
    longname_chain: "recursion",
    trailing_zeros: "too long an end",
    sparse_bomb: "sparse",
    zip_bomb: "claims 419,430,400 bytes",
    zip_that_lies: "CRC",
    header_bomb: "exceeds limit",
    pixel_bomb: "exceeds limit",
    quiet_pixel_bomb: "claims 7000x7000 pixels",
    text_bomb: "too large",
}

# VmHWM and not ru_maxrss: the latter remembers the largest size of the process that started this one.
LOAD = """
import pathlib, sys
from minform_cli.config.schema import DataConfig
from minform_cli.data.load import load_data
from minform_cli.errors import InputError
try:
    load_data(DataConfig(name="image-folder", path=sys.argv[1]))
except InputError as error:
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    print(next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), error)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the largest memory from /proc")
@pytest.mark.parametrize(("bomb", "words"), BOMBS.items())
def test_bombs_are_refused_within_256_mb(tmp_path: Path, bomb: Callable[[Path], Path], words: str) -> None:
    path = bomb(tmp_path)
    done = subprocess.run([sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    megabytes, message = done.stdout.rstrip("\n").split(" ", 1)
    assert int(megabytes) <= 256
    assert message.isprintable()
    assert words in message
    assert f"/{path.name}" in message
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "cache") == [path.name]


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
