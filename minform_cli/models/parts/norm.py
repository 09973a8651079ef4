"""Layer normalisation of a sublayer's input (`pre`), the sum after it (`post`), its input and output (`peri`), or none.

Numbers: 2 N each (gain and bias), N of an RMSNorm, or none where the maps that read it have taken them over.
Sources: Layer Normalization, arXiv 1607.06450; Root Mean Square Layer Normalization, arXiv 1910.07467; where it stands:
options classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.norm import Alike, Pre, centred
from minform_cli.config.axes.norm import Norm as Options
from minform_cli.config.form import NormForm
from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from minform_cli.models.parts.base import Absent, Convertible, PerRun
from minform_cli.registry import Registry


class Norm(Convertible, nn.LayerNorm):
    """`torch.nn.LayerNorm` over the model's width, counted in its own group.

    Args:
        model: sizes and parts.
        affine: whether it has a gain and a bias.
    """

    parameter_group: ClassVar[str] = "norm"
    exact_where = "it stands where the one before stood, and has no gain and bias only where those were 1 and 0"

    def __init__(self, model: ModelConfig, *, affine: bool = True) -> None:
        super().__init__(model.dim, eps=cast("Alike | Pre", model.norm).eps, elementwise_affine=affine)

    def _take(self, source: nn.Module, beside: nn.Module | None) -> None:  # noqa: ARG002
        take_affine(self, source)


class RmsNorm(Convertible, nn.Module):
    """x g / sqrt(mean(x^2) + eps) + b: `Norm` of tokens that have a mean of zero already. g -> `weight`, b -> `bias`.

    Args:
        model: sizes and parts.
        affine: whether it has both.
    """

    parameter_group: ClassVar[str] = "norm"
    exact_where = "the tokens have a mean of zero, and as of `Norm`"

    def __init__(self, model: ModelConfig, *, affine: bool = True) -> None:
        super().__init__()
        self.dim, self.eps = model.dim, cast(Pre, model.norm).eps
        self.weight = nn.Parameter(torch.ones(model.dim)) if affine else None
        self.bias = nn.Parameter(torch.zeros(model.dim)) if affine else None

    def forward(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b t n"]:
        """Every token by itself."""
        normed = F.rms_norm(x, (self.dim,), self.weight, self.eps)
        return normed if self.bias is None else normed + self.bias

    def _take(self, source: nn.Module, beside: nn.Module | None) -> None:  # noqa: ARG002
        take_affine(self, source)


class GainNorm(Convertible, nn.RMSNorm):
    """`torch.nn.RMSNorm` over the model's width: x g / sqrt(mean(x^2) + eps), of tokens of any mean. g -> `weight`.

    Numbers: N. Arguments as of `Norm`.
    Source: Root Mean Square Layer Normalization, arXiv 1910.07467.
    """

    parameter_group: ClassVar[str] = "norm"
    exact_where = "the tokens have a mean of zero, and there was no shift"
    bias = None

    def __init__(self, model: ModelConfig, *, affine: bool = True) -> None:
        super().__init__(model.dim, eps=cast("Alike | Pre", model.norm).eps, elementwise_affine=affine)

    def _take(self, source: nn.Module, beside: nn.Module | None) -> None:  # noqa: ARG002
        take_affine(self, source)


class RunNorm(PerRun, Convertible):
    """`Norm` with gain and bias of their own in every run k of its block, (k, N) each -> `gain`, `bias`.

    Numbers: 2 k N.
    """

    parameter_group: ClassVar[str] = "norm"
    exact_where = "in every run of the block the norm is the same"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.dim, self.eps = model.dim, cast(Pre, model.norm).eps
        self.gain = nn.Parameter(torch.ones(model.runs, model.dim))
        self.bias = nn.Parameter(torch.zeros(model.runs, model.dim))

    def forward(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b t n"]:
        """Every token by itself."""
        return F.layer_norm(x, (self.dim,), self.gain[self.run], self.bias[self.run], self.eps)

    def _take(self, source: nn.Module, beside: nn.Module | None) -> None:  # noqa: ARG002
        """In every run the source's; of one for other runs, the mean over them."""
        if isinstance(source, RunNorm) and source.dim == self.dim:
            gain, bias = source.gain.mean(0), source.bias.mean(0)
        elif isinstance(source, (Norm, RmsNorm, GainNorm)):
            gain, bias = affine_of(source)
        else:
            self.refuse(source)
        self.gain.copy_(gain)
        self.bias.copy_(bias)


AnyNorm = Norm | RmsNorm | GainNorm


def take_affine(norm: AnyNorm, source: nn.Module) -> None:
    """Gives `norm` gain and bias of `source`: 1 and 0 where that has none; lost where `norm` has none."""
    if not isinstance(source, (Norm, RmsNorm, GainNorm)):
        raise InputError(f"{type(norm).__name__} has no weights from {type(source).__name__}: it is no norm")
    gain, bias = affine_of(source)
    if norm.weight is not None:
        norm.weight.copy_(gain)
    if norm.bias is not None:
        norm.bias.copy_(bias)


def affine_of(norm: AnyNorm) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Gain and bias in float64, 1 and 0 where there are none."""
    dim = norm.dim if isinstance(norm, RmsNorm) else norm.normalized_shape[0]
    gain = torch.ones(dim) if norm.weight is None else norm.weight.detach()
    return gain.double(), gain.new_zeros(dim).double() if norm.bias is None else norm.bias.detach().double()


NORMS: Registry[Callable[[ModelConfig], Norm | None]] = Registry("norm")
"""The norm that each kind is made of, where nothing else is asked of it; `new_norm` asks the options."""


NORMS.register("pre")(Norm)
NORMS.register("post")(Norm)
NORMS.register("peri")(Norm)
NORMS.register("none")(Absent("what it normalised had mean 0 and variance 1, and its scale was 1, its shift 0"))


def new_norm(model: ModelConfig) -> AnyNorm | RunNorm | None:
    """One more norm of the model, of a sublayer, if it has any."""
    if isinstance(model.norm, Pre) and model.norm.per_run:
        return RunNorm(model)
    return _built(model, cast(Options, model.norm).form(model))


def out_norm(model: ModelConfig) -> AnyNorm | None:
    """One more norm of what a sublayer gives, before it is added to the tokens, if it has one."""
    return _built(model, cast(Options, model.norm).of_output(model))


def first_norm(model: ModelConfig) -> AnyNorm | None:
    """That of the tokens before the first block, if they have one."""
    return _built(model, cast(Options, model.norm).before(model))


def embedding_norm(model: ModelConfig) -> AnyNorm | None:
    """That of an embedding which is normalised, where there are norms."""
    return _built(model, cast(Options, model.norm).of_embedding(model))


def stands_first(model: ModelConfig) -> bool:
    """Whether a norm is of what a sublayer reads, and the last block's tokens are normalised once more."""
    form = cast(Options, model.norm).form(model)
    return form is not None and form.first


def final_norm(model: ModelConfig) -> AnyNorm | None:
    """That of the last block's tokens, where norms stand first."""
    return _built(model, cast(Options, model.norm).last(model))


def _built(model: ModelConfig, form: NormForm | None) -> AnyNorm | None:
    if form is None:
        return None
    kind = RmsNorm if centred(model) else GainNorm if cast("Alike | Pre", model.norm).rms else Norm
    return kind(model, affine=bool(form.holds))
