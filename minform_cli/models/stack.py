"""The whole encoder: embedding, blocks in their order, what follows the last block, the head."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.schema import ModelConfig
from minform_cli.models.block import Block
from minform_cli.models.parts.norm import NORMS
from minform_cli.models.parts.patches import PatchEmbedding
from minform_cli.models.parts.readout import Readout
from minform_cli.models.parts.value import StackOutput


class ImageEncoder(nn.Module):
    """An encoder over image patches.

    `order` lists the block that runs at each depth: sharing depth is an order over a shorter list of blocks, so a
    shared block's weights exist once and are counted once.
    """

    def __init__(self, model: ModelConfig, embedding: PatchEmbedding, head: nn.Module) -> None:
        super().__init__()
        self.embedding = embedding
        self.blocks = nn.ModuleList(Block(model) for _ in range(model.num_blocks))
        self.order = model.block_order
        self.stack_output = StackOutput(model) if model.value.kind == "stack-collapsed" else None
        self.final_norm = NORMS.get("pre")(model) if model.norm.kind == "pre" else None
        self.readout = Readout(model.readout.kind, head)

    def forward(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b m"]:
        """Outputs of the task's head for a batch of images."""
        x = self.embedding(images)
        for block in self.order:
            x = self.blocks[block](x)
        if self.stack_output is not None:
            x = self.stack_output(x)
        if self.final_norm is not None:
            x = self.final_norm(x)
        return self.readout(x)
