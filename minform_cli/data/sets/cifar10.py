"""CIFAR-10: 32x32 colour photographs in ten classes, from the binary archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minform_cli.config.schema import DataConfig
from minform_cli.data.spec import ImageSpec, split_sizes

if TYPE_CHECKING:
    from minform_cli.data.images.pixels import OfficialData

SUMMARY = "60,000 photographs in 10 classes, 32x32 colour; downloaded once (170 MB)"
SOURCE = "Krizhevsky 2009, Learning multiple layers of features from tiny images"
TAKES: tuple[str, ...] = ()
NUM_TRAIN, NUM_TEST, HOLDOUT = 50_000, 10_000, 5_000
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def spec(data: DataConfig) -> ImageSpec:
    """Shapes and sizes, without opening a file."""
    sizes = split_sizes(data, NUM_TRAIN, HOLDOUT, NUM_TEST, num_classes=len(CLASSES))
    return ImageSpec(
        name="cifar10", title="CIFAR-10", source=SOURCE, channels=3, height=32, width=32, class_names=CLASSES, **sizes
    )


def load_official(data: DataConfig) -> OfficialData:  # noqa: ARG001  (every data set takes its section)
    """The 50,000 training and 10,000 test images; errors as `load_cifar` raises them."""
    from minform_cli.data.images.cifar import CifarSet, load_cifar

    published = CifarSet(
        title="CIFAR-10",
        folder="cifar10",
        archive="cifar-10-binary.tar.gz",
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        inner="cifar-10-batches-bin",
        train_files={
            "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
            "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
            "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
            "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
            "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        },
        test_files={"test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"},
        label_bytes=1,
        num_classes=len(CLASSES),
        pickled=("cifar-10-batches-py", "cifar-10-python.tar.gz"),
    )
    return load_cifar(published, HOLDOUT)
