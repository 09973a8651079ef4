"""Convolutional tokenizer: overlapping convolutions that halve the grid, an activation behind each; places are tokens.

Numbers: k^2 c_in c_out (+ c_out bias) a convolution; a separable one k^2 c_in + c_in c_out (+ c_out); N of a class
token and of each beside it, positions by their part.
Sources: CCT, arXiv 2104.05704, section 3.3 (dense, with ``pool: true`` and ``activation: relu``); by stride: Early
Convolutions Help Transformers See Better, arXiv 2106.14881; separable: MobileNets, arXiv 1704.04861, section 3.1. The
depthwise half has no bias: the map behind it has one, which can be any that it would make.
"""

from __future__ import annotations

import math
from typing import cast

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.embedding import Convolution, Convolutions
from minform_cli.config.schema import ModelConfig
from minform_cli.data.spec import DataSpec, ImageSpec
from minform_cli.models.parts.base import drawn, has_bias
from minform_cli.models.parts.embedding.base import EMBEDDINGS, ImageEmbedding


class ConvTokenizer(ImageEmbedding):
    """From images to tokens; the convolutions -> `convolutions`."""

    no_source = "convolutions that overlap are no map of patches by themselves"

    def __init__(self, model: ModelConfig, spec: DataSpec) -> None:
        super().__init__(model, spec)
        image, options = cast(ImageSpec, spec), cast(Convolutions, model.embedding)
        self.each = options.convolutions(model, image.channels, image.height, image.width)
        self.convolutions = nn.ModuleList(_made(one, bias=has_bias(model)) for one in self.each)
        self.pools, self.activation = options.pool, {"gelu": F.gelu, "relu": F.relu}[options.activation]
        self._add(model, options.grid(image.height, image.width), model.dim)

    def tokens_of(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b t n"]:
        """The channels of every place of the last grid."""
        x: Tensor = images
        for convolution, one in zip(self.convolutions, self.each, strict=True):
            x = convolution(x)
            if one.activated:
                x = self.activation(x)
                x = F.max_pool2d(x, 3, stride=2, padding=1) if self.pools else x
        return x.flatten(2).transpose(1, 2)


def _made(it: Convolution, *, bias: bool) -> nn.Conv2d:
    """One of them, with weights that keep the variance of what an activation lets half of through."""
    groups = it.dim_in if it.depthwise else 1
    made = nn.Conv2d(
        it.dim_in,
        it.dim_out,
        it.kernel,
        it.stride,
        padding=it.kernel // 2,
        groups=groups,
        bias=bias and not it.depthwise,
    )
    return drawn(made, math.sqrt((2 if it.activated else 1) / (it.dim_in // groups * it.kernel**2)))


EMBEDDINGS.register("convolutions")(ConvTokenizer)
