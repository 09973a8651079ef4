"""Axis `mlp`: the sublayer after attention."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from minform_cli.config.axes.base import PartOptions, Requires, even_kernel, new_axis
from minform_cli.config.axes.bias import live_bias
from minform_cli.config.axes.embedding import embeddings_of
from minform_cli.config.axes.norm import writer
from minform_cli.config.axes.similarity import MINIMUM
from minform_cli.config.form import Map, MlpForm, Weights

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig


class Mlp(PartOptions, frozen=True):
    """Base of the sublayers after attention.

    Class attributes:
        not_absorbed: why a scale and a shift of what it reads cannot go into it; empty where that goes through linear
            maps with a live bias.
    """

    not_absorbed: ClassVar[str] = ""

    @abstractmethod
    def form(self, model: ModelConfig) -> MlpForm | None:
        """One block's; None: there is no such sublayer."""

    def not_centred(self) -> str | None:
        """Why what it adds to the tokens cannot leave one column out, being of mean zero; None where it can."""
        return None


MLP = new_axis("mlp", "the sublayer after attention", Mlp, per_block=True)


class WithHidden(Mlp, frozen=True):
    """Base of the MLPs that have a hidden layer.

    Attributes:
        width: of it; None takes `model.mlp_multiple` times `model.dim`.

    Class attributes:
        module: class of the module.
        into_hidden: names of the maps to the hidden layer; `w_2` leads out of it.
    """

    width: int | None = Field(default=None, ge=1, le=2**24, exclude_if=lambda width: width is None)
    module: ClassVar[str]
    into_hidden: ClassVar[tuple[str, ...]] = ("w_1",)

    def form(self, model: ModelConfig) -> MlpForm | None:  # noqa: D102
        return MlpForm(module=self.module, holds=self.maps(model))

    def maps(self, model: ModelConfig) -> tuple[Map, ...]:
        """Those to the hidden layer, and `w_2`."""
        n, hidden = model.dim, self.hidden(model)
        into = live_bias(model, hidden)
        maps = [Map(name=name, dim_in=n, dim_out=hidden, bias=into, role="mlp") for name in self.into_hidden]
        return (*maps, writer(model, "w_2", hidden, "mlp"))

    def hidden(self, model: ModelConfig) -> int:
        """Its width."""
        return model.mlp_dim if self.width is None else self.width

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: D102
        if self.hidden(model):
            return None
        return (
            f"model.mlp {self.kind!r} has a hidden layer of width 0 with model.mlp_multiple {model.mlp_multiple:g} and "
            f"model.dim {model.dim}; accepted: a larger model.mlp_multiple"
        )


@MLP.part
class Gelu(WithHidden, frozen=True):
    """Two linear maps with GELU between them; the hidden width is `model.mlp_multiple` times `model.dim`."""

    kind: Literal["gelu"] = "gelu"
    meaning = "two linear maps with GELU between, hidden width model.mlp_multiple x model.dim"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.3, with GELU"
    module = "GeluMlp"


@MLP.part
class GeluTanh(WithHidden, frozen=True):
    """`gelu` with the approximation by tanh between the maps, as GPT-2 has it."""

    kind: Literal["gelu-tanh"] = "gelu-tanh"
    meaning = "two linear maps with GELU by tanh between, hidden width model.mlp_multiple x model.dim"
    source = "Gaussian Error Linear Units, arXiv 1606.08415, section 2; GPT-2 (2019), as its published code has it"
    module = "GeluTanhMlp"


@MLP.part
class Relu(WithHidden, frozen=True):
    """`gelu` with the rectifier between the maps."""

    kind: Literal["relu"] = "relu"
    meaning = "two linear maps with ReLU between, hidden width model.mlp_multiple x model.dim"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.3"
    module = "ReluMlp"


class Gated(WithHidden, frozen=True):
    """Base of three linear maps: a gate, an activation of x W_1, on x W_3, then W_2.

    Without a `width` of its own two thirds of the hidden width of the others, for as many numbers.
    """

    into_hidden = ("w_1", "w_3")

    def hidden(self, model: ModelConfig) -> int:  # noqa: D102
        return 2 * model.mlp_dim // 3 if self.width is None else self.width


