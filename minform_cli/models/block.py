"""One block: attention, in a decoder attention to the encoder, and the MLP; with norms and skips as the axes say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.mask import Mask
from minform_cli.config.axes.residual import Residual
from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from minform_cli.models.parts.attention import Loan, Seen, Wanted, new_attention, rows_of
from minform_cli.models.parts.mlp import MLPS
from minform_cli.models.parts.norm import AnyNorm, RunNorm, new_norm, out_norm, stands_first
from minform_cli.models.parts.residual import ResidualScale, new_scale


class _Convertible(Protocol):
    def from_separate(self, source: nn.Module) -> None: ...


Sublayer = Callable[[Tensor], Tensor]
"""From tokens, normalised or not, to what is added to them."""
Loans = tuple[Loan, Loan]
"""Of a block's attention to its own tokens, and of that to the encoder's."""


class Block(nn.Module):
    """Attention -> `attention`, to the encoder -> `cross`, MLP -> `mlp`, their norms -> `*_norm`, scales -> `*_scale`.

    Norms of what they give -> `*_out_norm`. Absent parts are None.

    Args:
        model: sizes, and one part on every axis.
        decodes: whether the block is a decoder's: causal, and with attention to the encoder's tokens.
    """

    def __init__(self, model: ModelConfig, *, decodes: bool = False) -> None:
        super().__init__()
        self.attention = new_attention(model, causal=decodes or cast(Mask, model.mask).form().causal)
        self.attention_norm = new_norm(model) if self.attention is not None else None
        self.attention_out_norm = out_norm(model) if self.attention is not None else None
        self.attention_scale = new_scale(model) if self.attention is not None else None
        self.cross = new_attention(model) if decodes else None
        self.cross_norm = new_norm(model) if self.cross is not None else None
        self.cross_out_norm = out_norm(model) if self.cross is not None else None
        self.mlp = MLPS.get(model.mlp.kind)(model)
        self.mlp_norm = new_norm(model) if self.mlp is not None else None
        self.mlp_out_norm = out_norm(model) if self.mlp is not None else None
        self.mlp_scale = new_scale(model) if self.mlp is not None else None
        self.norm_first = stands_first(model)
        self.residual = cast(Residual, model.residual).form(model).adds
        self.dropout = model.dropout

    def forward(
        self,
        x: Float[Tensor, "b t n"],
        seen: Seen | None = None,
        y: Float[Tensor, "b s n"] | None = None,
        y_seen: Seen | None = None,
        wanted: Wanted | None = None,
        loans: Loans | None = None,
    ) -> Float[Tensor, ...]:
        """The tokens after this block.

        Args:
            x: the tokens before it.
            seen: which of them each may attend to; None: all, or all before it where attention is causal.
            y: the encoder's tokens, in a decoder.
            y_seen: which of those each may attend to; None: all.
            wanted: which tokens are read afterwards, as of `rows_of`; None: all. Not in a decoder.
            loans: what `attention` and `cross` lend to those of later blocks, or borrow of earlier ones.
        """
        attention, cross = self.attention, self.cross
        own, across = loans or (None, None)
        return self.run(
            x,
            None if attention is None else lambda x: attention(x, None, seen, wanted, own),
            None if cross is None else lambda x: cross(x, y, y_seen, None, across),
            wanted,
        )

    def run(
        self,
        x: Float[Tensor, "b t n"],
        attend: Sublayer | None,
        attend_across: Sublayer | None,
        wanted: Wanted | None = None,
    ) -> Tensor:
        """The tokens after this block, with its attentions done by the caller, who may know keys and values already.

        Args:
            x: the tokens before it.
            attend: what `attention` makes of them, where there is one.
            attend_across: what `cross` makes of them, where there is one.
            wanted: which tokens `attend` gives, where not all.
        """
        if attend is not None:
            norms = self.attention_norm, self.attention_out_norm
            x = self._sublayer(x, norms, attend, self.attention_scale, wanted)
        elif wanted is not None:
            x = rows_of(x, wanted)
        if attend_across is not None:
            x = self._sublayer(x, (self.cross_norm, self.cross_out_norm), attend_across)
        if self.mlp is None:
            return x
        return self._sublayer(x, (self.mlp_norm, self.mlp_out_norm), self.mlp, self.mlp_scale)

    @property
    def lends(self) -> bool:
        """Whether later blocks may use keys or values of it, and are to be given `loans`."""
        attention = self.attention
        return attention is not None and (attention.similarity.lends or attention.value.lends)

    @property
    def norms_outputs(self) -> bool:
        """Whether what its sublayers give is normalised before it is added."""
        return self.attention_out_norm is not None or self.mlp_out_norm is not None

    def from_separate(self, source: Block) -> None:
        """Takes its weights out of those of `source`, each part as its file says; what has no place here gets lost.

        Raises:
            InputError: a part has no weights from the one in its place, or none is there.
        """
        theirs = dict(source.named_children())
        for name, part in self.named_children():
            if name not in theirs and isinstance(part, ResidualScale):
                part.from_none()
                continue
            if name not in theirs and name.endswith("_out_norm"):
                raise InputError("Norm has no weights from Block: nothing normalised what its sublayers gave")
            if name not in theirs:
                raise InputError(f"a block with {name} has no weights from a block without")
            cast(_Convertible, part).from_separate(theirs[name])

    def _sublayer(
        self,
        x: Tensor,
        norms: tuple[AnyNorm | RunNorm | None, AnyNorm | None],
        sublayer: Sublayer,
        scale: ResidualScale | None = None,
        wanted: Wanted | None = None,
    ) -> Tensor:
        norm, of_out = norms
        out = sublayer(norm(x) if norm is not None and self.norm_first else x)
        if of_out is not None:
            out = of_out(out)
        if self.dropout:
            out = F.dropout(out, self.dropout, self.training)
        if scale is not None:
            out = scale(out)
        if self.residual:
            out = (x if wanted is None else rows_of(x, wanted)) + out
        return norm(out) if norm is not None and not self.norm_first else out
