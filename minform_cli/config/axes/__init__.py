"""The axes of a model and, per axis, one options class for each part.

Importing this package registers every part. No torch here: a wrong name must be refused without waiting for it.
"""

from minform_cli.config.axes import (  # importing registers their parts
    bias,
    cross_layer,
    embedding,
    linear,
    mask,
    mlp,
    norm,
    order,
    position,
    readout,
    residual,
    similarity,
    value,
)
from minform_cli.config.axes.base import AXES, Axis, PartOptions, PerBlock, Requires

__all__ = [
    "AXES",
    "Axis",
    "PartOptions",
    "PerBlock",
    "Requires",
    "bias",
    "cross_layer",
    "embedding",
    "linear",
    "mask",
    "mlp",
    "norm",
    "order",
    "position",
    "readout",
    "residual",
    "similarity",
    "value",
]
