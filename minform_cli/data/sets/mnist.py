"""MNIST: 28x28 grey images of handwritten digits.

The SHA-256 below are those of the unpacked files, the same whichever mirror packed them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minform_cli.config.schema import DataConfig
from minform_cli.data.spec import ImageSpec, split_sizes

if TYPE_CHECKING:
    from minform_cli.data.images.pixels import OfficialData

SUMMARY = "70,000 handwritten digits, 28x28 grey; downloaded once (11 MB)"
SOURCE = "LeCun, Bottou, Bengio, Haffner 1998, Gradient-based learning applied to document recognition"
TAKES: tuple[str, ...] = ()
NUM_TRAIN, NUM_TEST, HOLDOUT = 60_000, 10_000, 5_000


def spec(data: DataConfig) -> ImageSpec:
    """Shapes and sizes, without opening a file."""
    sizes = split_sizes(data, NUM_TRAIN, HOLDOUT, NUM_TEST, num_classes=10)
    return ImageSpec(
        name="mnist",
        title="MNIST",
        source=SOURCE,
        channels=1,
        height=28,
        width=28,
        class_names=tuple("0123456789"),
        **sizes,
    )


def load_official(data: DataConfig) -> OfficialData:  # noqa: ARG001  (every data set takes its section)
    """The 60,000 training and 10,000 test images; errors as `load_idx` raises them."""
    from minform_cli.data.images.idx import IdxFile, IdxSet, load_idx

    published = IdxSet(
        title="MNIST",
        folders=("mnist/MNIST/raw", "MNIST/raw"),
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        train_images=IdxFile(
            "train-images-idx3-ubyte",
            NUM_TRAIN,
            sha256="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        train_labels=IdxFile(
            "train-labels-idx1-ubyte",
            NUM_TRAIN,
            sha256="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        test_images=IdxFile(
            "t10k-images-idx3-ubyte",
            NUM_TEST,
            sha256="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        test_labels=IdxFile(
            "t10k-labels-idx1-ubyte",
            NUM_TEST,
            sha256="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    )
    return load_idx(published, HOLDOUT)
