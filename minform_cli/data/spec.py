"""What a model and a count need to know of a data set, without opening it. Imports no torch and no numpy.

Every module in `data.sets` offers ``SUMMARY`` and ``SOURCE`` (a line each), ``TAKES`` (those of `CHOICES` that it
uses), ``spec(data: DataConfig) -> DataSpec`` and ``load_official(data: DataConfig) -> OfficialData``; this file knows
only their names, so listing them reads nothing. One that lists the user's files also offers ``look(data)``, whose value
both of the others then take as a second argument, so that nothing is listed twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any, ClassVar, TypedDict

from minform_cli.config import legality
from minform_cli.config.schema import PLACES, DataConfig, RunConfig
from minform_cli.errors import InputError, counted
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
        "text": "minform_cli.data.sets.text",
        "pydoc-topics": "minform_cli.data.sets.pydoc_topics",
        "parallel-text": "minform_cli.data.sets.parallel_text",
        "multi30k": "minform_cli.data.sets.multi30k",
        "glue": "minform_cli.data.sets.glue",
    },
)

IMAGE_FILES = ("path", "image_size", "channels", "exif_orientation", "max_megapixels")
CHOICES = (*PLACES, "subset", *(key for key in IMAGE_FILES if key not in PLACES))
"""Settings that say which files and what of them; a data set refuses those that it would ignore."""


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """What all data sets say of themselves; `ImageSpec` and `TextSpec` add the shape of an example.

    Attributes:
        name: registered name.
        title: how tables call it, for example ``CIFAR-10``.
        source: who made it, and where it is described.
        class_names: one per class, in the order of the labels; none where no class is predicted.
        num_train: examples trained on, after the hold-out and `data.limit`; 0 where only opening the files tells.
        num_val: examples validated on.
        num_test: examples of the test split; 0 where there is none, or where it is the validation split.
        own_val: whether the validation examples are a set of their own, not held out of the training set.
    """

    kind: ClassVar[str]
    name: str
    title: str
    source: str
    class_names: tuple[str, ...] = ()
    num_train: int = 0
    num_val: int = 0
    num_test: int = 0
    own_val: bool = False

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def num_outputs(self) -> int:
        """M of the determination ratio: numbers that the task's head gives for an example or a token."""
        return self.num_classes


@dataclass(frozen=True, kw_only=True)
class ImageSpec(DataSpec):
    """Images of one shape.

    Attributes:
        channels, height, width: of one image, in pixels.
    """

    kind = "images"
    channels: int
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class TextSpec(DataSpec):
    """Sequences of tokens.

    Attributes:
        vocab_size: rows of the token embedding.
        seq_len: tokens of the longest example, special ones included.
        outputs: M where the task predicts neither a class nor a token (1 for a number); None where it does.
    """

    kind = "text"
    vocab_size: int
    seq_len: int
    outputs: int | None = None

    @property
    def num_outputs(self) -> int:
        """Classes, or what `outputs` says, or the vocabulary."""
        return self.outputs or self.num_classes or self.vocab_size


@dataclass(frozen=True, kw_only=True)
class PairSpec(TextSpec):
    """Sequences of tokens in two languages with one vocabulary, each up to `seq_len` long."""

    kind = "pairs"


KINDS: Mapping[str, type[DataSpec]] = {cls.kind: cls for cls in (ImageSpec, TextSpec, PairSpec)}
"""Every kind of examples."""


def spec_record(spec: DataSpec) -> dict[str, Any]:
    """`spec` in plain JSON, as a run's folder keeps it."""
    return {"kind": spec.kind, **{field.name: getattr(spec, field.name) for field in fields(spec)}}


def spec_of(record: Mapping[str, Any]) -> DataSpec:
    """The spec that `spec_record` made `record` of."""
    values: dict[str, Any] = {**record, "class_names": tuple(record["class_names"])}
    return KINDS[values.pop("kind")](**values)


class SplitSizes(TypedDict):
    """The sizes of the splits, as a spec takes them."""

    num_train: int
    num_val: int
    num_test: int
    own_val: bool


