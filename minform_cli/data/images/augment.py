"""Training images changed at random, a whole batch at a time, on the device.

Random numbers are drawn on the CPU for the whole batch, so they are the same on every device and however the batch is
cut: `places` says where in a batch of `size` the images at hand stand. Each change has a generator of its own, so that
switching one of them on does not change what the others do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minform_cli.config.schema import DataConfig

if TYPE_CHECKING:
    from torchvision.transforms import v2

AREAS = (0.02, 0.33)
RATIOS = (0.3, 3.3)
TRIES = 10
"""Of `erased`: of how much of an image, how many times as high as wide, and how often a rectangle that does not fit is
drawn anew; torchvision's defaults, which are the paper's."""

POLICIES = {"rand-augment": "RandAugment", "trivial-augment": "TrivialAugmentWide"}
"""Values of `data.auto_augment` -> the class of ``torchvision.transforms.v2``, with its defaults."""


def moved(pixels: Tensor, data: DataConfig, random: torch.Generator, size: int, places: Tensor) -> Tensor:
    """Crops and mirrors each image of a batch; pixels outside the image are black (0 before normalisation).

    Args:
        pixels: (B, C, H, W) uint8.
        data: `crop_padding` and `horizontal_flip`; with neither, `pixels` are returned as they are.
        random: a CPU generator, which alone decides the result.
        size, places: of the whole batch, and where in it these images stand, (B,).
    """
    num, channels, height, width = pixels.shape
    padding = data.crop_padding
    # Drawn whether used or not: switching one of them on does not change what the other does.
    offsets = torch.randint(0, 2 * padding + 1, (2, size, 1), generator=random)[:, places]
    mirrored = torch.rand((size, 1), generator=random)[places] < 0.5
    if not padding and not data.horizontal_flip:
        return pixels
    rows = offsets[0] + torch.arange(height)
    columns = offsets[1] + torch.arange(width)
    if data.horizontal_flip:
        columns = torch.where(mirrored, columns.flip(1), columns)
    padded = F.pad(pixels, (padding,) * 4)
    rows, columns = rows.to(pixels.device), columns.to(pixels.device)  # these travel, not the places they make
    index = rows[:, :, None] * padded.shape[3] + columns[:, None, :]
    index = index.view(num, 1, height * width).expand(num, channels, height * width)
    return padded.flatten(2).gather(2, index).view(pixels.shape)


def varied(pixels: Tensor, policy: str, random: torch.Generator, size: int, places: Tensor) -> Tensor:
    """Each image through operations of its own: RandAugment (Cubuk et al. 2020) or TrivialAugment (Müller and Hutter
    2021), torchvision's.

    Args:
        pixels: (B, C, H, W) uint8.
        policy: of `POLICIES`.
        random, size, places: as of `moved`.
    """
    seeds: list[int] = torch.randint(2**62, (size,), generator=random)[places].tolist()
    from torchvision.transforms import v2  # slow to import

    transform: v2.Transform = getattr(v2, POLICIES[policy])()
    before = torch.default_generator.get_state()
    try:
        made = [_seeded(transform, image, seed) for image, seed in zip(pixels, seeds, strict=True)]
    finally:
        torch.default_generator.set_state(before)
    return torch.stack(made) if made else pixels


def _seeded(transform: v2.Transform, image: Tensor, seed: int) -> Tensor:
    torch.default_generator.manual_seed(seed)  # that of the CPU, which these transforms draw from on every device
    changed: Tensor = transform(image)
    return changed


def erased(images: Tensor, probability: float, random: torch.Generator, size: int, places: Tensor) -> Tensor:
    """Sets a rectangle of some of the images to zero: random erasing (Zhong et al. 2020).

    Args:
        images: (B, C, H, W), normalised, so that zero is the mean; changed in place.
        probability: that there is one.
        random, size, places: as of `moved`.
    """
    height, width = images.shape[2:]
    chosen = torch.rand((size,), generator=random)[places] < probability
    draws = torch.rand((4, size, TRIES), generator=random, dtype=torch.float64)[:, places]
    areas = height * width * (AREAS[0] + draws[0] * (AREAS[1] - AREAS[0]))
    low, high = (math.log(ratio) for ratio in RATIOS)
    ratios = (low + draws[1] * (high - low)).exp()
    tall, wide = (areas * ratios).sqrt().round(), (areas / ratios).sqrt().round()
    fits = (tall < height) & (wide < width)
    first = fits.int().argmax(1, keepdim=True)
    tall, wide = tall.gather(1, first), wide.gather(1, first)
    top = (draws[2].gather(1, first) * (height - tall + 1)).floor()
    left = (draws[3].gather(1, first) * (width - wide + 1)).floor()
    some = (chosen & fits.any(1))[:, None]
    rows, columns = torch.arange(height), torch.arange(width)
    rows, columns = some & (rows >= top) & (rows < top + tall), (columns >= left) & (columns < left + wide)
    rows, columns = rows.to(images.device), columns.to(images.device)
    return images.masked_fill_(rows[:, None, :, None] & columns[:, None, None, :], 0)


class Mix(NamedTuple):
    """How every image of a batch is mixed with another.

    Attributes:
        weight: of an image's own label; its partner's has the rest.
        box: rows from, to, columns from, to that the partner's pixels fill (CutMix); None: all pixels are a weighted
            sum (mixup).
    """

    weight: float
    box: tuple[int, int, int, int] | None


def drawn(data: DataConfig, random: torch.Generator, height: int, width: int) -> Mix | None:
    """How a batch is mixed: by mixup (Zhang et al. 2018), CutMix (Yun et al. 2019), at equal odds where both are on;
    None: by neither.
    """
    if not data.mixup and not data.cutmix:
        return None
    cuts = data.cutmix > 0 and (not data.mixup or torch.rand((), generator=random).item() < 0.5)
    alpha = data.cutmix if cuts else data.mixup
    seed = int(torch.randint(2**62, (), generator=random))
    weight = float(np.random.default_rng(seed).beta(alpha, alpha))
    if not cuts:
        return Mix(weight, None)
    row, column = (int(torch.randint(side, (), generator=random)) for side in (height, width))
    half = 0.5 * math.sqrt(1 - weight)
    top, bottom = max(int(row - half * height), 0), min(int(row + half * height), height)
    left, right = max(int(column - half * width), 0), min(int(column + half * width), width)
    return Mix(1 - (bottom - top) * (right - left) / (height * width), (top, bottom, left, right))


def mixed(images: Tensor, partners: Tensor, mix: Mix) -> Tensor:
    """`images`, each mixed with that of `partners`; both (B, C, H, W), neither is changed."""
    if mix.box is None:
        return torch.lerp(partners, images, mix.weight)
    top, bottom, left, right = mix.box
    cut = images.clone()
    cut[..., top:bottom, left:right] = partners[..., top:bottom, left:right]
    return cut
