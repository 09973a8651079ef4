"""The linear head of a classifier: an output a class, or all but the last, whose output is 0.

Softmax does not see what is added to all outputs, so those of the last class can be taken from all of them.
Numbers: M N + M for M classes, or (M - 1) (N + 1). Source: multinomial logistic regression with a reference class.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.bias import has_bias
from minform_cli.config.axes.readout import has_reference_class
from minform_cli.config.schema import ModelConfig


class ReferencedLinear(nn.Linear):
    """x W + b for all classes but the last."""

    def forward(self, input: Float[Tensor, "b n"]) -> Float[Tensor, "b m"]:
        """Outputs of all classes, the last of them 0."""
        return F.pad(super().forward(input), (0, 1))


class MeanOfHeads(nn.Module):
    """(x_0 W_0 + b_0 + x_1 W_1 + b_1) / 2 of two vectors. Their heads -> `of_class`, `of_distillation`.

    Source: Training data-efficient image transformers, arXiv 2012.12877, section 4 (how it classifies).
    """

    def __init__(self, model: ModelConfig, outputs: int) -> None:
        super().__init__()
        self.of_class = class_head(model, outputs)
        self.of_distillation = class_head(model, outputs)

    def forward(self, x: Float[Tensor, "b 2 n"]) -> Float[Tensor, "b m"]:
        """The mean of both outputs."""
        return (self.of_class(x[:, 0]) + self.of_distillation(x[:, 1])) / 2


def class_head(model: ModelConfig, outputs: int) -> nn.Linear:
    """From a vector (B, N) to `outputs` numbers (B, M), the model's readout saying how they are stored."""
    if has_reference_class(model):
        return ReferencedLinear(model.dim, outputs - 1, bias=has_bias(model))
    return nn.Linear(model.dim, outputs, bias=has_bias(model))


def took_classes(head: nn.Module, source: nn.Module) -> bool:
    """Gives `head`, if it leaves the last class out, what the head `source` of all classes does up to a shift.

    Returns:
        Whether both are so.
    """
    maps = [part for part in head.modules() if isinstance(part, ReferencedLinear)]
    theirs = [part for part in source.modules() if isinstance(part, nn.Linear)]
    if len(maps) != 1 or len(theirs) != 1 or theirs[0].out_features != maps[0].out_features + 1:
        return False
    numbers, wanted = dict(theirs[0].named_parameters()), dict(maps[0].named_parameters())
    for name, parameter in wanted.items():
        if name in numbers:
            parameter.copy_(numbers[name][:-1] - numbers[name][-1])
    return True