@MLP.part
class SwiGlu(Gated, frozen=True):
    """A gate SiLU(x W_1) on x W_3, then W_2."""

    kind: Literal["swiglu"] = "swiglu"
    meaning = "gated: SiLU(x W_1) * x W_3, then W_2; hidden width two thirds of that of the others"
    source = "GLU Variants Improve Transformer, arXiv 2002.05202; Anthe, arXiv 2305.10991"
    module = "SwiGlu"


@MLP.part
class NoMlp(Mlp, frozen=True):
    """No MLP sublayer: attention is all there is."""

    kind: Literal["none"] = "none"
    meaning = "no MLP sublayer (and no norm for it)"
    source = f"{MINIMUM}, Transformer without MLP"

    def form(self, model: ModelConfig) -> MlpForm | None:  # noqa: ARG002, D102
        return None


ON_IMAGES = embeddings_of("images")
WITHOUT_OTHERS = ("mean", "sequence-pool")
"""Readouts with which all tokens are those of the grid."""
ON_GRID: Requires = {"embedding": ON_IMAGES, "readout": WITHOUT_OTHERS, "mask": ("none",)}
WHY_ON_GRID = "it takes the tokens for the places of an image, all of them"


def _neighbours(model: ModelConfig, channels: int, kernel: int) -> Weights:
    """A depthwise convolution over the grid: k^2 numbers a channel, and a live bias."""
    numbers = kernel**2 * channels
    bias = live_bias(model, channels)
    return Weights(name="convolution", numbers=numbers + bias, macs=numbers, module="Conv2d")


@MLP.part
class Depthwise(Mlp, frozen=True):
    """GELU of a depthwise convolution over the grid of an image's tokens: neighbours mix, channels do not.

    Attributes:
        kernel: side in tokens, odd.
    """

    kind: Literal["depthwise"] = "depthwise"
    kernel: int = Field(default=3, ge=1, le=63)
    meaning = "each channel with those of its neighbours in the image's grid, and GELU; no map of channels"
    source = "Patches Are All You Need?, arXiv 2201.09792, section 2: its spatial mixing, without batch norm"
    requires = ON_GRID
    why = WHY_ON_GRID
    not_absorbed = "mlp 'depthwise' takes no shift, having none beyond the borders of the image"

    def form(self, model: ModelConfig) -> MlpForm | None:
        """k^2 N (+ N)."""
        return MlpForm(module="DepthwiseMlp", holds=(_neighbours(model, model.dim, self.kernel),))

    def not_centred(self) -> str | None:  # noqa: D102
        return "mlp 'depthwise' adds what comes out of an activation"

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: ARG002, D102
        return even_kernel("model.mlp 'depthwise'", self.kernel)


@MLP.part
class GeGlu(Gated, frozen=True):
    """A gate GELU(x W_1) on x W_3, then W_2."""

    kind: Literal["geglu"] = "geglu"
    meaning = "gated: GELU(x W_1) * x W_3, then W_2; hidden width two thirds of that of the others"
    source = "GLU Variants Improve Transformer, arXiv 2002.05202, equation 6"
    module = "GeGlu"


@MLP.part
class MixFfn(WithHidden, frozen=True):
    """`gelu` with a depthwise convolution of the hidden layer over the grid of an image's tokens, before GELU.

    Attributes:
        kernel: side in tokens, odd.
    """

    kind: Literal["mix-ffn"] = "mix-ffn"
    kernel: int = Field(default=3, ge=1, le=63)
    meaning = "two linear maps, between them a depthwise convolution over the grid of an image's tokens, and GELU"
    source = "SegFormer, arXiv 2105.15203, equation 3 (Mix-FFN)"
    requires = ON_GRID
    why = WHY_ON_GRID
    module = "MixFfnMlp"

    def form(self, model: ModelConfig) -> MlpForm | None:
        """As `gelu`, and k^2 h (+ h)."""
        into, out_of = self.maps(model)
        return MlpForm(module=self.module, holds=(into, _neighbours(model, self.hidden(model), self.kernel), out_of))

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: D102
        return super().illegal(model) or even_kernel("model.mlp 'mix-ffn'", self.kernel)
