"""Folders and archives of small images, made for a test."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from minform_cli.config.schema import DataConfig
from minform_cli.data.images.pixels import ImageData
from minform_cli.data.load import load_data
from minform_cli.data.spec import DATA_SETS, DataSpec


def draw(path: Path, seed: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> None:
    """Writes a (width, height) image of noise; PNG, so that its pixels come back as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def make_folder(root: Path, splits: dict[str, dict[str, int]], **kwargs: object) -> Path:
    """A folder of images: split -> class -> how many."""
    seed = 0
    for split, classes in splits.items():
        for name, count in classes.items():
            for number in range(count):
                draw(root / split / name / f"{number:03d}.png", seed, **kwargs)  # type: ignore[arg-type]
                seed += 1
    return root


def config(path: Path, **kwargs: object) -> DataConfig:
    return DataConfig(name="image-folder", path=str(path), **kwargs)


def spec(path: Path, **kwargs: object) -> DataSpec:
    return DATA_SETS.get("image-folder").spec(config(path, **kwargs))


def load(path: Path, **kwargs: object) -> ImageData:
    data = load_data(config(path, **kwargs))
    assert data.spec == spec(path, **kwargs)
    return data


CLASSES = {"cat": 20, "ant": 30}


def sizes(data: ImageData) -> tuple[int, int, int | None]:
    return len(data.train), len(data.val), len(data.test) if data.test else None


def archived(images: Path, kind: str, top: str = "") -> Path:
    path = images.parent / f"packed{kind}"
    found = sorted((p for p in images.rglob("*") if p.is_file()), reverse=True)  # an order that is not ours
    if kind == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for p in found:
                archive.write(p, f"{top}{p.relative_to(images)}")
    else:
        with tarfile.open(path, "w" if kind == ".tar" else "w:gz") as archive:
            for p in found:
                archive.add(p, f"{top}{p.relative_to(images)}")
    return path
