"""A model as the blocks that transformers knows: separate projections, two maps with an activation, LayerNorms.

Whatever a part stores, what it does is read in float64: separate projections with the same scores, maps with the same
values. What the library's class has and the model lacks becomes zeros (a bias) and ones (a gain).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.errors import InputError, counted
from minform_cli.exporting.source import Exported
from minform_cli.models.block import Block
from minform_cli.models.parts.attention import Attention
from minform_cli.models.parts.centred import columns_for
from minform_cli.models.parts.linear import Matrix, StoredMap, read_map
from minform_cli.models.parts.mlp import MLPS
from minform_cli.models.parts.norm import AnyNorm, GainNorm, RunNorm, affine_of
from minform_cli.models.parts.position import LearnedPositions
from minform_cli.models.parts.similarity import Separate as SeparateSimilarity
from minform_cli.models.parts.value import Separate as SeparateValue
from minform_cli.models.stack import ImageEncoder, TextEncoder
from minform_cli.tasks.class_head import ReferencedLinear

_NAMES = {"gelu": "gelu", "relu": "relu", "gelu-tanh": "gelu_new"}
ACTIVATIONS: dict[object, str] = {MLPS.get(kind): name for kind, name in _NAMES.items() if kind in MLPS}
"""What transformers calls the activations of our MLPs, by class."""


class NotStandard(Exception):  # noqa: N818  (a reason, not a mistake)
    """No class of transformers does what the model does; the message says why."""


@dataclass
class Ledger:
    """What had to be done: parts that became larger ones, by block; and numbers that the model lacks, by where."""

    expanded: Counter[str] = field(default_factory=Counter[str])
    filled: Counter[str] = field(default_factory=Counter[str])

    def told(self) -> tuple[str, ...]:
        """The parts that became larger ones."""
        return tuple(f"{what} ({counted(blocks, 'block')})" for what, blocks in self.expanded.items())


@dataclass(frozen=True)
class Affine:
    """Gain and bias of a norm, (N,) each."""

    weight: Float[Tensor, " n"]
    bias: Float[Tensor, " n"]


@dataclass(frozen=True)
class Layer:
    """One block; maps are x W + b in float64."""

    queries: Matrix
    keys: Matrix
    values: Matrix
    output: Matrix
    w_1: Matrix
    w_2: Matrix
    attention_norm: Affine
    mlp_norm: Affine


@dataclass(frozen=True)
class StandardStack:
    """All blocks in the order they run.

    Attributes:
        layers: the blocks.
        hidden: width of the widest MLP.
        activation: as transformers calls it.
        eps: of every norm.
        first: whether norms stand before what they are of.
    """

    layers: tuple[Layer, ...]
    hidden: int
    activation: str
    eps: float
    first: bool


def stack_of(model: ImageEncoder | TextEncoder, ledger: Ledger) -> StandardStack:
    """The blocks of `model`.

    Raises:
        NotStandard: one is not of that kind.
    """
    blocks = [cast(Block, model.blocks[number]) for number in model.order]
    if model.stack_output is not None:
        raise NotStandard("its W_VO stands after the last block")
    if len(blocks) > len(model.blocks):
        ledger.expanded["each time that a block runs as a block of its own"] = len(blocks)
    firsts = {block.norm_first for block in blocks}
    if len(firsts) > 1 or any(not block.residual for block in blocks):
        raise NotStandard("blocks differ in where the norm stands, or have no skip connection")
    if any(block.norms_outputs for block in blocks):
        raise NotStandard("what its sublayers give is normalised before it is added")
    if any(block.attention_scale is not None or block.mlp_scale is not None for block in blocks):
        raise NotStandard("what its sublayers give is scaled before it is added")
    if any(isinstance(part, RunNorm) for block in blocks for part in block.children()):
        raise NotStandard("its norms are others in every run of a block")
    activations = {type(block.mlp) for block in blocks if block.mlp is not None}
    known = {ACTIVATIONS.get(kind, "") for kind in activations} or {"gelu"}
    if len(known) > 1 or "" in known:
        raise NotStandard(f"its MLP is {', '.join(sorted(kind.__name__ for kind in activations))}")
    hidden = max((read_map(block.mlp.get_submodule("w_1")).bias.numel() for block in blocks if block.mlp), default=1)
    return StandardStack(
        layers=tuple(_layer(block, hidden, ledger, dim(model)) for block in blocks),
        hidden=hidden,
        activation=known.pop(),
        eps=_eps(model, blocks),
        first=firsts.pop(),
    )


def dim(model: ImageEncoder | TextEncoder) -> int:
    """Its width N."""
    width: int = cast(Any, model.embedding).dim
    return width


def matrix(module: nn.Module, ledger: Ledger, where: str) -> Matrix:
    """What a map does; a bias that it has not is zeros, and so said."""
    read = read_map(module)
    if cast("Tensor | None", module.bias) is None:
        ledger.filled[where] += read.bias.numel()
    return read


def affine(norm: nn.Module | None, ledger: Ledger, where: str) -> Affine:
    """Gain and bias of a norm: ones and zeros where it has none.

    Raises:
        NotStandard: there is no norm.
    """
    if norm is None:
        raise NotStandard("it has no norm")
    if isinstance(norm, GainNorm):
        raise NotStandard("its norms are RMSNorms")
    gain, bias = affine_of(cast(AnyNorm, norm))
    if not [*norm.parameters()]:
        ledger.filled[where] += gain.numel() + bias.numel()
    return Affine(gain, bias)


def positions(model: ImageEncoder | TextEncoder, tokens: int, ledger: Ledger) -> Float[Tensor, "t n"]:
    """The vector of each place, from the first that is looked up on; `tokens` rows where there is no table."""
    part, n = cast("nn.Module | None", model.embedding.positions), dim(model)
    if part is None:
        ledger.expanded["no positions, as a table of zeros"] = 1
        return torch.zeros(tokens, n)
    if isinstance(part, LearnedPositions):
        return columns_for(part.table.detach()[part.first :], n)
    ledger.expanded["sinusoidal positions, as a table"] = 1
    return cast(Tensor, part.table)


def classes(head: nn.Linear, ledger: Ledger) -> Matrix:
    """The outputs of a head of classes; of one that leaves the last out, its zeros too."""
    read = matrix(head, ledger, "biases of the head")
    if not isinstance(head, ReferencedLinear):
        return read
    ledger.filled["the last class"] += len(read.weight) + 1
    return Matrix(F.pad(read.weight, (0, 1)), F.pad(read.bias, (0, 1)))


def _layer(block: Block, hidden: int, ledger: Ledger, n: int) -> Layer:
    queries, keys, values, output = _attention(block, ledger, n)
    w_1, w_2 = _mlp(block, hidden, ledger, n)
    norms = (block.attention_norm, block.mlp_norm)
    if block.norm_first:  # of a sublayer that is absent nothing is seen
        absent = Affine(torch.ones(n), torch.zeros(n))
        first, second = (absent if norm is None else affine(norm, ledger, "norms") for norm in norms)
    else:
        first, second = (affine(norm, ledger, "norms") for norm in norms)
    return Layer(queries, keys, values, output, w_1, w_2, first, second)


def _attention(block: Block, ledger: Ledger, n: int) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    attention: Attention | None = block.attention
    if attention is None:
        _only_pre(block, "attention")
        ledger.expanded["no attention, as one of zeros"] += 1
        nothing = _zeros(n, n)
        return nothing, nothing, nothing, nothing
    similarity, value = attention.similarity, attention.value
    if similarity.inner != n:
        raise NotStandard(f"its heads are {similarity.inner:,} columns wide together, and its tokens {n:,}")
    try:
        scores, maps = similarity.projections(), value.maps(similarity)
    except InputError as error:
        raise NotStandard(str(error)) from None
    kinds = [(similarity, SeparateSimilarity, "W_Q and W_K"), (value, SeparateValue, "W_V and W_O")]
    for part, standard, names in kinds:
        if type(part) is not standard:
            stored = sum(p.numel() for p in part.parameters() if p.dim() > 1)
            if stored < 2 * n * n:
                ledger.expanded[f"{type(part).__name__} as separate {names}"] += 1
            else:
                biases = sum(p.numel() for p in part.parameters() if p.dim() == 1)
                ledger.filled[f"biases of {names}"] += max(0, 2 * n - biases)
        elif any(_grows(each) for each in part.children()):
            ledger.expanded[f"{names} as one matrix each"] += 1
        else:
            for name, each in part.named_children():
                if cast("Tensor | None", each.bias) is None:
                    ledger.filled[f"biases of {name.upper()}"] += n
    return scores.queries, scores.keys, maps.values, maps.output


def _mlp(block: Block, hidden: int, ledger: Ledger, n: int) -> tuple[Matrix, Matrix]:
    mlp = block.mlp
    if mlp is None:
        _only_pre(block, "MLP")
        ledger.expanded["no MLP, as one of zeros"] += 1
        return _zeros(n, hidden), _zeros(hidden, n)
    w_1, w_2 = (mlp.get_submodule(name) for name in ("w_1", "w_2"))
    if _grows(w_1) or _grows(w_2):
        ledger.expanded["W_1 and W_2 as one matrix each"] += 1
    first, second = (matrix(each, ledger, "biases of the MLP") for each in (w_1, w_2))
    missing = hidden - first.bias.numel()
    if missing:  # units that give nothing, whatever the activation makes of zero
        ledger.expanded[f"an MLP filled up to {hidden:,} units"] += 1
    return (
        Matrix(F.pad(first.weight, (0, missing)), F.pad(first.bias, (0, missing))),
        Matrix(F.pad(second.weight, (0, 0, 0, missing)), second.bias),
    )


def _grows(module: nn.Module) -> bool:
    """Whether the map as one matrix has more numbers than it stores, but for an implied column."""
    if not isinstance(module, StoredMap):
        return False
    stored = sum(p.numel() for name, p in module.named_parameters() if name != "bias")
    full = read_map(module).weight
    return stored < full.numel() - full.shape[0]


def _only_pre(block: Block, what: str) -> None:
    """Behind a norm that stands last, a sublayer that gives nothing is still normalised."""
    if not block.norm_first:
        raise NotStandard(f"a block has no {what}, and its norm would stand after it")


def _zeros(rows: int, columns: int) -> Matrix:
    return Matrix(torch.zeros(rows, columns).double(), torch.zeros(columns).double())


def _eps(model: ImageEncoder | TextEncoder, blocks: list[Block]) -> float:
    """That of all norms.

    Raises:
        NotStandard: they differ, or there is none.
    """
    norms = [norm for block in blocks for norm in (block.attention_norm, block.mlp_norm) if norm is not None]
    norms += [norm for norm in (model.final_norm, getattr(model.embedding, "norm", None)) if norm is not None]
    found = {float(cast(float, norm.eps)) for norm in norms}
    if len(found) != 1:
        raise NotStandard("its norms differ in eps" if found else "it has no norm")
    return found.pop()


def as_standard(model: Exported) -> ImageEncoder | TextEncoder:
    """The model, if it is an encoder or a decoder alone; `NotStandard` otherwise."""
    if not isinstance(model.model, (ImageEncoder, TextEncoder)):
        raise NotStandard("it translates")
    return model.model
