"""Folders and archives of small images, made for a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


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
