"""Whole models: embedding, blocks in their order, what follows the last block, the readout.

`order` lists the block that runs at each depth: sharing depth is an order over a shorter list of blocks, so a shared
block's weights exist once and are counted once.
"""

from __future__ import annotations

from collections.abc import Iterable

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from minform_cli.config.schema import ModelConfig
from minform_cli.models.block import Block
from minform_cli.models.parts.norm import NORMS
from minform_cli.models.parts.patches import PatchEmbedding
from minform_cli.models.parts.readout import ExampleReadout, TokenReadout
from minform_cli.models.parts.tokens import TokenEmbedding
from minform_cli.models.parts.value import StackOutput


class ImageEncoder(nn.Module):
    """An encoder over image patches."""

    def __init__(self, model: ModelConfig, embedding: PatchEmbedding, readout: ExampleReadout) -> None:
        super().__init__()
        self.embedding = embedding
        self.blocks = nn.ModuleList(Block(model) for _ in range(model.num_blocks))
        self.order = model.block_order
        self.stack_output = StackOutput(model) if model.value.kind == "stack-collapsed" else None
        self.final_norm = NORMS.get("pre")(model) if model.norm.kind == "pre" else None
        self.readout = readout

    def forward(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "p m"]:
        """Outputs of the task's head for a batch of images."""
        x = _run(self.embedding(images), (self.blocks[block] for block in self.order))
        return self.readout(_ended(x, self.stack_output, self.final_norm))


class TextEncoder(nn.Module):
    """An encoder (or, under a causal mask, a decoder alone) over tokens."""

    def __init__(self, model: ModelConfig, embedding: TokenEmbedding, readout: ExampleReadout | TokenReadout) -> None:
        super().__init__()
        self.embedding = embedding
        self.blocks = nn.ModuleList(Block(model) for _ in range(model.num_blocks))
        self.order = model.block_order
        self.stack_output = StackOutput(model) if model.value.kind == "stack-collapsed" else None
        self.final_norm = NORMS.get("pre")(model) if model.norm.kind == "pre" else None
        self.readout = readout
        self.causal = model.mask.kind == "causal"

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
        x = self.embedding(tokens, types)
        # Under a causal mask no real token sees what stands behind it, so filling needs no mask of its own.
        seen = None if real is None or self.causal else real.unsqueeze(1)
        x = _ended(_run(x, (self.blocks[block] for block in self.order), seen), self.stack_output, self.final_norm)
        if isinstance(self.readout, TokenReadout):
            return self.readout(x, self.embedding.table, predict)
        return self.readout(x, real)


class EncoderDecoder(nn.Module):
    """An encoder over source tokens and a causal decoder over target tokens that attends to it."""

    def __init__(
        self, model: ModelConfig, embedding: TokenEmbedding, decoder_embedding: TokenEmbedding, readout: TokenReadout
    ) -> None:
        super().__init__()
        norm = NORMS.get("pre")
        self.embedding = embedding
        self.blocks = nn.ModuleList(Block(model) for _ in range(model.num_blocks))
        self.order = model.block_order
        self.final_norm = norm(model) if model.norm.kind == "pre" else None
        self.decoder_embedding = decoder_embedding
        self.decoder_blocks = nn.ModuleList(Block(model, decodes=True) for _ in range(model.num_decoder_blocks))
        self.decoder_order = model.order.blocks(model.decoder_depth)
        self.decoder_norm = norm(model) if model.norm.kind == "pre" else None
        self.readout = readout

    def forward(
        self,
        source: Int[Tensor, "b s"],
        target: Int[Tensor, "b t"],
        real: Bool[Tensor, "b s"] | None = None,
        predict: Int[Tensor, " p"] | None = None,
    ) -> Float[Tensor, "p m"]:
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
        return _ended(_run(self.embedding(source), (self.blocks[b] for b in self.order), seen), None, self.final_norm)

    def decode(
        self,
        target: Int[Tensor, "b t"],
        encoded: Float[Tensor, "b s n"],
        real: Bool[Tensor, "b s"] | None = None,
    ) -> Float[Tensor, "b t n"]:
        """The decoder's tokens."""
        seen = None if real is None else real.unsqueeze(1)
        x = self.decoder_embedding(target)
        for block in self.decoder_order:
            x = self.decoder_blocks[block](x, None, encoded, seen)
        return _ended(x, None, self.decoder_norm)


def _run(x: Tensor, blocks: Iterable[nn.Module], seen: Tensor | None = None) -> Tensor:
    for block in blocks:
        x = block(x, seen)
    return x


def _ended(x: Tensor, stack_output: nn.Module | None, norm: nn.Module | None) -> Tensor:
    """What follows the last block."""
    x = x if stack_output is None else stack_output(x)
    return x if norm is None else norm(x)
