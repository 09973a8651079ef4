"""Presets of known architectures have the parameters of the libraries that build them, group by group."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn

from minform_cli.config.names import preset_names
from minform_cli.config.presets import resolve
from minform_cli.counting.count import count_config
from minform_cli.data.spec import spec_for

TIMM = {
    "vit-tiny-16": "vit_tiny_patch16_224",
    "vit-small-16": "vit_small_patch16_224",
    "vit-base-16": "vit_base_patch16_224",
    "vit-large-16": "vit_large_patch16_224",
    "deit-tiny-16": "deit_tiny_patch16_224",
    "deit-small-16": "deit_small_patch16_224",
    "deit-base-16": "deit_base_patch16_224",
}
DISTILLED = {f"deit-{size}-16": f"deit_{size}_distilled_patch16_224" for size in ("tiny", "small", "base")}
TORCHVISION = {"vit-base-16": torchvision.models.vit_b_16, "vit-large-16": torchvision.models.vit_l_16}


TIMM_RULES = {
    "patch_embed": "embedding", "cls_token": "embedding", "dist_token": "embedding", "pos_embed": "embedding",
    "attn.proj": "value_output", "norm": "norm", "mlp": "mlp", "head": "head",
}  # fmt: skip


def groups(preset: str, *settings: str) -> dict[str, int]:
    config = resolve(preset, settings=list(settings)).config
    return count_config(config, spec_for(config))["groups"]


def by_name(model: nn.Module, rules: dict[str, str], fused: str) -> dict[str, int]:
    """The model's numbers by group: the first rule whose text is in a tensor's name; `fused` Q, K and V apart."""
    found = dict.fromkeys(("embedding", "query_key", "value_output", "mlp", "norm", "head"), 0)
    for name, tensor in model.named_parameters():
        if fused in name:
            found["query_key"] += 2 * tensor.numel() // 3
            found["value_output"] += tensor.numel() // 3
        else:
            found[next(group for text, group in rules.items() if text in name)] += tensor.numel()
    return found


def test_the_named_architectures_are_all_here() -> None:
    assert {name for name in preset_names() if name.startswith(("vit-", "deit-"))} == set(TIMM)


@pytest.mark.parametrize("preset", TIMM)
def test_vision_transformers_are_those_of_timm(preset: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(TIMM[preset])
    assert groups(preset) == by_name(model, TIMM_RULES, "qkv")


@pytest.mark.parametrize("preset", DISTILLED)
def test_distilled_vision_transformers_are_those_of_timm(preset: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(DISTILLED[preset])
    assert groups(preset, "model.readout=distilled") == by_name(model, TIMM_RULES, "qkv")


@pytest.mark.parametrize("preset", TORCHVISION)
def test_vision_transformers_are_those_of_torchvision(preset: str) -> None:
    with torch.device("meta"):
        model = TORCHVISION[preset](weights=None)
    rules = {
        "conv_proj": "embedding", "class_token": "embedding", "pos_embedding": "embedding", "out_proj": "value_output",
        "ln_": "norm", "encoder.ln": "norm", "mlp": "mlp", "head": "head",
    }  # fmt: skip
    assert groups(preset) == by_name(model, rules, "in_proj")
