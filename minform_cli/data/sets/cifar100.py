"""CIFAR-100: 32x32 colour photographs in a hundred fine classes, from the binary archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minform_cli.config.schema import DataConfig
from minform_cli.data.spec import ImageSpec, split_sizes

if TYPE_CHECKING:
    from minform_cli.data.images.pixels import OfficialData

SUMMARY = "60,000 photographs in 100 classes, 32x32 colour; downloaded once (169 MB)"
SOURCE = "Krizhevsky 2009, Learning multiple layers of features from tiny images"
TAKES: tuple[str, ...] = ()
NUM_TRAIN, NUM_TEST, HOLDOUT = 50_000, 10_000, 5_000
CLASS_LINE = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can "
    "castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin "
    "elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster "
    "man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck "
    "pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk "
    "skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger "
    "tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)
CLASSES = tuple(CLASS_LINE.split(" "))


def spec(data: DataConfig) -> ImageSpec:
    """Shapes and sizes, without opening a file."""
    sizes = split_sizes(data, NUM_TRAIN, HOLDOUT, NUM_TEST, num_classes=len(CLASSES))
    return ImageSpec(
        name="cifar100", title="CIFAR-100", source=SOURCE, channels=3, height=32, width=32, class_names=CLASSES, **sizes
    )


def load_official(data: DataConfig) -> OfficialData:  # noqa: ARG001  (every data set takes its section)
    """The 50,000 training and 10,000 test images; errors as `load_cifar` raises them."""
    from minform_cli.data.images.cifar import CifarSet, load_cifar

    published = CifarSet(
        title="CIFAR-100",
        folder="cifar100",
        archive="cifar-100-binary.tar.gz",
        url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        inner="cifar-100-binary",
        train_files={"train.bin": "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29"},
        test_files={"test.bin": "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a"},
        label_bytes=2,  # the coarse class, then the fine one
        num_classes=len(CLASSES),
        pickled=("cifar-100-python", "cifar-100-python.tar.gz"),
    )
    return load_cifar(published, HOLDOUT)
