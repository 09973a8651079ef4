"""Archives of small images with one thing wrong, made for a test."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def png(size: tuple[int, int] = (8, 8)) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)).save(buffer, "png")
    return buffer.getvalue()


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
