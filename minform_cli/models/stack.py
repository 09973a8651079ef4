"""Whole models: embedding, blocks in their order, what follows the last block, the readout.

`order` lists the block that runs at each depth: sharing depth is an order over a shorter list of blocks, so a shared
block's weights exist once and are counted once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Generic, TypeVar, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from minform_cli.config import blocks
from minform_cli.config.axes.mask import Mask
from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from minform_cli.models.averages import adapt, joined, mean_block
from minform_cli.models.block import Block
from minform_cli.models.parts.attention import Attention, Loan, Seen, Wanted
from minform_cli.models.parts.base import OnGrid, PerRun, choose_run
from minform_cli.models.parts.embedding import ImageEmbedding, TextEmbedding
from minform_cli.models.parts.mlp import silence
from minform_cli.models.parts.norm import AnyNorm, final_norm, first_norm
from minform_cli.models.parts.readout import Readout, TokenReadout
from minform_cli.models.parts.value import stack_output

E = TypeVar("E", ImageEmbedding, TextEmbedding)

_Given = tuple[Any, ...]
"""The tokens after a block, and keys and values that were lent."""


class Encoder(nn.Module, Generic[E]):
    """What all models have: an embedding, blocks, what follows the last of them, and a readout.

    Attributes:
        recomputes: whether a block keeps its input alone for the backward pass, which computes the rest again, dropout
            included: the same bits, more time, less memory.
    """

    readout: Readout
    recomputes = False

    def __init__(self, model: ModelConfig, embedding: E) -> None:
        super().__init__()
        self.embedding: E = embedding
        self.first_norm = first_norm(blocks.before(model))
        self.blocks = nn.ModuleList(Block(model.at(block)) for block in range(model.num_blocks))
        self.order = model.block_order
        self.depths = model.order.depths(model.depth)
        self._adapts = any(isinstance(part, PerRun) for part in self.blocks.modules())
        self._lends = any(cast(Block, block).lends for block in self.blocks)
        last = blocks.after(model)
        self.stack_output = stack_output(last)
        self.final_norm = final_norm(last)

    def from_separate(self, source: Encoder[E]) -> None:
        """Takes its weights out of those of `source`, as deep a model of standard parts.

        Exact where every part is (`Convertible.exact_where`). Blocks that become one become their mean: exact where
        they are equal.

        Raises:
            InputError: a part has no weights from the one in its place.
        """
        self.embedding.from_separate(source.embedding)
        _take_norm(self.first_norm, source.first_norm)
        ran = _ran(source.blocks, source.order, source.depths, len(self.order))
        _take_blocks(self.blocks, self.order, self.depths, ran)
        if self.stack_output is not None and source.stack_output is not None:
            self.stack_output.from_separate(source.stack_output)
        elif self.stack_output is not None:
            theirs = [_attention(block).value for block in ran]
            pairs = zip(theirs, self.blocks, strict=True)
            self.stack_output.take_stack([(value, _attention(block).similarity) for value, block in pairs])
        if self.final_norm is not None and source.final_norm is not None:
            self.final_norm.from_separate(source.final_norm)
        self.readout.from_separate(source.readout)

    def run(
        self, x: Float[Tensor, "b t n"], seen: Seen | None = None, wanted: Wanted | None = None
    ) -> Float[Tensor, ...]:
        """The tokens after the last block and what follows it.

        Args:
            x: the tokens before the first block.
            seen: which of them may be attended to; None: all.
            wanted: which of them the last block gives, as of `rows_of`; None: all.
        """
        x = x if self.first_norm is None else self.first_norm(x)
        last, lent = len(self.order) - 1, ()
        for depth in range(len(self.order)):
            run = partial(self._at, depth, wanted if depth == last else None)
            x, *lent = self._kept_or_not(run, x, seen, *lent)
        if self.stack_output is not None:
            x = self.stack_output(x)
        return x if self.final_norm is None else self.final_norm(x)

    def _at(self, depth: int, wanted: Wanted | None, x: Tensor, seen: Seen | None, *lent: Tensor | None) -> _Given:
        """The tokens after the block that runs at that depth; whole, so that it can be computed again.

        What blocks have lent before stands behind what is given, and what they have lent now behind the tokens.
        """
        number = self.order[depth]
        if self._adapts:
            choose_run(self.blocks[number], self.order[:depth].count(number))
        own: dict[str, Any] = {} if wanted is None else {"wanted": wanted}
        if not self._lends:
            return (self.blocks[number](x, seen, **own),)
        loan = Loan(*lent)
        return self.blocks[number](x, seen, **own, loans=(loan, Loan())), loan.keys, loan.values

    def _kept_or_not(self, block: Callable[..., _Given], *given: Tensor | None) -> _Given:
        """What `block` makes of `given`, its inner tensors kept for the backward pass unless they are recomputed."""
        if not (self.recomputes and self.training and torch.is_grad_enabled()):
            return block(*given)
        return checkpoint(block, *given, use_reentrant=False)

    def _to_give(self, read: Wanted | None) -> Wanted | None:
        """Which tokens the last block gives where those of `read` are read of it.

        What nobody reads it does not compute, unless somebody listens to it or to what follows: forward hooks see all
        tokens, and torch's counter of FLOPs those of the architecture, which `counting` counts too.
        """
        if read is None or torch.compiler.is_compiling():  # pyright: ignore[reportPrivateImportUsage]
            return read
        modes: int = torch._C._len_torch_dispatch_stack()  # pyright: ignore[reportPrivateUsage]
        after = (self.blocks[self.order[-1]], self.stack_output, self.final_norm, self.readout)
        return None if modes or any(part is not None and _listened(part) for part in after) else read


class ImageEncoder(Encoder[ImageEmbedding]):
    """An encoder over the tokens of images."""

    def __init__(self, model: ModelConfig, embedding: ImageEmbedding, readout: Readout) -> None:
        super().__init__(model, embedding)
        for part in self.blocks.modules():
            if isinstance(part, OnGrid):
                part.grid = embedding.grid
        self.readout = readout

    def forward(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b m"]:
        """Outputs of the task's head for a batch of images."""
        return self.readout(self.run(self.embedding(images), None, self._to_give(self.readout.reads)))


