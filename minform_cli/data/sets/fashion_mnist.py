"""Fashion-MNIST: 28x28 grey images of clothes, in MNIST's format and sizes.

The SHA-256 below are those of the published packed files. For files that already lie there unpacked the authors give
none; their header, length, and the number of labels of each class (all equal here) are checked instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minform_cli.config.schema import DataConfig
from minform_cli.data.spec import ImageSpec, split_sizes

if TYPE_CHECKING:
    from minform_cli.data.images.pixels import OfficialData

SUMMARY = "70,000 pieces of clothing, 28x28 grey; downloaded once (31 MB)"
SOURCE = "Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747"
TAKES: tuple[str, ...] = ()
NUM_TRAIN, NUM_TEST, HOLDOUT = 60_000, 10_000, 5_000
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def spec(data: DataConfig) -> ImageSpec:
    """Shapes and sizes, without opening a file."""
    sizes = split_sizes(data, NUM_TRAIN, HOLDOUT, NUM_TEST, num_classes=len(CLASSES))
    return ImageSpec(
        name="fashion-mnist",
        title="Fashion-MNIST",
        source=SOURCE,
        channels=1,
        height=28,
        width=28,
        class_names=CLASSES,
        **sizes,
    )


def load_official(data: DataConfig) -> OfficialData:  # noqa: ARG001  (every data set takes its section)
    """The 60,000 training and 10,000 test images; errors as `load_idx` raises them."""
    from minform_cli.data.images.idx import IdxFile, IdxSet, load_idx

    published = IdxSet(
        title="Fashion-MNIST",
        folders=("fashion-mnist/FashionMNIST/raw", "FashionMNIST/raw"),
        # The authors' own address serves plain http alone; these two carry the same files.
        mirrors=(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/"
            "b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
        train_images=IdxFile(
            "train-images-idx3-ubyte",
            NUM_TRAIN,
            packed_sha256="3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        train_labels=IdxFile(
            "train-labels-idx1-ubyte",
            NUM_TRAIN,
            packed_sha256="a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            per_class=6_000,
        ),
        test_images=IdxFile(
            "t10k-images-idx3-ubyte",
            NUM_TEST,
            packed_sha256="346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        test_labels=IdxFile(
            "t10k-labels-idx1-ubyte",
            NUM_TEST,
            packed_sha256="67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            per_class=1_000,
        ),
    )
    return load_idx(published, HOLDOUT)
