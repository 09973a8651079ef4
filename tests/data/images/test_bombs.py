"""Archives that unpack to far more than they are: refused with little memory."""

from __future__ import annotations

import gzip
import io
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.data.images.archives import png, zip_with
from tests.waiting import HANGS_S


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


def photograph(folder: Path, side: int, **kwargs: object) -> Path:
    """A JPEG that claims to be a square of so many pixels, and holds a few."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "jpeg", subsampling=0, **kwargs)
    content = buffer.getvalue()
    frame = content.index(b"\xff\xc2" if kwargs else b"\xff\xc0")
    content = content[: frame + 5] + struct.pack(">HH", side, side) + content[frame + 9 :]
    return zip_with(folder / "b.zip", ("train/a/!.jpg", content[:-2]))  # without the mark of the end


def jpeg_bomb(folder: Path) -> Path:
    return photograph(folder, 65_500)


def cut_photograph(folder: Path) -> Path:
    """200 megapixels, as telephones take them: decoded at a reduced scale, until the file ends."""
    return photograph(folder, 14_000)


def progressive_bomb(folder: Path) -> Path:
    """Its coefficients would all be kept, whatever the scale."""
    return photograph(folder, 14_000, progressive=True)


def scans_bomb(folder: Path) -> Path:
    """Likewise, for its scans have a component each."""
    path = photograph(folder, 14_000)
    with zipfile.ZipFile(path) as archive:
        content = archive.read("train/a/!.jpg")
    scan = content.index(b"\xff\xda\x00\x0c\x03")
    one = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    path.unlink()
    return zip_with(path, ("train/a/!.jpg", content[:scan] + one + content[scan + 14 :]))


BOMBS = {
    member_bomb: "claims 8,589,934,592 bytes",
    pax_bomb: "absurd size",
    longname_bomb: "absurd size",
    longname_chain: "recursion",
    trailing_zeros: "too long an end",
    sparse_bomb: "sparse",
    zip_bomb: "claims 419,430,400 bytes",
    zip_that_lies: "CRC",
    header_bomb: "claims 2147483647x2147483647 pixels",
    pixel_bomb: "claims 20000x20000 pixels",
    quiet_pixel_bomb: "claims 7000x7000 pixels",
    text_bomb: "too large",
    jpeg_bomb: "claims 65500x65500 pixels",
    cut_photograph: "truncated",
    progressive_bomb: "claims 14000x14000 pixels",
    scans_bomb: "claims 14000x14000 pixels",
}

# VmHWM and not ru_maxrss: the latter remembers the largest size of the process that started this one.
LOAD = """
import pathlib, sys
from minform_cli.config.schema import DataConfig
from minform_cli.data.load import load_data
from minform_cli.errors import InputError
try:
    load_data(DataConfig(name="image-folder", path=sys.argv[1], image_size=8))
except InputError as error:
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    print(next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), error)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the largest memory from /proc")
@pytest.mark.parametrize(("bomb", "words"), BOMBS.items())
def test_bombs_are_refused_within_256_mb(tmp_path: Path, bomb: Callable[[Path], Path], words: str) -> None:
    path = bomb(tmp_path)
    done = subprocess.run([sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, timeout=HANGS_S)
    assert done.returncode == 0, done.stderr
    megabytes, message = done.stdout.rstrip("\n").split(" ", 1)
    assert int(megabytes) <= 256
    assert message.isprintable()
    assert words in message
    assert f"/{path.name}" in message
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "cache") == [path.name]
