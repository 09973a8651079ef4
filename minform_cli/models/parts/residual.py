"""What a sublayer's outputs are multiplied by before they are added to its inputs."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.residual import Residual, Scaled
from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import Part, PerRun


class ResidualScale(PerRun, Part):
    """g_k * x in run k of its block, g (k x N) -> `gain`.

    Numbers: k N. Initial scale: `Scaled.initial`, all of them.
    Source: Touvron et al. 2021, Going deeper with Image Transformers, arXiv 2103.17239 (LayerScale, k = 1); SReT,
    arXiv 2111.05297 (scales for every run of a block).
    """

    parameter_group: ClassVar[str] = "norm"
    exact_where = "in every run of the block the scale is the same, or there was none"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        initial = cast(Scaled, model.residual).initial
        self.gain = nn.Parameter(torch.full((model.runs, model.dim), initial))

    def forward(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b t n"]:
        """Every token by itself."""
        return x * self.gain[self.run]

    @torch.no_grad()
    def from_none(self) -> None:
        """Takes over that there was no scale."""
        self.gain.fill_(1)

    def _take(self, source: nn.Module, beside: nn.Module | None) -> None:  # noqa: ARG002
        """The mean over the runs of a block, in every run of this one."""
        if not isinstance(source, ResidualScale) or source.gain.shape[1] != self.gain.shape[1]:
            self.refuse(source)
        self.gain.copy_(source.gain.mean(0))


def new_scale(model: ModelConfig) -> ResidualScale | None:
    """One more scale of a sublayer's outputs, if the model has any."""
    return None if cast(Residual, model.residual).form(model).scale is None else ResidualScale(model)
