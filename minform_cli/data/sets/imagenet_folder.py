"""ImageNet-1k as a folder: ``train/<class>/*`` and ``val/<class>/*``, read as any image folder.

Without `data.path` its sizes are known all the same, so that counts need no files. The official validation set is the
validation split and there is no test split, as the labels of the test set were never published.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from minform_cli.config.schema import DataConfig
from minform_cli.data.sets import image_folder
from minform_cli.data.spec import IMAGE_FILES, ImageSpec, split_sizes
from minform_cli.errors import InputError

if TYPE_CHECKING:
    from minform_cli.data.images.folder import ImagesOnDisk
    from minform_cli.data.images.pixels import OfficialData

SUMMARY = "ImageNet-1k, 1,281,167 photographs in 1,000 classes; data.path is the folder with train/ and val/"
SOURCE = "Russakovsky et al. 2015, ImageNet large scale visual recognition challenge, arXiv 1409.0575"
TAKES = IMAGE_FILES
NUM_TRAIN, NUM_VAL, NUM_CLASSES = 1_281_167, 50_000, 1_000
IMAGE_SIZE = 224


def look(data: DataConfig) -> ImagesOnDisk | None:
    """As `image_folder.look`; None without a folder."""
    return None if data.path is None else image_folder.look(_sized(data))


def spec(data: DataConfig, images: ImagesOnDisk | None = None) -> ImageSpec:
    """The folder's own shapes and sizes, or the published ones without a folder."""
    data = _sized(data)
    if data.path is not None:
        return image_folder.spec(data, images)
    size = data.image_size or IMAGE_SIZE
    sizes = split_sizes(data, NUM_TRAIN, 0, 0, NUM_CLASSES, published_val=NUM_VAL)
    names = tuple(f"class {number}" for number in range(NUM_CLASSES))
    return ImageSpec(
        name="imagenet-folder",
        title="ImageNet",
        source=SOURCE,
        channels=3,
        height=size,
        width=size,
        class_names=names,
        **sizes,
    )


def load_official(
    data: DataConfig, images: ImagesOnDisk | None = None, tell: Callable[[str], None] | None = None
) -> OfficialData:
    """As `image_folder.load_official`; without a folder an `InputError` says that it is needed."""
    if images is None or tell is None:
        raise InputError("data.path: imagenet-folder needs the folder with its images: --set data.path=...")
    return image_folder.load_official(data, images, tell)


def _sized(data: DataConfig) -> DataConfig:
    return data if data.image_size else data.model_copy(update={"image_size": IMAGE_SIZE})