class TextEncoder(Encoder[TextEmbedding]):
    """An encoder (or, under a causal mask, a decoder alone) over tokens."""

    def __init__(self, model: ModelConfig, embedding: TextEmbedding, readout: Readout) -> None:
        super().__init__(model, embedding)
        self.readout = readout
        self.causal = cast(Mask, model.mask).form().causal

    def forward(
        self,
        tokens: Int[Tensor, "b t"],
        types: Int[Tensor, "b t"] | None = None,
        real: Bool[Tensor, "b t"] | None = None,
        predict: Int[Tensor, " p"] | None = None,
    ) -> Float[Tensor, ...]:
        """Outputs of the task's head: one row an example, or one a token.

        Args:
            tokens: entries of the vocabulary.
            types: which sentence of a pair each token belongs to; None: the first.
            real: False where a token only fills up the batch (behind the example's own); None: nowhere.
            predict: for tasks that predict tokens, the places in the flattened batch that outputs are wanted of;
                None: all.
        """
        given = self._to_give(predict if isinstance(self.readout, TokenReadout) else self.readout.reads)
        states = self.encode(tokens, types, real, given)
        if isinstance(self.readout, TokenReadout):
            return self.readout(states, self.embedding.table, predict if given is None else None)
        return self.readout(states, real if given is None else None)

    def encode(
        self,
        tokens: Int[Tensor, "b t"],
        types: Int[Tensor, "b t"] | None = None,
        real: Bool[Tensor, "b t"] | None = None,
        wanted: Wanted | None = None,
    ) -> Float[Tensor, ...]:
        """The last states of the tokens, or of those `wanted` (as of `run`); the rest as of `forward`."""
        # Under a causal mask no real token sees what stands behind it, so filling needs no mask of its own.
        seen = None if real is None or self.causal else real.unsqueeze(1)
        return self.run(self.embedding(tokens, types), seen, wanted)


