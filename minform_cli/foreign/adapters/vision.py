"""A vision transformer of another library in our own parts: norms before sublayers, learned tokens before the patches.

ViT of transformers, timm and torchvision, and DeiT, are one architecture under four sets of names. A library's adapter
says its sizes and its names (`Vision`, `places.Named`), and this puts config, spec and weights together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from minform_cli.config.schema import DataConfig, ModelConfig, RunConfig
from minform_cli.data.spec import ImageSpec
from minform_cli.errors import InputError, counted
from minform_cli.foreign.adapters.base import Given, Imported
from minform_cli.foreign.adapters.places import Named, Place, placed
from minform_cli.foreign.adapters.theirs import Theirs
from minform_cli.models.build import build_model
from minform_cli.models.meta import weightless
from minform_cli.runs.stored import Normalisation
from minform_cli.runs.tensors import weights_of

LEFT_OVER = "{} has no such tensor"


@dataclass(frozen=True, kw_only=True)
class Vision:
    """What such a model is.

    Attributes:
        dim, depth, heads: as of `ModelConfig`.
        hidden: width of the MLP.
        mlp: our kind of it.
        eps: of its norms.
        readout: ours.
        channels, height, width: of an image.
        patch: side of a patch.
        classes: names of the classes; a number: how many there are, which the source does not name.
        dropout: of the model.
    """

    dim: int
    depth: int
    heads: int
    hidden: int
    mlp: str
    eps: float
    readout: Any
    channels: int
    height: int
    width: int
    patch: int
    classes: tuple[str, ...] | int
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """What is done to an image before the model sees it, and what should be said of that."""

    normalisation: Normalisation
    notes: tuple[str, ...] = ()


def put_together(
    given: Given,
    vision: Vision,
    pixels: Pixels,
    names: tuple[Named, str, Mapping[str, Place]],
    original: tuple[str, Callable[[], nn.Module] | None],
) -> Imported:
    """The run of a vision transformer.

    Args:
        given: the model.
        vision: its sizes.
        pixels: of its images.
        names: its tensors, as `placed` takes them: outside blocks, what a block's begin with, and in it.
        original: name and version of the library, and what builds its own model.

    Raises:
        InputError: a tensor or an option is not as it must be.
    """
    _no_text(given)
    theirs, (fixed, block, in_block) = given.tensors, names
    config, spec, notes = _run(given, vision)
    with weightless():
        expected = weights_of(build_model(config, spec))
    weights = placed(theirs, expected, fixed, block, in_block)
    theirs.leave_below("beyond the blocks of the settings", block.partition("{}")[0])
    library, build = original
    return Imported(
        config=config,
        spec=spec,
        weights=weights,
        left_over=theirs.left_over(LEFT_OVER.format(given.architecture)),
        normalisation=pixels.normalisation,
        notes=(*notes, *pixels.notes, *theirs.notes()),
        original=build,
        library=library,
    )


def _run(given: Given, vision: Vision) -> tuple[RunConfig, ImageSpec, tuple[str, ...]]:
    if vision.height % vision.patch or vision.width % vision.patch:
        raise InputError(
            f"{given.source}: patches of {vision.patch} do not divide images of {vision.height} x {vision.width}; "
            "accepted: a model whose patches do"
        )
    notes: tuple[str, ...] = ()
    classes = vision.classes
    if isinstance(classes, int):
        classes = tuple(str(number) for number in range(classes))
        notes = (f"the file names no classes: {counted(len(classes), 'class', 'classes')} by their numbers",)
    model = ModelConfig.model_validate({
        "dim": vision.dim,
        "depth": vision.depth,
        "heads": vision.heads,
        "patch_size": vision.patch,
        "mlp_multiple": vision.hidden / vision.dim,
        "dropout": vision.dropout,
        "mlp": vision.mlp,
        "norm": {"kind": "pre", "eps": vision.eps},
        "bias": "all",
        "readout": vision.readout,
    })  # fmt: skip
    square = vision.height if vision.height == vision.width else None
    data = DataConfig(
        name="image-folder",
        image_size=square,
        channels={1: 1, 3: 3}.get(vision.channels),  # type: ignore[arg-type]
    )
    spec = ImageSpec(
        name="imported",
        title=given.title,
        source=given.source,
        channels=vision.channels,
        height=vision.height,
        width=vision.width,
        class_names=classes,
    )
    return RunConfig(preset=given.source, task="classify-images", data=data, model=model), spec, notes


def _no_text(given: Given) -> None:
    for option, value in (("--pooling", given.pooling), ("--seq-len", given.seq_len)):
        if value is not None:
            raise InputError(f"{option}: {given.architecture} sees images; accepted: it is for text")


def square_side(theirs: Theirs, name: str, added: int, patch: int) -> int:
    """Side of a square image, by the rows of a table of positions, (1, rows, N), of which `added` are of no patch.

    Raises:
        InputError: the table is missing, or of no square.
    """
    shape = theirs.shape(name)
    rows = shape[1] - added if len(shape) == 3 else 0
    side = math.isqrt(max(rows, 0))
    if not side or side * side != rows:
        raise InputError(
            f"{theirs.where}: tensor {theirs.named(name)} is {shape}, of {max(rows, 0):,} patches, no square; "
            f"accepted: (1, {added} + a square, width)"
        )
    return side * patch


def patches(theirs: Theirs, name: str) -> tuple[int, int]:
    """Channels, and side of a patch, by the map (N, channels, side, side) of the patches.

    Raises:
        InputError: it is missing, or patches are not square.
    """
    shape = theirs.shape(name)
    if len(shape) != 4 or shape[2] != shape[3]:
        raise InputError(
            f"{theirs.where}: tensor {theirs.named(name)} is {shape}; accepted: (width, channels, side, side)"
        )
    return shape[1], shape[2]


def classes(theirs: Theirs, name: str) -> int:
    """How many there are, by the map of the head (classes, N).

    Raises:
        InputError: it is missing, or no matrix.
    """
    shape = theirs.shape(name)
    if len(shape) != 2:
        raise InputError(f"{theirs.where}: tensor {theirs.named(name)} is {shape}; accepted: (classes, width)")
    return shape[0]
