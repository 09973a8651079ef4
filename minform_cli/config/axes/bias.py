"""Axis `bias`: which linear maps carry a bias vector.

LayerNorm keeps its own shift under every setting: it is no linear map. The parts `mirrored` and `cholesky` never
have one, whatever stands here, and omitted maps have none either.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal, cast

from minform_cli.config.axes.base import PartOptions, new_axis
from minform_cli.config.form import BiasForm

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig


class Bias(PartOptions, frozen=True):
    """Base of the settings of biases."""

    @abstractmethod
    def form(self) -> BiasForm:
        """Which maps have one."""

    def without_dead(self) -> Bias:
        """The same without biases that cannot change the output."""
        return self


BIAS = new_axis("bias", "which linear maps carry a bias", Bias, per_block=True)


def has_bias(model: ModelConfig) -> bool:
    """Whether linear maps with a live bias have one."""
    return cast(Bias, model.bias).form().live


def has_dead_bias(model: ModelConfig) -> bool:
    """Whether those have one whose bias cannot change the output."""
    return cast(Bias, model.bias).form().dead


def live_bias(model: ModelConfig, numbers: int) -> int:
    """The numbers of a bias that can change the output, `numbers` where there is one."""
    return numbers if has_bias(model) else 0


def dead_bias(model: ModelConfig, numbers: int) -> int:
    """Likewise of one that cannot."""
    return numbers if has_dead_bias(model) else 0


@BIAS.part
class All(Bias, frozen=True):
    """A bias on every linear map, as published architectures have it, dead key biases included."""

    kind: Literal["all"] = "all"
    meaning = "every linear map, dead key biases included (as published architectures count)"
    source = "torch.nn.MultiheadAttention and torch.nn.TransformerEncoderLayer, bias=True"

    def form(self) -> BiasForm:  # noqa: D102
        return BiasForm(live=True, dead=True)

    def without_dead(self) -> Bias:  # noqa: D102
        return Live()


@BIAS.part
class Live(Bias, frozen=True):
    """Every bias that can change the output: all but the key biases that softmax cancels."""

    kind: Literal["live"] = "live"
    meaning = "every bias but the key biases that softmax cancels"
    source = "softmax(s + c) = softmax(s) for a number c added to all scores of one query"

    def form(self) -> BiasForm:  # noqa: D102
        return BiasForm(live=True, dead=False)


@BIAS.part
class NoBias(Bias, frozen=True):
    """No bias on any linear map: projections, MLP, patch embedding, head."""

    kind: Literal["none"] = "none"
    meaning = "no linear map has a bias, patch embedding and head included"
    source = "PaLM, arXiv 2204.02311, section 2 (no biases in dense kernels)"

    def form(self) -> BiasForm:  # noqa: D102
        return BiasForm(live=False, dead=False)