class EncoderDecoder(Encoder[TextEmbedding]):
    """An encoder over source tokens and a causal decoder over target tokens that attends to it."""

    def __init__(
        self, model: ModelConfig, embedding: TextEmbedding, decoder_embedding: TextEmbedding, readout: Readout
    ) -> None:
        super().__init__(model, embedding)
        self.decoder_embedding = decoder_embedding
        self.decoder_first_norm = first_norm(blocks.before(model, decodes=True))
        self.decoder_blocks = nn.ModuleList(
            Block(model.at(block), decodes=True) for block in range(model.num_decoder_blocks)
        )
        self.decoder_order = model.order.blocks(model.decoder_depth)
        self.decoder_depths = model.order.depths(model.decoder_depth)
        self.decoder_norm = final_norm(blocks.after(model, decodes=True))
        self.readout = readout

    def from_separate(self, source: Encoder[TextEmbedding]) -> None:
        """As of an encoder, the decoder's too."""
        super().from_separate(source)
        assert isinstance(source, EncoderDecoder), "an encoder has no decoder to take weights from"
        self.decoder_embedding.from_separate(source.decoder_embedding)
        _take_norm(self.decoder_first_norm, source.decoder_first_norm)
        ran = _ran(source.decoder_blocks, source.decoder_order, source.decoder_depths, len(self.decoder_order))
        _take_blocks(self.decoder_blocks, self.decoder_order, self.decoder_depths, ran)
        if self.decoder_norm is not None and source.decoder_norm is not None:
            self.decoder_norm.from_separate(source.decoder_norm)

    def forward(
        self,
        source: Int[Tensor, "b s"],
        target: Int[Tensor, "b t"],
        real: Bool[Tensor, "b s"] | None = None,
        predict: Int[Tensor, " p"] | None = None,
    ) -> Float[Tensor, "p v"]:
        """Outputs over the vocabulary for what follows each target token.

        Args:
            source: tokens to translate.
            target: tokens of the translation so far, the first of them its start.
            real: False where a source token only fills up the batch; None: nowhere.
            predict: places in the flattened target that outputs are wanted of; None: all.
        """
        return self.readout(self.decode(target, self.encode(source, real), real), self.decoder_embedding.table, predict)

    def encode(self, source: Int[Tensor, "b s"], real: Bool[Tensor, "b s"] | None = None) -> Float[Tensor, "b s n"]:
        """The encoder's tokens."""
        seen = None if real is None else real.unsqueeze(1)
        return self.run(self.embedding(source), seen)

    def embedded_target(self, target: Int[Tensor, "b t"], first: int = 0) -> Float[Tensor, "b t n"]:
        """What the first block of the decoder is given of them, the first of which stands at the place `first`."""
        x: Tensor = self.decoder_embedding(target, None, first)
        return x if self.decoder_first_norm is None else self.decoder_first_norm(x)

    def decode(
        self,
        target: Int[Tensor, "b t"],
        encoded: Float[Tensor, "b s n"],
        real: Bool[Tensor, "b s"] | None = None,
    ) -> Float[Tensor, "b t n"]:
        """The decoder's tokens."""
        seen = None if real is None else real.unsqueeze(1)
        x = self.embedded_target(target)
        lent = ()
        for block in self.decoder_order:
            x, *lent = self._kept_or_not(partial(self._decoded_by, block), x, encoded, seen, *lent)
        return x if self.decoder_norm is None else self.decoder_norm(x)

    def _decoded_by(self, block: int, x: Tensor, y: Tensor, y_seen: Seen | None, *lent: Tensor | None) -> _Given:
        """As `_at`, the tokens after a block of the decoder."""
        if not self._lends:
            return (self.decoder_blocks[block](x, None, y, y_seen),)
        loan, across = Loan(*lent[:2]), Loan(*lent[2:])
        after = self.decoder_blocks[block](x, None, y, y_seen, loans=(loan, across))
        return after, loan.keys, loan.values, across.keys, across.values


def _take_norm(norm: AnyNorm | None, source: AnyNorm | None) -> None:
    """Fills a norm that nothing but its like can fill."""
    if norm is not None and source is None:
        raise InputError("Norm has no weights from Encoder: nothing normalised the tokens before the first block")
    if norm is not None and source is not None:
        norm.from_separate(source)


def _ran(blocks: nn.ModuleList, order: tuple[int, ...], depths: tuple[int, ...], wanted: int) -> list[Block]:
    """What ran, one after another: as many blocks as are wanted, or those of each depth as one."""
    ran = [cast(Block, blocks[block]) for block in order]
    if len(ran) == wanted:
        return ran
    return [joined([block for block, own in zip(ran, depths, strict=True) if own == at]) for at in sorted({*depths})]


def _take_blocks(
    blocks: nn.ModuleList, order: tuple[int, ...], depths: tuple[int, ...], sources: Sequence[Block]
) -> None:
    """Fills each block out of those that ran where it runs.

    Where several have an MLP at one depth of the source, the last of them takes it over and the others add nothing.

    Args:
        blocks: to be filled.
        order: which of them runs when.
        depths: at which depth of a model of whole blocks.
        sources: what ran at each depth, or at each place of `order`.
    """
    places = range(len(order)) if len(sources) == len(order) else depths
    assert max(places) == len(sources) - 1, "both run as many blocks"
    for number, block in enumerate(blocks):
        ran = [sources[place] for place, own in zip(places, order, strict=True) if own == number]
        cast(Block, block).from_separate(mean_block(list(dict.fromkeys(ran))))
        adapt(cast(Block, block), ran)
    for now, after in pairwise(range(len(order))):
        mlp = cast(Block, blocks[order[now]]).mlp
        if mlp is not None and places[now] == places[after] and cast(Block, blocks[order[after]]).mlp is not None:
            silence(mlp)


def _listened(module: nn.Module) -> bool:
    """Whether somebody has a hook on the module or a part of it."""
    if module._forward_hooks or module._forward_pre_hooks:  # pyright: ignore[reportPrivateUsage]
        return True
    parts = module._modules.values()  # pyright: ignore[reportPrivateUsage]  (`modules` takes three times as long)
    return any(part is not None and _listened(part) for part in parts)


def _attention(block: nn.Module) -> Attention:
    attention = cast(Block, block).attention
    assert attention is not None, "every block has attention"
    return attention
