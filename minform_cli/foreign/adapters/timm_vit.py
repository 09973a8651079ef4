"""Vision transformers of timm (`vit_*`, `deit_*`): a class token, DeiT's two, registers, or the mean of all tokens.

What a name stands for is asked of timm, which builds its model without weights: width, depth, heads, MLP and parts must
be those of the file. Classes, patches, channels and the size of a (square) image are the file's own.
Sources: arXiv 2010.11929; arXiv 2012.12877; names as timm writes them.
"""

from __future__ import annotations

import importlib
import re
from typing import Any, cast

from torch import nn

from minform_cli.errors import InputError
from minform_cli.foreign.adapters.base import Given, Imported
from minform_cli.foreign.adapters.modules import activation, only
from minform_cli.foreign.adapters.pixels import of_library
from minform_cli.foreign.adapters.places import Place
from minform_cli.foreign.adapters.vision import Pixels, Vision, classes, patches, put_together, square_side

BLOCK = {
    "attention.similarity.w_q": Place("attn.qkv.", 0, 3),
    "attention.similarity.w_k": Place("attn.qkv.", 1, 3),
    "attention.value.w_v": Place("attn.qkv.", 2, 3),
    "attention.value.w_o": Place("attn.proj."),
    "attention_norm": Place("norm1."),
    "mlp.w_1": Place("mlp.fc1."),
    "mlp.w_2": Place("mlp.fc2."),
    "mlp_norm": Place("norm2."),
}
"""Our modules in a block -> theirs."""

KNOWN = re.compile(
    r"cls_token|dist_token|reg_token|pos_embed|(patch_embed\.proj|norm|head|head_dist)\.(weight|bias)|"
    r"blocks\.\d+\.(norm1|attn\.qkv|attn\.proj|norm2|mlp\.fc1|mlp\.fc2)\.(weight|bias)"
)
"""Tensors of a model that has a place here."""


def adapt(given: Given) -> Imported:
    """The run of a ViT or DeiT of timm; see `base.adapt`."""
    model, theirs = cast(Any, given.module), given.tensors
    _check(given, model)
    registers: int = model.num_reg_tokens
    tokens = _tokens(model)
    channels, patch = patches(theirs, "patch_embed.proj.weight")
    side = square_side(theirs, "pos_embed", len(tokens) + registers, patch)
    block, number = model.blocks[0], classes(theirs, "head.weight")
    vision = Vision(
        dim=model.embed_dim,
        depth=len(model.blocks),
        heads=block.attn.num_heads,
        hidden=block.mlp.fc1.out_features,
        mlp=activation(given, "the MLP's activation", block.mlp.act),
        eps=model.norm.eps,
        readout=_readout(tokens, registers),
        channels=channels,
        height=side,
        width=side,
        patch=patch,
        classes=number,
    )
    fixed: dict[str, Place | tuple[Place, ...]] = {
        "embedding.positions.table": Place("pos_embed", ones=1),
        "embedding.patches": Place("patch_embed.proj."),
        "final_norm": Place("norm."),
        "readout.head": Place("head."),
        "readout.head.of_class": Place("head."),
        "readout.head.of_distillation": Place("head_dist."),
    }
    rows = [Place(name, ones=1) for name in tokens]
    if registers:
        rows.append(Place("reg_token", ones=1, rows=registers))
    if rows:
        fixed["embedding.class_token"] = tuple(rows) if len(rows) > 1 else Place(tokens[0], ones=2)
    timm = importlib.import_module("timm")
    sizes = {"img_size": side, "patch_size": patch, "in_chans": channels, "num_classes": number}

    def original() -> nn.Module:
        made = timm.create_model(given.title, pretrained=False, **sizes)
        made.load_state_dict(theirs.used(), strict=True)
        return made.eval()

    return put_together(
        given,
        vision,
        _pixels(given, model, channels),
        (fixed, "blocks.{}.", BLOCK),
        (f"timm {timm.__version__}", original),
    )


def _check(given: Given, model: Any) -> None:
    """Raises `InputError` if the model has or does what no part of ours does; the first such thing is named."""
    for name, _ in model.named_parameters():
        if KNOWN.fullmatch(name) is None:
            raise InputError(
                f"{given.source}: tensor {name}: no part of ours has it; accepted: a ViT or DeiT without it"
            )
    only(given, "no_embed_class", model.no_embed_class and model.num_prefix_tokens > 0, False)
    only(given, "global_pool", model.global_pool, "avg" if not model.num_prefix_tokens else "token")
    only(given, "reg_tokens", model.num_reg_tokens if hasattr(model, "dist_token") else 0, 0)
    only(given, "patch embedding", type(model.patch_embed).__name__, "PatchEmbed")
    for where in ("norm_pre", "fc_norm", "patch_embed.norm"):
        only(given, where, type(model.get_submodule(where)).__name__, "Identity")
    for number, block in enumerate(model.blocks):
        where = f"blocks.{number}"
        only(given, where, type(block).__name__, "Block")
        only(given, f"{where}.attn", type(block.attn).__name__, "Attention")
        only(given, f"{where}.mlp", type(block.mlp).__name__, "Mlp")
        for inside in ("attn.q_norm", "attn.k_norm", "attn.norm", "ls1", "ls2", "mlp.norm"):
            only(given, f"{where}.{inside}", type(block.get_submodule(inside)).__name__, "Identity")
        only(given, f"{where}.attn.attn_dim", block.attn.attn_dim, model.embed_dim)
    tensors = dict(model.named_parameters())
    needed = ["pos_embed", *(f"{module}.{kind}" for module in ("patch_embed.proj", "norm") for kind in _BOTH)]
    needed += [
        f"blocks.{i}.{p.opening}{kind}" for i in range(len(model.blocks)) for p in BLOCK.values() for kind in _BOTH
    ]
    for name in needed:
        if name not in tensors:
            raise InputError(f"{given.source}: has no tensor {name}; accepted: a ViT or DeiT with all biases")


_BOTH = ("weight", "bias")


def _tokens(model: Any) -> tuple[str, ...]:
    """Names of the learned tokens that heads read."""
    if hasattr(model, "dist_token"):
        return ("cls_token", "dist_token")
    return ("cls_token",) if model.has_class_token else ()


def _readout(tokens: tuple[str, ...], registers: int) -> Any:
    if not tokens:
        return "mean"
    if len(tokens) > 1:
        return "distilled"
    return {"kind": "class-token", "beside": registers} if registers else "class-token"


def _pixels(given: Given, model: Any, channels: int) -> Pixels:
    usual = model.pretrained_cfg
    return of_library(usual["mean"], usual["std"], channels, f"timm does for {given.title}")
