"""Latent keys: scores_h = (x W_Qh + b_h) (y W_D W_Uh)^T / sqrt(d), W_D N x C for all heads, W_Uh C x d.

Numbers: 2 N C, and N^2 of the queries; with a latent of theirs, x W_DQ W_Qh, N C_Q + C_Q N; N of a live bias. Latents
have no bias: in keys it is dead, and in values it is one of W_O.
What is compared are the latents y W_D, the same for all heads, with the queries through W_Uh^T: C columns in place of
d, and nothing else of a token is kept in generation.
Initial scale: latents, keys and queries have the variance 1, for weights of variance 1 / N, 1 / C and 1 / N (1 / C_Q).
Source: DeepSeek-V2, arXiv 2405.04434, section 2.1.2 (compression of keys and values, matrices absorbed), without its
rotary part and the norms of latents.
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.similarity import Latent as Options
from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from minform_cli.models.parts.base import has_bias, split_heads
from minform_cli.models.parts.columns import best_factors
from minform_cli.models.parts.linear import Matrix, linear_map, read_map, write_map
from minform_cli.models.parts.similarity.base import SIMILARITIES, Projections, Similarity


@SIMILARITIES.register("latent")
class Latent(Similarity):
    """W_Q -> `w_q`, W_DQ -> `w_dq`, W_D -> `w_dkv`, W_U (C x N, each head's columns after the last) -> `w_uk`.

    Out of separate projections: the C directions of a token nearest to what W_K, and W_V where values are of the latent
    too, read of it in the mean square; of the queries the nearest of their rank.
    """

    exact_where = "W_K (and W_V, if its values are of the latent) read at most C directions of a token together"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        options = cast(Options, model.similarity)
        wide, low, std = options.columns(model), options.of_queries(model), self.dim**-0.5
        self.with_values = model.value.kind == "latent"
        self.w_dq = None if low is None else linear_map(model, "qkv", self.dim, low, bias=False, std=std)
        dim_in, from_low = (self.dim, std) if low is None else (low, low**-0.5)
        self.w_q = linear_map(model, "qkv", dim_in, self.dim, bias=has_bias(model), std=from_low)
        self.w_dkv = linear_map(model, "qkv", self.dim, wide, bias=False, std=std)
        self.w_uk = nn.Parameter(torch.empty(wide, self.dim))
        nn.init.normal_(self.w_uk, std=wide**-0.5)

    def queries(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b h t e"]:
        """Through W_Q, then W_Uh^T."""
        asking = split_heads(self.w_q(x if self.w_dq is None else self.w_dq(x)), self.heads)
        return asking @ self.by_head(self.w_uk).mT

    def keys(self, y: Float[Tensor, "b s n"]) -> Float[Tensor, "b one s e"]:
        """The latents, for all heads."""
        return self.w_dkv(y).unsqueeze(1)

    def projections(self) -> Projections:
        """The products of its maps."""
        queries = read_map(self.w_q)
        if self.w_dq is not None:
            queries = Matrix(read_map(self.w_dq).weight @ queries.weight, queries.bias)
        keys = read_map(self.w_dkv).weight @ self.w_uk.detach().double()
        return Projections(queries, Matrix(keys, torch.zeros_like(queries.bias)))

    def latents(self) -> Float[Tensor, "n c"]:
        """W_D in float64."""
        return read_map(self.w_dkv).weight

    def _take(self, source: nn.Module, beside: nn.Module | None) -> None:
        if not isinstance(source, Similarity):
            self.refuse(source)
        given = source.projections()
        queries, keys = given.queries, given.keys.weight
        if self.w_dq is None:
            write_map(self.w_q, *queries)
        else:
            down, up = best_factors(queries.weight, torch.eye(self.dim).double(), read_map(self.w_dq).weight.shape[1])
            write_map(self.w_dq, down)
            write_map(self.w_q, up, queries.bias)
        read = [keys, *([_values(beside)] if self.with_values and beside is not None else [])]
        directions, _, _ = torch.linalg.svd(torch.cat(read, dim=1), full_matrices=False)
        wide = len(self.w_uk)
        directions = torch.nn.functional.pad(directions[:, :wide], (0, max(0, wide - directions.shape[1])))
        write_map(self.w_dkv, directions)
        self.w_uk.copy_(torch.linalg.pinv(self.latents()) @ keys)


def _values(part: nn.Module) -> Float[Tensor, "n m"]:
    """W_V of a value path; nothing where it has none."""
    from minform_cli.models.parts.value.base import Value  # which imports similarities

    assert isinstance(part, Value), "beside a similarity stands a value path"
    try:
        return part.maps(None).values.weight
    except InputError:
        return torch.zeros(part.dim, 0, dtype=torch.float64)
