"""Values out of the latents that keys are made of: concat_h(A_h y W_D W_Vh) W_O, W_D that of the similarity `latent`.

W_V (C x N) -> `w_uv`, W_O -> `w_o`. Numbers: C N + N^2, and N of a bias. Heads mix the latents, C columns each.
Initial scale: values have the variance 1, for weights of variance 1 / C.
Source: DeepSeek-V2, arXiv 2405.04434, section 2.1.2.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.similarity import Latent as Options
from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from minform_cli.models.parts.base import by_columns, has_bias, join_heads
from minform_cli.models.parts.centred import writer
from minform_cli.models.parts.linear import Matrix, read_map, write_map
from minform_cli.models.parts.similarity.base import Similarity
from minform_cli.models.parts.similarity.latent import Latent as LatentKeys
from minform_cli.models.parts.value.base import VALUES, Value, ValueMaps


@VALUES.register("latent")
class Latent(Value):
    """Out of separate maps: the least squares W_V that makes of the latents what W_V made of the tokens."""

    exact_where = "W_K and W_V read at most C directions of a token together"

    def __init__(self, model: ModelConfig) -> None:
        super().__init__(model)
        wide = cast(Options, model.similarity).columns(model)
        self.w_uv = nn.Parameter(torch.empty(wide, model.dim))
        nn.init.normal_(self.w_uv, std=wide**-0.5)
        self.w_o = writer(model, "output", model.dim, bias=has_bias(model))

    def values(self, y: Float[Tensor, "b s n"], keys: Float[Tensor, "b g s e"]) -> Float[Tensor, "b h s f"]:  # noqa: ARG002
        """The latents."""
        return keys

    def merge(self, mixed: Float[Tensor, "b h t f"]) -> Float[Tensor, "b t n"]:
        """Every head's latents through its W_V, the heads side by side through W_O."""
        return self.w_o(join_heads(mixed @ by_columns(self.w_uv, self.heads)))

    def maps(self, similarity: Similarity | None) -> ValueMaps:
        """W_D W_V, and W_O."""
        values = _latents(similarity) @ self.w_uv.detach().double()
        return ValueMaps(Matrix(values, values.new_zeros(self.dim)), read_map(self.w_o))

    def _fit(self, given: ValueMaps, similarity: Similarity | None) -> None:
        self.w_uv.copy_(torch.linalg.pinv(_latents(similarity)) @ given.values.weight)
        write_map(self.w_o, given.output.weight, given.values.bias @ given.output.weight + given.output.bias)

    def restore(self, source: Value) -> None:
        """Takes over the maps of a part of its kind."""
        theirs = source.get_parameter("w_uv")
        if theirs.shape != self.w_uv.shape:
            self.refuse(source)
        self.w_uv.copy_(theirs)
        super().restore(source)


def _latents(similarity: Similarity | None) -> Float[Tensor, "n c"]:
    """W_D."""
    keys: Any = LatentKeys
    if not isinstance(similarity, keys):
        raise InputError("which values the latents give depends on the similarity beside them")
    return cast(Any, similarity).latents()
