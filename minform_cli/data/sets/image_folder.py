"""The user's own images: ``train/<class>/*``, optionally ``val/<class>/*`` and ``test/<class>/*``, or an archive of it.

The splits go by any of their usual names; ``<class>/*`` alone is taken for ``train``. Without ``val`` a tenth of
``train`` is held out (the classes in proportion, at least one image of each). What fits in memory is decoded once and
kept in the cache; a larger folder is read by worker processes during the training, and is neither looked through for
images that are in two splits nor counted by colour.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from minform_cli.config.schema import DataConfig
from minform_cli.data.spec import IMAGE_FILES, ImageSpec, split_sizes

if TYPE_CHECKING:
    from minform_cli.data.images.folder import ImagesOnDisk
    from minform_cli.data.images.pixels import OfficialData

SUMMARY = "your images: data.path is a folder with train/<class>/* or <class>/*, or a .zip, .tar, .tar.gz of one"
SOURCE = "your own; the layout is that of torchvision's ImageFolder"
TAKES = IMAGE_FILES


def look(data: DataConfig) -> ImagesOnDisk:
    """The files that are there, listed.

    Raises:
        InputError: `data.path` is missing, damaged, hostile or laid out in another way.
    """
    from minform_cli.data.images.folder import open_images

    return open_images(data)


def spec(data: DataConfig, images: ImagesOnDisk | None = None) -> ImageSpec:
    """Sizes from the list of files, the shape from the header of the first image; errors as `look` raises them."""
    images = images or look(data)
    names = images.layout.class_names
    sizes = split_sizes(
        data,
        official_train=images.num("train"),
        holdout=images.holdout,
        num_test=images.num("test"),
        num_classes=len(names),
        published_val=images.num("val"),
    )
    decoder = images.decoder
    return ImageSpec(
        name=data.name,
        title=f"{images.title} ({data.name}, {images.shape})",
        source=SOURCE,
        channels=decoder.channels,
        height=decoder.height,
        width=decoder.width,
        class_names=names,
        **sizes,
    )


def load_official(data: DataConfig, images: ImagesOnDisk, tell: Callable[[str], None]) -> OfficialData:  # noqa: ARG001
    """All splits: decoded, or as files where they would not fit in memory; `tell` is told what takes long.

    Raises:
        InputError: a file is damaged or of another shape, or an archive is too large for memory.
    """
    from minform_cli.data.images.folder import load_images

    return load_images(images, tell)
