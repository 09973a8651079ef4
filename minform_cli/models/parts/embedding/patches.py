"""Image patches as tokens: a convolution of stride and kernel p, learned tokens before them, positions on top.

Numbers: C p^2 N (+ N bias), N of a class token and of each beside it, positions by their part.
Source: An Image is Worth 16x16 Words, arXiv 2010.11929, section 3.1.
"""

from __future__ import annotations

import math
from typing import cast

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.norm import written
from minform_cli.config.schema import ModelConfig
from minform_cli.data.spec import DataSpec, ImageSpec
from minform_cli.models.parts.base import drawn, has_bias
from minform_cli.models.parts.centred import columns_for
from minform_cli.models.parts.embedding.base import EMBEDDINGS, ImageEmbedding


class PatchEmbedding(ImageEmbedding):
    """From images to tokens. Projection -> `patches`, the readout's own -> `class_token`, positions -> `positions`."""

    exact_where = "both have as many learned tokens, and positions; what leaves takes nothing else along"

    def __init__(self, model: ModelConfig, spec: DataSpec) -> None:
        super().__init__(model, spec)
        image, p = cast(ImageSpec, spec), model.patch_size
        width = written(model)
        patches = nn.Conv2d(image.channels, width, kernel_size=p, stride=p, bias=has_bias(model))
        self.patches = drawn(patches, 1 / math.sqrt(image.channels * p * p))
        self._add(model, (image.height // p, image.width // p), width)

    def tokens_of(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b t n"]:
        """The convolution as a linear map over the pixels of each patch: faster, above all backwards."""
        (rows, columns), (p, _) = self.grid, self.patches.kernel_size
        batch, channels = images.shape[:2]
        pixels = images[:, :, : rows * p, : columns * p].reshape(batch, channels, rows, p, columns, p)
        pixels = pixels.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, channels * p * p)
        return F.linear(pixels, self.patches.weight.flatten(1), self.patches.bias)

    def _take(self, source: nn.Module, beside: nn.Module | None) -> None:
        if (
            not isinstance(source, PatchEmbedding)
            or source.patches.weight.shape[1:] != self.patches.weight.shape[1:]
            or source.width - self.width not in (0, 1)
        ):
            super()._take(source, beside)
            return
        self.patches.weight.copy_(columns_for(source.patches.weight.movedim(0, -1), self.width).movedim(-1, 0))
        if self.patches.bias is not None and source.patches.bias is not None:
            self.patches.bias.copy_(columns_for(source.patches.bias, self.width))
        self._take_added(source)


EMBEDDINGS.register("patches")(PatchEmbedding)
