"""Models of images as ViT of transformers, or as DeiT where a second learned token stands beside the class token.

Normalisation inside: the map of the patches takes it over, exactly, since no patch reaches over the image's edge.
x -> (x - mean) / std before W is W / std, and -sum(W mean / std) on its bias; its pixels are then 0..1.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from minform_cli.data.spec import ImageSpec
from minform_cli.exporting.hugging_face.names import VIT, Rendered, layers, named
from minform_cli.exporting.hugging_face.standard import (
    Ledger,
    NotStandard,
    affine,
    classes,
    dim,
    positions,
    stack_of,
)
from minform_cli.exporting.hugging_face.text import labels
from minform_cli.exporting.source import Exported
from minform_cli.models.parts.centred import columns_for
from minform_cli.models.parts.embedding.patches import PatchEmbedding
from minform_cli.models.parts.readout import READOUTS, FirstToken, Readout
from minform_cli.models.stack import ImageEncoder

_DISTILLED = "distilled"
"""The readout of DeiT's two tokens."""


def render(model: Exported, encoder: ImageEncoder, ledger: Ledger) -> Rendered:
    """The model as ViT or DeiT.

    Raises:
        NotStandard: it is neither.
    """
    embedding, spec = encoder.embedding, cast(ImageSpec, model.spec)
    if not isinstance(embedding, PatchEmbedding) or spec.height != spec.width:
        raise NotStandard("its images are not square")
    kind, architecture, heads = _heads(encoder.readout, embedding.added)
    stack = stack_of(encoder, ledger)
    if not stack.first or encoder.final_norm is None:
        raise NotStandard("its norms do not stand before what they are of")
    n, where = dim(encoder), f"{kind}.embeddings."
    weight, bias = _patches(model, embedding, ledger)
    table = positions(encoder, embedding.added + math.prod(embedding.grid), ledger)
    assert embedding.class_token is not None
    added = columns_for(embedding.class_token.detach(), n).view(embedding.added, 1, 1, n)
    tensors: dict[str, Tensor] = {
        f"{where}cls_token": added[0].clone(),
        f"{where}position_embeddings": table[None].clone(),
        f"{where}patch_embeddings.projection.weight": weight,
        f"{where}patch_embeddings.projection.bias": bias,
        **layers(stack, VIT, f"{kind}."),
        **named(f"{kind}.layernorm", affine(encoder.final_norm, ledger, "norms")),
    }
    for name, head in heads.items():
        tensors |= named(name, classes(head, ledger))
    if kind == "deit":
        tensors[f"{where}distillation_token"] = added[1].clone()
    config: dict[str, Any] = {
        "model_type": kind,
        "hidden_size": n,
        "num_hidden_layers": len(stack.layers),
        "num_attention_heads": model.config.model.heads,
        "intermediate_size": stack.hidden,
        "hidden_act": stack.activation,
        "layer_norm_eps": stack.eps,
        "image_size": spec.height,
        "patch_size": model.config.model.patch_size,
        "num_channels": spec.channels,
        "qkv_bias": True,
        **dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), model.config.model.dropout),
        **labels(model),
    }
    return Rendered(architecture=architecture, auto="AutoModelForImageClassification", config=config, tensors=tensors)


def _heads(readout: Readout, added: int) -> tuple[str, str, dict[str, nn.Linear]]:
    """Kind, class and heads of ViT or DeiT.

    Raises:
        NotStandard: what is read is neither the class token alone nor the mean of two tokens' heads.
    """
    if isinstance(readout, FirstToken) and added in (1, 2):
        kind, architecture = (("vit", "ViT"), ("deit", "DeiT"))[added - 1]
        return kind, f"{architecture}ForImageClassification", {"classifier": cast(nn.Linear, readout.head)}
    if _DISTILLED in READOUTS and type(readout) is READOUTS.get(_DISTILLED):
        assert readout.head is not None
        first, second = (cast(nn.Linear, head) for head in readout.head.children())
        names = {"cls_classifier": first, "distillation_classifier": second}
        return "deit", "DeiTForImageClassificationWithTeacher", names
    raise NotStandard(f"{type(readout).__name__} reads {added} learned tokens, and ViT and DeiT read one or two")


def _patches(model: Exported, embedding: PatchEmbedding, ledger: Ledger) -> tuple[Tensor, Tensor]:
    """Weight (N, C, p, p) and bias (N,) of the patches' map, with the normalisation where that is to be inside."""
    convolution = embedding.patches
    weight = columns_for(convolution.weight.detach().double().movedim(0, -1), embedding.dim).movedim(-1, 0)
    if convolution.bias is None:
        ledger.filled["bias of the patches"] += embedding.dim
        bias = torch.zeros(embedding.dim).double()
    else:
        bias = columns_for(convolution.bias.detach().double(), embedding.dim)
    if model.inside:
        assert model.normalisation is not None
        mean, std = (torch.tensor(each).double()[:, None, None] for each in model.normalisation)
        bias = bias - (weight * mean / std).sum((1, 2, 3))
        weight = weight / std
    return weight.float().contiguous(), bias.float()


def preprocessor(model: Exported) -> dict[str, Any]:
    """Content of ``preprocessor_config.json``: pixels of 0..255 to what the model takes."""
    spec = cast(ImageSpec, model.spec)
    assert model.normalisation is not None
    height, width = spec.height, spec.width
    shape: dict[str, Any] = {"image_processor_type": "ViTImageProcessor", "size": {"height": height, "width": width}}
    if model.config.data.image_size is not None:  # the shorter side is resized, and the middle kept
        crop = {"do_center_crop": True, "crop_size": {"height": height, "width": width}}
        shape = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": height}, **crop}
    return {
        **shape,
        "do_resize": True,
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": not model.inside,
        "image_mean": list(model.normalisation.mean),
        "image_std": list(model.normalisation.std),
        "do_convert_rgb": spec.channels == 3,
    }
