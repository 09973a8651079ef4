"""What another library does to an image before its model sees it, from its files, as our runs do it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minform_cli.files import json_object
from minform_cli.foreign.adapters.settings import TheirSettings
from minform_cli.foreign.adapters.vision import Pixels
from minform_cli.runs.stored import Normalisation

FILE = "preprocessor_config.json"

BYTE = 1 / 255
"""Factor from a pixel of 0..255 to the 0..1 that a run's normalisation is of."""

BILINEAR = 2
"""Number of the resampling that runs of ours have."""

RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


def from_folder(folder: Path, channels: int, side: tuple[int, int], default: Normalisation) -> Pixels:
    """What a folder's ``preprocessor_config.json`` says; `default`, and that it is that, where it has none.

    Args:
        folder: of the model.
        channels: of its images.
        side: their height and width.
        default: what the library does unasked.

    Raises:
        InputError: the file is damaged, or does not fit the model.
    """
    path = folder / FILE
    try:
        value = json_object(path, str(path))
    except FileNotFoundError:
        told = f"no {FILE}: pixels are normalised as the library does unasked, {shown(default)}"
        return Pixels(normalisation=spread(default, channels), notes=(told,))
    settings = TheirSettings(str(path), value)
    return Pixels(normalisation=_normalisation(settings, channels, default), notes=_notes(settings, side))


def of_library(mean: Sequence[float], std: Sequence[float], channels: int, whose: str) -> Pixels:
    """What a library does for a model of that name; no file says it."""
    found = Normalisation(tuple(map(float, mean)), tuple(map(float, std)))
    told = f"no file says how pixels are normalised: as {whose}, {shown(found)}"
    return Pixels(normalisation=spread(found, channels), notes=(told,))


def shown(normalisation: Normalisation) -> str:
    """Mean and std in words."""
    mean, std = (", ".join(f"{each:g}" for each in dict.fromkeys(numbers)) for numbers in normalisation)
    return f"mean {mean} and std {std}"


def spread(normalisation: Normalisation, channels: int) -> Normalisation:
    """The same of as many channels: each number of an equal kind stands for all, else the average of three does."""
    mean, std = normalisation
    if len(mean) != channels:
        mean, std = ((sum(numbers) / len(numbers),) * channels for numbers in (mean, std))
    return Normalisation(tuple(mean), tuple(std))


def _normalisation(settings: TheirSettings, channels: int, default: Normalisation) -> Normalisation:
    """(k x - mean) / std of pixels x of 0..1 is (x - mean / k) / (std / k)."""
    mean, std = (
        _numbers(settings, key, channels, usual)
        for key, usual in zip(("image_mean", "image_std"), spread(default, channels), strict=True)
    )
    if settings.get("do_normalize", True) is False:
        mean, std = (0.0,) * channels, (1.0,) * channels
    factor = settings.real("rescale_factor", BYTE) if settings.get("do_rescale", True) is not False else 1.0
    k = 1.0 if abs(factor / BYTE - 1) < 1e-6 else factor / BYTE  # 0.00392156862745098 is 1/255, and so is 0.003921569
    if any(not each > 0 for each in std):
        raise settings.wrong("image_std", list(std), "numbers above 0")
    return Normalisation(tuple(each / k for each in mean), tuple(each / k for each in std))


def _numbers(settings: TheirSettings, key: str, channels: int, usual: Sequence[float]) -> tuple[float, ...]:
    value: Any = settings.get(key)
    if value is None:
        return tuple(usual)
    numbers = [value] * channels if isinstance(value, (int, float)) else value
    sound = isinstance(numbers, list) and len(numbers) == channels
    if not sound or not all(type(each) in (int, float) and math.isfinite(each) for each in numbers):
        raise settings.wrong(key, value, f"{channels} finite numbers, one for each channel")
    return tuple(float(each) for each in numbers)


def _notes(settings: TheirSettings, side: tuple[int, int]) -> tuple[str, ...]:
    """What a run of ours does otherwise: it resizes the shorter side, bilinear, and cuts the middle out."""
    notes: list[str] = []
    size: Any = settings.get("crop_size") if settings.get("do_center_crop") else settings.get("size")
    asked = _side(size)
    if asked not in (None, side):
        notes.append(f"{FILE} makes images of {_by(asked)}, and the model takes {_by(side)}")
    if settings.get("do_resize", True) is not False and not settings.get("do_center_crop"):
        notes.append(f"images that are not square are squeezed to {_by(side)} there, and a run cuts the middle out")
    resample: Any = settings.get("resample", BILINEAR)
    if resample != BILINEAR:
        notes.append(f"images are resized {RESAMPLING.get(resample, resample)} there, and bilinear in a run")
    return tuple(notes)


def _side(size: Any) -> tuple[int, int] | None:
    if isinstance(size, int):
        return (size, size)
    if isinstance(size, dict) and isinstance(size.get("height"), int) and isinstance(size.get("width"), int):
        return (size["height"], size["width"])
    return None


def _by(side: tuple[int, int] | None) -> str:
    assert side is not None
    return f"{side[0]} x {side[1]}"
