"""The sublayers after attention.

`gelu`: gelu(x W_1 + b_1) W_2 + b_2, hidden width r N. Numbers: 2 r N^2, biases r N + N. W_1 -> `w_1`, W_2 -> `w_2`.
`gelu-tanh`: the same with x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) for gelu(x). Numbers: as `gelu`.
`relu`: the same with max(0, .) between. Numbers: as `gelu`.
`swiglu`: (silu(x W_1 + b_1) * (x W_3 + b_3)) W_2 + b_2, hidden width h = floor(2 r N / 3). Numbers: 3 h N, biases
2 h + N.
`geglu`: the same with gelu for silu. Numbers: as `swiglu`.
`depthwise`: gelu(K * x + b) over the grid of an image's tokens, K k x k for each channel, zeros beyond the borders.
Numbers: k^2 N, bias N. K, b -> `convolution`.
`mix-ffn`: gelu(K * (x W_1 + b_1) + b) W_2 + b_2, hidden width h = r N, K k x k for each hidden unit, zeros beyond the
borders. Numbers: 2 h N + k^2 h, biases 2 h + N. K, b -> `convolution`.
`none`: no sublayer and no norm for it; no module stands for it.
Sources: Attention Is All You Need, arXiv 1706.03762, section 3.3; by tanh: arXiv 1606.08415, section 2; gated: GLU
Variants Improve Transformer, arXiv 2002.05202, as Anthe, arXiv 2305.10991, has it; depthwise: Patches
Are All You Need?, arXiv 2201.09792, section 2 (without batch norm); Mix-FFN: SegFormer, arXiv 2105.15203, equation 3;
without it: arXiv 2410.13732.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.mlp import Depthwise, MixFfn, WithHidden
from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.base import Absent, OnGrid, Part, drawn, has_bias
from minform_cli.models.parts.centred import writer
from minform_cli.models.parts.linear import Matrix, absorbed, linear_map, read_map, write_map
from minform_cli.registry import Registry

MLPS: Registry[Callable[[ModelConfig], nn.Module | None]] = Registry("mlp")


class TwoMaps(Part):
    """Two linear maps with an activation between them."""

    activation: ClassVar[Callable[[Tensor], Tensor]]

    parameter_group = "mlp"
    exact_where = "the activation is the same, and hidden units that find no place give nothing"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        hidden = cast(WithHidden, model.mlp).hidden(model)
        self.w_1 = linear_map(model, "mlp", model.dim, hidden, bias=has_bias(model))
        self.w_2 = writer(model, "mlp", hidden, bias=has_bias(model))
        self.dropout = model.dropout

    def forward(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b t n"]:
        """Each token by itself."""
        hidden = type(self).activation(self.w_1(x))
        if self.dropout:
            hidden = F.dropout(hidden, self.dropout, self.training)
        return self.w_2(hidden)

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"]) -> None:
        """Makes of tokens x what was made of x `product` + `shift`."""
        absorbed(self.w_1, product, shift)

    def _take(self, source: nn.Module, beside: nn.Module | None) -> None:
        """The units whose weights in and out are the largest, in their order; units without a source give nothing."""
        if not isinstance(source, TwoMaps):
            super()._take(source, beside)
            return
        first, second = largest_units(source, read_map(self.w_1).weight.shape[1])
        write_map(self.w_1, *first)
        write_map(self.w_2, *second)


def largest_units(source: TwoMaps, hidden: int) -> tuple[Matrix, Matrix]:
    """W_1 and W_2 with so many units: those whose weights in and out are the largest, then some of zeros."""
    (w_1, b_1), (w_2, b_2) = read_map(source.w_1), read_map(source.w_2)
    sizes = w_1.norm(dim=0) * w_2.norm(dim=1)
    kept = sizes.topk(min(hidden, w_1.shape[1])).indices.sort().values
    missing = (0, hidden - len(kept))
    return (
        Matrix(F.pad(w_1[:, kept], missing), F.pad(b_1[kept], missing)),
        Matrix(F.pad(w_2[kept].T, missing).T, b_2),
    )


@torch.no_grad()
def silence(mlp: nn.Module) -> None:
    """Makes an MLP whose last map is `w_2` add nothing."""
    w_2 = cast(nn.Module, mlp.w_2)
    weight, bias = read_map(w_2)
    write_map(w_2, torch.zeros_like(weight), torch.zeros_like(bias))


@MLPS.register("gelu")
class GeluMlp(TwoMaps):
    """With the exact GELU."""

    activation = F.gelu


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


@MLPS.register("gelu-tanh")
class GeluTanhMlp(TwoMaps):
    """With GELU by tanh."""

    activation = _gelu_tanh


@MLPS.register("relu")
class ReluMlp(TwoMaps):
    """With the rectifier."""

    activation = F.relu


class Gated(Part):
    """W_1 -> `w_1` (into the activation), W_3 -> `w_3`, W_2 -> `w_2`."""

    activation: ClassVar[Callable[[Tensor], Tensor]]

    parameter_group = "mlp"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        hidden = cast(WithHidden, model.mlp).hidden(model)
        self.w_1 = linear_map(model, "mlp", model.dim, hidden, bias=has_bias(model))
        self.w_3 = linear_map(model, "mlp", model.dim, hidden, bias=has_bias(model))
        self.w_2 = writer(model, "mlp", hidden, bias=has_bias(model))
        self.dropout = model.dropout

    def forward(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b t n"]:
        """Each token by itself."""
        hidden = type(self).activation(self.w_1(x)) * self.w_3(x)
        if self.dropout:
            hidden = F.dropout(hidden, self.dropout, self.training)
        return self.w_2(hidden)

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"]) -> None:
        """Makes of tokens x what was made of x `product` + `shift`."""
        absorbed(self.w_1, product, shift)
        absorbed(self.w_3, product, shift)

    def _take(self, source: nn.Module, beside: nn.Module | None) -> None:  # noqa: ARG002
        """Those of a gated one that is as wide; of two maps with its activation, where a bias can let through 1."""
        b_3 = cast("Tensor | None", self.w_3.bias)
        if isinstance(source, TwoMaps) and type(source).activation is type(self).activation and b_3 is not None:
            first, second = largest_units(source, len(b_3))
            write_map(self.w_1, *first)
            write_map(self.w_2, *second)
            write_map(self.w_3, torch.zeros_like(first.weight), torch.ones_like(first.bias))
            return
        theirs = dict(source.named_children())
        if type(source) is not type(self) or read_map(theirs["w_1"]).bias.shape != read_map(self.w_1).bias.shape:
            self.refuse(source)
        for name, part in self.named_children():
            write_map(part, *read_map(theirs[name]))


@MLPS.register("swiglu")
class SwiGlu(Gated):
    """With SiLU."""

    no_source = "a gate and what it lets through are two maps, and two thirds of the units are left"
    activation = F.silu


@MLPS.register("geglu")
class GeGlu(Gated):
    """With the exact GELU.

    Out of an MLP with GELU: its largest units, what they let through being 1, the bias of W_3; so not without biases.
    """

    exact_where = "the activation is the same, there are biases, and hidden units that find no place give nothing"
    activation = F.gelu


@MLPS.register("depthwise")
class DepthwiseMlp(OnGrid, Part):
    """K, b -> `convolution`."""

    parameter_group = "mlp"
    no_source = "it mixes tokens and no channels, and what stands in its place mixes channels and no tokens"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.convolution = _neighbours(model, model.dim, cast(Depthwise, model.mlp).kernel)

    def forward(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b t n"]:
        """Every channel by itself, all tokens of the grid."""
        return F.gelu(_over_grid(self.convolution, x, self.grid))


@MLPS.register("mix-ffn")
class MixFfnMlp(OnGrid, Part):
    """W_1 -> `w_1`, K, b -> `convolution`, W_2 -> `w_2`.

    Out of an MLP with GELU: its largest units, each of which sees itself alone, K being 1 in the middle.
    """

    parameter_group = "mlp"
    exact_where = "the activation is GELU, and hidden units that find no place give nothing"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        options = cast(MixFfn, model.mlp)
        hidden = options.hidden(model)
        self.w_1 = linear_map(model, "mlp", model.dim, hidden, bias=has_bias(model))
        self.convolution = _neighbours(model, hidden, options.kernel)
        self.w_2 = writer(model, "mlp", hidden, bias=has_bias(model))
        self.dropout = model.dropout

    def forward(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b t n"]:
        """All tokens of the grid: every hidden unit with itself at the neighbours."""
        hidden = F.gelu(_over_grid(self.convolution, self.w_1(x), self.grid))
        if self.dropout:
            hidden = F.dropout(hidden, self.dropout, self.training)
        return self.w_2(hidden)

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"]) -> None:
        """Makes of tokens x what was made of x `product` + `shift`."""
        absorbed(self.w_1, product, shift)

    def _take(self, source: nn.Module, beside: nn.Module | None) -> None:  # noqa: ARG002
        own = self.convolution
        theirs = dict(source.named_children())
        if type(source) is type(self) and cast(nn.Conv2d, theirs["convolution"]).weight.shape == own.weight.shape:
            own.load_state_dict(theirs["convolution"].state_dict())
            write_map(self.w_1, *read_map(theirs["w_1"]))
            write_map(self.w_2, *read_map(theirs["w_2"]))
            return
        if not isinstance(source, TwoMaps) or type(source).activation is not F.gelu:
            self.refuse(source)
        first, second = largest_units(source, own.in_channels)
        write_map(self.w_1, *first)
        write_map(self.w_2, *second)
        middle = own.kernel_size[0] // 2
        own.weight.zero_()
        own.weight[:, :, middle, middle] = 1
        if own.bias is not None:
            own.bias.zero_()


def _neighbours(model: ModelConfig, channels: int, kernel: int) -> nn.Conv2d:
    """A depthwise convolution that keeps the grid as large as it is."""
    convolution = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=has_bias(model))
    return drawn(convolution, 1 / kernel)


def _over_grid(convolution: nn.Conv2d, x: Float[Tensor, "b t n"], grid: tuple[int, int]) -> Float[Tensor, "b t n"]:
    """What it makes of tokens that are the places of that grid, row by row."""
    return convolution(x.transpose(1, 2).unflatten(2, grid)).flatten(2).transpose(1, 2)


MLPS.register("none")(Absent("W_2 and its bias were zero"))
