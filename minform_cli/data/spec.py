"""What a model and a count need to know of a data set, without opening it. Imports no torch and no numpy.

Every module in `data.sets` offers ``SUMMARY`` and ``SOURCE`` (a line each), ``spec(data: DataConfig) -> DataSpec`` and
``load_official(data: DataConfig) -> OfficialData``; this file knows only their names, so listing them reads nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from minform_cli.config import legality
from minform_cli.config.schema import DataConfig, RunConfig
from minform_cli.errors import InputError
from minform_cli.registry import LazyRegistry

DATA_SETS = LazyRegistry(
    "data set",
    {
        "digits": "minform_cli.data.sets.digits",
        "mnist": "minform_cli.data.sets.mnist",
        "fashion-mnist": "minform_cli.data.sets.fashion_mnist",
        "cifar10": "minform_cli.data.sets.cifar10",
        "cifar100": "minform_cli.data.sets.cifar100",
        "image-folder": "minform_cli.data.sets.image_folder",
        "imagenet-folder": "minform_cli.data.sets.imagenet_folder",
    },
)


@dataclass(frozen=True)
class DataSpec:
    """Shape of the examples and size of the splits.

    Attributes:
        name: registered name.
        title: how tables call it, for example ``CIFAR-10``.
        source: who made it, and where it is described.
        channels, height, width: of one image, in pixels.
        class_names: one per class, in the order of the labels.
        num_train: examples trained on, after the hold-out and `data.limit`.
        num_val: examples validated on.
        num_test: examples of the test split; 0 where there is none, or where it is the validation split.
    """

    name: str
    title: str
    source: str
    channels: int
    height: int
    width: int
    class_names: tuple[str, ...]
    num_train: int
    num_val: int
    num_test: int

    @property
    def num_classes(self) -> int:
        """M of the determination ratio: outputs per example."""
        return len(self.class_names)


def split_sizes(
    data: DataConfig, official_train: int, holdout: int, num_test: int, num_classes: int, published_val: int = 0
) -> tuple[int, int, int]:
    """(train, val, test) sizes after `data.validation` and `data.limit`.

    Args:
        data: the data section.
        official_train: size of the published training set.
        holdout: examples of it kept for validation under ``data.validation: holdout``.
        num_test: size of the published test set.
        num_classes: how many classes there are; a limit keeps at least one example of each.
        published_val: size of a validation split that is published apart from the training set (then `holdout` is 0).

    Returns:
        The sizes; the test size is 0 where the test set serves as the validation set.

    Raises:
        InputError: `data.limit` is larger than the training part or smaller than the number of classes, or the test
            set is asked for and there is none.
    """
    if data.validation == "test":
        if not num_test:
            raise InputError(f"data.validation: 'test' needs a test split and {data.name} has none; accepted: holdout")
        sizes = (official_train, num_test, 0)
    else:
        sizes = (official_train - holdout, published_val or holdout, num_test)
    if data.limit is None:
        return sizes
    if data.limit > sizes[0]:
        raise InputError(f"data.limit: {data.limit} is more than the {sizes[0]} training examples of {data.name}")
    if data.limit < num_classes:
        raise InputError(
            f"data.limit: {data.limit} is less than the {num_classes} classes of {data.name}, "
            f"one example of each is the least; accepted: {num_classes} to {sizes[0]}"
        )
    return data.limit, sizes[1], sizes[2]


def spec_for(config: RunConfig) -> DataSpec:
    """The spec of the config's data set, once the model is known to fit it.

    Raises:
        InputError: the data set is unknown, its files are asked for and absent, or the patch does not divide the image.
    """
    spec: DataSpec = DATA_SETS.get(config.data.name, "data.name").spec(config.data)
    legality.check_image(config.model, spec.height, spec.width, spec.title)
    return spec


def with_sizes(spec: DataSpec, sizes: tuple[int, int, int]) -> DataSpec:
    """`spec` with other split sizes (train, val, test)."""
    return replace(spec, num_train=sizes[0], num_val=sizes[1], num_test=sizes[2])
