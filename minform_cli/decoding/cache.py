"""A decoder that computes the newest token alone: keys and values of all others are kept.

Those of generated tokens are kept for every depth, also where one block runs at several: it is asked about other tokens
at each. Those of the source are the encoder's tokens through one block's maps, so they are kept once for a block. What
a block borrows is kept where it was made.
Source of the idea: Fast Transformer Decoding, arXiv 1911.02150, section 2.4.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from minform_cli.models.block import Block, Loans
from minform_cli.models.parts.attention import Attention, Kept, Loan, Seen
from minform_cli.models.parts.base import split_heads
from minform_cli.models.stack import EncoderDecoder


class CachedDecoder:
    """Outputs of `model` for one more token of every row at a time.

    Rows belong to sentences, as many to each as to any other: row r to sentence r // (rows / sentences). What is known
    of a source is held once for all rows of its sentence.

    Args:
        model: put into evaluation mode, and left in it.
    """

    def __init__(self, model: EncoderDecoder) -> None:
        self.model = model.eval()
        self._blocks: list[Block] = list(model.decoder_blocks)  # type: ignore[arg-type]

    @torch.no_grad()
    def start(self, source: Int[Tensor, "b s"], real: Bool[Tensor, "b s"] | None = None) -> None:
        """Encodes the sentences, one row for each, and forgets those before.

        Args:
            source: tokens to translate.
            real: False where a token only fills up the batch; None: nowhere.
        """
        encoded = self.model.encode(source, real)
        self._seen: Seen | None = None if real is None else real.unsqueeze(1)
        self._sentences = len(source)
        kept = {number: block.cross.keep(encoded) for number, block in enumerate(self._blocks) if block.cross}
        self._across = {number: _Store(each) for number, each in kept.items() if each is not None}
        self._own: dict[int, _Store] = {}
        self._tokens = source[:, :0]

    @torch.no_grad()
    def step(self, tokens: Int[Tensor, " r"]) -> Float[Tensor, "r v"]:
        """Outputs over the vocabulary for what follows `tokens`, the newest of every row.

        At most as many steps as the model has positions.
        """
        embedding = self.model.decoder_embedding
        self._tokens = torch.cat([self._tokens, tokens.unsqueeze(1)], dim=1)
        window = self._tokens[:, -(embedding.reach + 1) :]
        first = self._tokens.shape[1] - window.shape[1]
        x = self.model.embedded_target(window, first)[:, -1:]
        assert x.shape[1] == 1, "more tokens than the model has positions"
        loans = Loan(), Loan()
        for depth, block in enumerate(self.model.decoder_order):
            x = self._run(depth, block, x, loans)
        if self.model.decoder_norm is not None:
            x = self.model.decoder_norm(x)
        return self.model.readout(x, embedding.table)

    @property
    def held_numbers(self) -> int:
        """Numbers kept of the sources and of the tokens so far."""
        return sum(store.numbers for store in (*self._across.values(), *self._own.values()))

    @torch.no_grad()
    def reorder(self, rows: Int[Tensor, " r"], sentences: Int[Tensor, " b"] | None = None) -> None:
        """Afterwards row r is what row ``rows[r]`` was.

        Args:
            rows: a row may be taken several times, or not at all; only within its sentence.
            sentences: which of the sentences remain; None: all.
        """
        self._tokens = self._tokens[rows]
        for store in self._own.values():
            store.select(rows)
        if sentences is not None:
            self._sentences = len(sentences)
            self._seen = None if self._seen is None else self._seen[sentences]
            for store in self._across.values():
                store.select(sentences)
        assert len(rows) % self._sentences == 0, "every sentence has as many rows as any other"

    def _run(self, depth: int, number: int, x: Float[Tensor, "r one n"], loans: Loans) -> Float[Tensor, "r one n"]:
        """The newest tokens after the block of that `number`, which runs at `depth`."""
        block = self._blocks[number]
        attention, cross = block.attention, block.cross
        return block.run(
            x,
            None if attention is None else lambda x: self._attend(attention, depth, x, loans[0]),
            None if cross is None else lambda x: self._attend_across(cross, number, x, loans[1]),
        )

    def _attend(
        self, attention: Attention, depth: int, x: Float[Tensor, "r one n"], loan: Loan
    ) -> Float[Tensor, "r one n"]:
        """What the attention at `depth` makes of the newest tokens, which it keeps."""
        new = attention.keep(x)
        if new is not None and depth in self._own:
            self._own[depth].append(new)
        elif new is not None:
            self._own[depth] = _Store(new)
        kept = None if new is None else self._own[depth].kept()
        return attention.over(x, attention.with_loan(kept, loan))

    def _attend_across(
        self, cross: Attention, number: int, x: Float[Tensor, "r one n"], loan: Loan
    ) -> Float[Tensor, "r one n"]:
        """What the block's attention to the source makes of them."""
        # The rows of a sentence ask side by side, as tokens of one example would.
        asking = x.view(self._sentences, -1, x.shape[2])
        kept = self._across[number].kept() if number in self._across else None
        return cross.over(asking, cross.with_loan(kept, loan), self._seen).view_as(x)


class _Store:
    """Keys and values of one attention; what serves in all heads, or in both roles, is held once."""

    def __init__(self, kept: Kept) -> None:
        keys, values = kept
        self.heads = keys.shape[1]
        # Parts whose keys are the tokens for every head expand them, which repeats nothing in memory.
        self.for_all_heads = self.heads == 1 or keys.stride(1) == 0
        self.keys = self._once(keys)
        self.keys_are_values = _are_one(keys, values)
        self.columns_are_values = self.for_all_heads and _are_one(self._columns(), values)
        self.values = None if self.keys_are_values or self.columns_are_values else values

    @property
    def numbers(self) -> int:
        """How many are held."""
        return self.keys.numel() + (0 if self.values is None else self.values.numel())

    def append(self, kept: Kept) -> None:
        """Adds a token."""
        self.keys = torch.cat([self.keys, self._once(kept.keys)], dim=2)
        if self.values is not None:
            self.values = torch.cat([self.values, kept.values], dim=2)

    def select(self, rows: Int[Tensor, " r"]) -> None:
        """Keeps these rows, in this order."""
        self.keys = self.keys[rows]
        self.values = None if self.values is None else self.values[rows]

    def kept(self) -> Kept:
        """As attention takes them."""
        keys = self.keys.expand(-1, self.heads, -1, -1)
        if self.values is not None:
            return Kept(keys, self.values)
        return Kept(keys, keys if self.keys_are_values else self._columns())

    def _once(self, keys: Tensor) -> Tensor:
        return keys[:, :1] if self.for_all_heads else keys

    def _columns(self) -> Tensor:
        """Each head's columns of keys that are the same for all."""
        return split_heads(self.keys.squeeze(1), self.heads)


def _are_one(one: Tensor, other: Tensor) -> bool:
    """Whether both are the same numbers in the same memory."""
    if one.data_ptr() != other.data_ptr() or one.shape != other.shape:
        return False
    strides = zip(one.stride(), other.stride(), one.shape, strict=True)
    return all(stride == other_stride for stride, other_stride, size in strides if size > 1)
