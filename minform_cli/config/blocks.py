"""Which part stands where: an axis holds one part for all blocks, or a list with one for each.

Block i of a list is block i of those with weights of their own, as `model.order` numbers them; the decoder's blocks
have the parts of the encoder's. Orders with several blocks at a depth say which sublayers each has. What stands before
the blocks (embedding, class token, their norm) has the parts of the block that runs first, what stands after them
(final norm, readout, head) those of the block that runs last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minform_cli.config.axes.base import AXES, PartOptions, PerBlock
from minform_cli.errors import counted

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig


def at(model: ModelConfig, block: int) -> ModelConfig:
    """`model` as that block sees it, with one part on every axis."""
    own: dict[str, object] = {}
    for axis, listed in model.parts().items():
        part = listed.parts[block] if isinstance(listed, PerBlock) else listed
        made = part.of_block(block) if part.by_block else part
        if made is not listed:
            own[axis] = made
    if model.order.splits:
        runs = model.block_order
        own |= model.order.own_parts(model, block)
        own |= {"order": AXES["order"].parse({"kind": "listed", "list": runs}), "depth": len(runs)}
        own |= {"decoder_depth": len(runs)} if model.decoder_depth else {}
    return model.model_copy(update=own) if own else model


def before(model: ModelConfig, *, decodes: bool = False) -> ModelConfig:
    """`model` as what stands before the blocks sees it; of the decoder, if it `decodes`."""
    return at(model, _order(model, decodes=decodes)[0])


def after(model: ModelConfig, *, decodes: bool = False) -> ModelConfig:
    """Likewise as what stands after them."""
    return at(model, _order(model, decodes=decodes)[-1])


def kinds(model: ModelConfig, axis: str) -> str:
    """What stands on an axis, in a word or in one for each block."""
    part = model.parts()[axis]
    return f"[{', '.join(each.kind for each in part.parts)}]" if isinstance(part, PerBlock) else part.kind


def merged(model: ModelConfig) -> dict[str, PartOptions]:
    """Axes whose list has a part for each block, all of them equal: that part."""
    return {
        axis: part.parts[0]
        for axis, part in model.parts().items()
        if isinstance(part, PerBlock) and len(part.parts) == model.num_blocks and len(set(part.parts)) == 1
    }


def wrong_lists(model: ModelConfig) -> list[str]:
    """What is wrong with the lengths of the lists, a sentence each."""
    lists = {axis: part for axis, part in model.parts().items() if isinstance(part, PerBlock)}
    found = [
        f"model.{axis} lists {counted(len(part.parts), 'part')}, and "
        f"{counted(model.num_blocks, 'block has', 'blocks have')} weights; "
        f"accepted: {model.num_blocks}, or one for all"
        for axis, part in lists.items()
        if len(part.parts) != model.num_blocks
    ]
    if lists and model.decoder_depth and model.num_decoder_blocks != model.num_blocks:
        found.append(
            f"model.{next(iter(lists))} lists parts for the decoder too: its {model.num_decoder_blocks} blocks with "
            f"weights must be as many as the encoder's {model.num_blocks}"
        )
    return found


def _order(model: ModelConfig, *, decodes: bool) -> tuple[int, ...]:
    return model.order.blocks(model.decoder_depth if decodes else model.depth)
