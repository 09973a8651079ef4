"""Keys across layers: scores_h = x W_Qh k_g^T / sqrt(d), the keys k those that this block makes or another has lent.

Numbers: N H d of the queries in every block, N G d of the keys in those that make them, for G heads of keys (H, unless
groups of heads ask the same); H d of a live bias on the queries, G d of a dead one on the keys.
Initial scale: scores have the variance 1 for weights of variance 1 / N, as of separate projections.
Source: Reducing Transformer Key-Value Cache Size with Cross-Layer Attention, arXiv 2405.12981, section 3.
"""

from __future__ import annotations

from typing import NoReturn, cast

from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.cross_layer import CrossLayerKeys
from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from minform_cli.models.parts.base import has_bias, has_dead_bias, split_heads
from minform_cli.models.parts.linear import absorbed, linear_map, took_maps
from minform_cli.models.parts.similarity.base import SIMILARITIES, Asked, Side, Similarity


@SIMILARITIES.register("cross-layer")
class CrossLayer(Similarity):
    """W_Q -> `w_q`, N x H d; where it makes keys W_K -> `w_k`, N x G d, group g in columns g d to (g + 1) d."""

    no_source = "its keys are those of several blocks"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        options, std = cast(CrossLayerKeys, model.similarity), self.dim**-0.5
        self.groups = options.lent_heads(model)
        self.borrows, self.lends = options.borrows, not options.borrows
        self.w_q = linear_map(model, "qkv", self.dim, self.inner, bias=has_bias(model), std=std)
        self.w_k: nn.Module | None = None
        if self.lends:
            wide = self.groups * self.head_dim
            self.w_k = linear_map(model, "qkv", self.dim, wide, bias=has_dead_bias(model), std=std)

    def queries(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b h t e"]:
        """Through W_Q."""
        return split_heads(self.w_q(x), self.heads)

    def keys(self, y: Asked) -> Float[Tensor, "b g s e"]:
        """Through W_K, by group; where it borrows, `y` are the keys."""
        return y if self.w_k is None else split_heads(self.w_k(y), self.groups)

    def projections(self) -> NoReturn:
        """None."""
        raise InputError(f"{type(self).__name__} is no separate projections: {self.no_source}")

    def absorb(self, product: Float[Tensor, "n n"], shift: Float[Tensor, " n"], side: Side = "both") -> None:
        """Into either; keys of another block are of its tokens."""
        if side != "keys":
            absorbed(self.w_q, product, shift)
        if side != "queries" and self.w_k is not None:
            absorbed(self.w_k, product, shift)

    def _take(self, source: nn.Module, beside: nn.Module | None) -> None:  # noqa: ARG002
        if not took_maps(self, source):
            self.refuse(source)
