"""The 8x8 grey digits that come with scikit-learn: real handwriting, no network, trained on in seconds.

Values 0..16 become 0..255 (v is stored as 255 v // 16). There is no published split: 270 of the 1,797 are the test set,
chosen once and for all with the classes in proportion; together with 270 held out that is 70 / 15 / 15 percent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minform_cli.config.schema import DataConfig
from minform_cli.data.spec import ImageSpec, split_sizes

if TYPE_CHECKING:
    from minform_cli.data.images.pixels import OfficialData

SUMMARY = "1,797 handwritten digits, 8x8 grey; comes with scikit-learn, needs no network"
SOURCE = "Alpaydin, Kaynak 1998, Optical recognition of handwritten digits, UCI (its test part)"
TAKES: tuple[str, ...] = ()
NUM_TRAIN, NUM_TEST, HOLDOUT = 1_527, 270, 270
TEST_SEED = 3


def spec(data: DataConfig) -> ImageSpec:
    """Shapes and sizes, without opening a file."""
    sizes = split_sizes(data, NUM_TRAIN, HOLDOUT, NUM_TEST, num_classes=10)
    return ImageSpec(
        name="digits",
        title="digits",
        source=SOURCE,
        channels=1,
        height=8,
        width=8,
        class_names=tuple("0123456789"),
        **sizes,
    )


def load_official(data: DataConfig) -> OfficialData:  # noqa: ARG001  (every data set takes its section)
    """1,527 training and 270 test images."""
    import numpy as np
    from sklearn.datasets import load_digits

    from minform_cli.data.images.pixels import ImageSplit, OfficialData
    from minform_cli.data.split import stratified

    values, targets = load_digits(return_X_y=True)
    images = (values.reshape(-1, 1, 8, 8) * 255 // 16).astype(np.uint8)
    everything = ImageSplit(images, targets.astype(np.int64))
    test = stratified(everything.labels, NUM_TEST, TEST_SEED)
    train = np.setdiff1d(np.arange(len(everything)), test)
    return OfficialData(everything.take(train), None, everything.take(test), HOLDOUT)
