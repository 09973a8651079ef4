"""Gains and biases of norms into the maps that read what they normalise; the outputs stay.

LN(x) = n(x) diag(g) + b, so that a map of LN(x) is one of n(x): (n diag(g) + b) W = n (diag(g) W) + b W.
Where the residual reads the norm's output too (post-norm), nothing can be folded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from minform_cli.models.block import Block
from minform_cli.models.parts.attention import Attention
from minform_cli.models.parts.norm import AnyNorm, RunNorm, affine_of
from minform_cli.models.stack import Encoder, EncoderDecoder


class _Reader(Protocol):
    def absorb(self, product: Tensor, shift: Tensor) -> None: ...


def fold_sublayers(block: Block) -> None:
    """Moves gain and bias of each norm of `block`, which must be of what its sublayers read, into the sublayer.

    Raises:
        InputError: a part reads the tokens as they are.
    """
    assert block.norm_first, "what a residual reads, too, cannot be folded"
    if block.attention is not None and block.attention_norm is not None:
        product, shift = _taken(block.attention_norm)
        block.attention.similarity.absorb(product, shift)
        block.attention.value.absorb(product, shift)
    if block.cross is not None and block.cross_norm is not None:
        block.cross.similarity.absorb(*_taken(block.cross_norm), "queries")
    if block.mlp is not None and block.mlp_norm is not None:
        cast(_Reader, block.mlp).absorb(*_taken(block.mlp_norm))


def fold_last(model: Encoder[Any]) -> None:
    """Moves those of the norms after the last block into what reads them: the head, and a decoder's attention across.

    Raises:
        InputError: a part reads the tokens as they are.
    """
    last = model.final_norm
    if isinstance(model, EncoderDecoder):
        if model.final_norm is not None:
            product, shift = _taken(model.final_norm)
            for cross in _across(model.decoder_blocks):
                cross.similarity.absorb(product, shift, "keys")
                cross.value.absorb(product, shift)
        last = model.decoder_norm
    if last is not None:
        model.readout.absorb(*_taken(last))


def _across(decoder_blocks: Iterable[nn.Module]) -> list[Attention]:
    return [cross for block in decoder_blocks if (cross := cast(Block, block).cross) is not None]


@torch.no_grad()
def _taken(norm: AnyNorm | RunNorm) -> tuple[Tensor, Tensor]:
    """diag(g) and b of `norm`, (N, N) and (N,) in float64, which then has 1 and 0."""
    assert not isinstance(norm, RunNorm), "what is another in every run of a block is in none of its maps"
    gain, bias = (each.clone() for each in affine_of(norm))
    if norm.weight is not None:
        norm.weight.fill_(1)
    if norm.bias is not None:
        norm.bias.zero_()
    return torch.diag(gain), bias