def split_sizes(
    data: DataConfig, official_train: int, holdout: int, num_test: int, num_classes: int, published_val: int = 0
) -> SplitSizes:
    """The sizes after `data.validation` and `data.limit`.

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
        sizes = SplitSizes(num_train=official_train, num_val=num_test, num_test=0, own_val=False)
    else:
        sizes = SplitSizes(
            num_train=official_train - holdout,
            num_val=published_val or holdout,
            num_test=num_test,
            own_val=published_val > 0,
        )
    if data.limit is None:
        return sizes
    most = sizes["num_train"]
    if data.limit > most:
        raise InputError(
            f"data.limit: {data.limit} is more than the {counted(most, 'training example')} of {data.name}"
        )
    if data.limit < num_classes:
        raise InputError(
            f"data.limit: {data.limit} is less than the {counted(num_classes, 'class', 'classes')} of {data.name}, "
            f"one example of each is the least; accepted: {num_classes} to {most}"
        )
    return {**sizes, "num_train": data.limit}


def described(data: DataConfig) -> DataSpec:
    """What the data set says of itself under these settings.

    Raises:
        InputError: it is unknown, a setting has no use for it, or its files are asked for and absent.
    """
    spec: DataSpec = checked_set(data).spec(data)
    return spec


def checked_set(data: DataConfig) -> ModuleType:
    """The module of the data set; `InputError` if it is unknown, or would ignore a setting that says which files."""
    data_set = DATA_SETS.get(data.name, "data.name")
    for key in CHOICES:
        value = getattr(data, key)
        if value != DataConfig.model_fields[key].default and key not in data_set.TAKES:
            taken = ", ".join(f"data.{name}" for name in data_set.TAKES) or "no such setting"
            others = ", ".join(name for name in DATA_SETS.names() if key in DATA_SETS.get(name).TAKES)
            raise InputError(
                f"data.{key}: {value!r} has no use for {data.name}; accepted: {taken}; data.{key} is for {others}"
            )
    return data_set


def spec_for(config: RunConfig) -> DataSpec:
    """The spec of the config's data set, once the model is known to fit it.

    Whoever also loads the examples opens their `data.source.Source`, and gives its spec to `check_fits`.

    Raises:
        InputError: the data set is unknown, its files are asked for and absent, or as `check_fits`.
    """
    spec = described(config.data)
    check_fits(config, spec)
    return spec


def check_fits(config: RunConfig, spec: DataSpec) -> None:
    """Whether the model of `config` takes the examples that `spec` describes.

    Raises:
        InputError: the model takes other examples: the patch does not divide the image, or there are fewer positions
            than tokens; or batches are to have a number of tokens, and the examples are no sentence pairs.
    """
    check_batch_tokens(config, spec)
    _check_augmentation(config.data, spec)
    legality.check_embedding(config.model, spec.kind, spec.title)
    if isinstance(spec, ImageSpec):
        legality.check_image(config.model, spec.height, spec.width, spec.title)
    if isinstance(spec, TextSpec):
        legality.check_length(config.model, spec.seq_len, spec.title)


AUGMENTATION = ("crop_padding", "horizontal_flip", "auto_augment", "random_erasing", "mixup", "cutmix")
"""Settings of a data section that change training images at random."""


def _check_augmentation(data: DataConfig, spec: DataSpec) -> None:
    """Raises `InputError` if what is no image is to be changed as one."""
    wrong = [key for key in AUGMENTATION if getattr(data, key) != DataConfig.model_fields[key].default]
    if wrong and not isinstance(spec, ImageSpec):
        raise InputError(f"data.{wrong[0]}: is for images, and {spec.title} has none; accepted: no data.{wrong[0]}")


def check_batch_tokens(config: RunConfig, spec: DataSpec) -> None:
    """Raises `InputError` if batches are to have a number of tokens, and the examples are no sentence pairs."""
    if config.train.batch_tokens is not None and not isinstance(spec, PairSpec):
        raise InputError(
            f"train.batch_tokens: is for sentence pairs, and {spec.title} has none; "
            "accepted: train.batch_size, and no train.batch_tokens"
        )
