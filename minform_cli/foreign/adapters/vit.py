"""ViT and DeiT of transformers with a head for classes of images.

Theirs is ours but for names; the mask token and the pooler, which no class is told from, are left over. DeiT has a
second learned token: no head reads it, or one of its own does, and the mean of both is the output.
Sources: arXiv 2010.11929; arXiv 2012.12877; names as transformers writes them, before its version 5 and since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.foreign.adapters.base import Given, Imported
from minform_cli.foreign.adapters.bert import ACTIVATIONS
from minform_cli.foreign.adapters.originals import library, load
from minform_cli.foreign.adapters.pixels import from_folder
from minform_cli.foreign.adapters.places import Place
from minform_cli.foreign.adapters.settings import TheirSettings
from minform_cli.foreign.adapters.theirs import Theirs
from minform_cli.foreign.adapters.vision import Vision, put_together
from minform_cli.runs.stored import Normalisation

READOUTS: Mapping[str, Any] = {
    "ViTForImageClassification": "class-token",
    "DeiTForImageClassification": {"kind": "class-token", "beside": 1},
    "DeiTForImageClassificationWithTeacher": "distilled",
}
"""Architecture -> our readout."""

UNASKED = {
    "vit": Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "deit": Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""How the library's image processor of a family normalises where no file says it."""

LAYER = "encoder.layer.{}."

BLOCK = {
    "attention.similarity.w_q": Place("attention.attention.query."),
    "attention.similarity.w_k": Place("attention.attention.key."),
    "attention.value.w_v": Place("attention.attention.value."),
    "attention.value.w_o": Place("attention.output.dense."),
    "attention_norm": Place("layernorm_before."),
    "mlp.w_1": Place("intermediate.dense."),
    "mlp.w_2": Place("output.dense."),
    "mlp_norm": Place("layernorm_after."),
}
"""Our modules in a block -> theirs."""

NEWER = {
    "attention.q_proj.": "attention.attention.query.",
    "attention.k_proj.": "attention.attention.key.",
    "attention.v_proj.": "attention.attention.value.",
    "attention.o_proj.": "attention.output.dense.",
    "mlp.fc1.": "intermediate.dense.",
    "mlp.fc2.": "output.dense.",
}
"""Names within a block since version 5, where a file has them -> those that are usual on disk."""


def adapt(given: Given) -> Imported:
    """The run of a ViT or DeiT; see `base.adapt`."""
    family = "deit" if given.architecture.startswith("DeiT") else "vit"
    settings = TheirSettings(f"{given.folder}/config.json", given.settings)
    theirs = given.tensors.renamed(_aliases(given.tensors, family))
    vision = _vision(settings, READOUTS[given.architecture])
    theirs.leave("stands for hidden patches, and none are hidden", "embeddings.mask_token")
    theirs.leave_below("the pooler: the class token is read as it is", "pooler.")
    assert given.folder is not None, "a model of transformers comes with its files"
    pixels = from_folder(given.folder, vision.channels, (vision.height, vision.width), UNASKED[family])
    tokens = (Place("embeddings.cls_token", ones=1), Place("embeddings.distillation_token", ones=1))
    fixed: dict[str, Place | tuple[Place, ...]] = {
        "embedding.class_token": Place("embeddings.cls_token", ones=2) if family == "vit" else tokens,
        "embedding.positions.table": Place("embeddings.position_embeddings", ones=1),
        "embedding.patches": Place("embeddings.patch_embeddings.projection."),
        "final_norm": Place("layernorm."),
        "readout.head": Place("classifier."),
        "readout.head.of_class": Place("cls_classifier."),
        "readout.head.of_distillation": Place("distillation_classifier."),
    }
    return put_together(
        given.with_tensors(theirs), vision, pixels, (fixed, LAYER, BLOCK), (library(), _original(given))
    )


class Logits(nn.Module):
    """A model of images of transformers that gives what ours gives."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b m"]:
        """One output per class."""
        return cast(Callable[..., Any], self.model)(pixel_values=images).logits


def _original(given: Given) -> Callable[[], nn.Module] | None:
    folder = given.folder
    if folder is None or not library():
        return None
    return lambda: Logits(load(folder, given.architecture, "sdpa"))


def _aliases(theirs: Theirs, prefix: str) -> dict[str, str]:
    """Names without the model's own prefix, and those of version 5 as they were before."""
    found: dict[str, str] = {}
    for name in theirs.names:
        plain = name.removeprefix(f"{prefix}.")
        if plain.startswith("layers."):
            _, number, inside = plain.split(".", 2)
            for newer, usual in NEWER.items():
                if inside.startswith(newer):
                    inside = usual + inside.removeprefix(newer)
            plain = LAYER.format(number) + inside
        if plain != name:
            found[plain] = name
    return found


def _vision(settings: TheirSettings, readout: object) -> Vision:
    settings.only("qkv_bias", True)
    settings.check_heads("num_attention_heads", "hidden_size")
    height, width = _pair(settings, "image_size", 224)
    patch = _pair(settings, "patch_size", 16)
    if patch[0] != patch[1]:
        raise settings.wrong("patch_size", list(patch), "square patches")
    classes = settings.labels(numbered=True)
    if settings.get("problem_type") not in (None, "single_label_classification"):
        raise settings.wrong("problem_type", settings.get("problem_type"), "single_label_classification")
    return Vision(
        dim=settings.number("hidden_size"),
        depth=settings.number("num_hidden_layers"),
        heads=settings.number("num_attention_heads"),
        hidden=settings.number("intermediate_size"),
        mlp=settings.choice("hidden_act", ACTIVATIONS, "gelu"),
        eps=settings.real("layer_norm_eps", 1e-12),
        readout=readout,
        channels=settings.number("num_channels", 3),
        height=height,
        width=width,
        patch=patch[0],
        classes=classes,
        dropout=settings.real("hidden_dropout_prob", 0.0, zero=True),
    )


def _pair(settings: TheirSettings, key: str, default: int) -> tuple[int, int]:
    """Height and width, where one number stands for both."""
    value: Any = settings.get(key, default)
    if isinstance(value, list) and len(value) == 2 and all(type(each) is int and each > 0 for each in value):
        return value[0], value[1]
    if not isinstance(value, int):
        raise settings.wrong(key, value, "a whole number from 1 on, or two")
    side = settings.number(key, default)
    return side, side
