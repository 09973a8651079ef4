"""Vision transformers of torchvision (`vit_b_16`, `vit_l_32`, ...): one class token, and Q, K and V in one map.

What a name stands for is asked of torchvision, which builds its model without weights. Classes and the size of the
(square) image are the file's own: weights for 384 pixels have more positions.
Source: arXiv 2010.11929; names as torchvision writes them, before its version 0.14 and since.
"""

from __future__ import annotations

import importlib
from typing import Any, cast

from torch import nn

from minform_cli.foreign.adapters.base import Given, Imported
from minform_cli.foreign.adapters.modules import activation, only
from minform_cli.foreign.adapters.pixels import of_library
from minform_cli.foreign.adapters.places import Named, Place
from minform_cli.foreign.adapters.theirs import Theirs
from minform_cli.foreign.adapters.vision import Vision, classes, put_together, square_side

BLOCK = {
    "attention.similarity.w_q": Place("self_attention.in_proj_", 0, 3),
    "attention.similarity.w_k": Place("self_attention.in_proj_", 1, 3),
    "attention.value.w_v": Place("self_attention.in_proj_", 2, 3),
    "attention.value.w_o": Place("self_attention.out_proj."),
    "attention_norm": Place("ln_1."),
    "mlp.w_1": Place("mlp.0."),
    "mlp.w_2": Place("mlp.3."),
    "mlp_norm": Place("ln_2."),
}
"""Our modules in a block -> theirs."""

FIXED: Named = {
    "embedding.class_token": Place("class_token", ones=2),
    "embedding.positions.table": Place("encoder.pos_embedding", ones=1),
    "embedding.patches": Place("conv_proj."),
    "final_norm": Place("encoder.ln."),
    "readout.head": Place("heads.head."),
}

OLD = {".mlp.linear_1.": ".mlp.0.", ".mlp.linear_2.": ".mlp.3."}
"""Names within the MLP in old files -> today's."""

CHANNELS = 3


def adapt(given: Given) -> Imported:
    """The run of a ViT of torchvision; see `base.adapt`."""
    model = cast(Any, given.module)
    only(given, "conv_proj", type(model.conv_proj).__name__, "Conv2d")
    only(given, "representation_size", model.representation_size, None)
    theirs = given.tensors.renamed(_aliases(given.tensors))
    block = model.encoder.layers[0]
    number, side = (
        classes(theirs, "heads.head.weight"),
        square_side(theirs, "encoder.pos_embedding", 1, model.patch_size),
    )
    vision = Vision(
        dim=model.hidden_dim,
        depth=len(model.encoder.layers),
        heads=block.num_heads,
        hidden=model.mlp_dim,
        mlp=activation(given, "the MLP's activation", block.mlp[1]),
        eps=model.encoder.ln.eps,
        readout="class-token",
        channels=CHANNELS,
        height=side,
        width=side,
        patch=model.patch_size,
        classes=number,
        dropout=model.dropout,
    )
    models: Any = importlib.import_module("torchvision.models")
    version = importlib.import_module("torchvision").__version__
    usual = models.get_model_weights(given.title).DEFAULT.transforms()

    def original() -> nn.Module:
        made = models.get_model(given.title, weights=None, image_size=side, num_classes=number)
        made.load_state_dict(theirs.used(), strict=True)
        return made.eval()

    return put_together(
        given.with_tensors(theirs),
        vision,
        of_library(usual.mean, usual.std, CHANNELS, f"torchvision does for its own weights of {given.title}"),
        (FIXED, "encoder.layers.encoder_layer_{}.", BLOCK),
        (f"torchvision {version}", original),
    )


def _aliases(theirs: Theirs) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in theirs.names:
        for old, new in OLD.items():
            if old in name:
                found[name.replace(old, new)] = name
    return found
