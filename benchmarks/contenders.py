"""The same Transformers by minform and by the libraries that people use: each a model and the loss of one batch.

A contender is made in a process of its own (`benchmarks/step.py`), so that none runs on another's settings. Every
library does as its users have it: as it comes, with fused AdamW.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from minform_cli.config.schema import RunConfig

CLASSES = 10


@dataclass(frozen=True)
class Case:
    """What is timed: sizes of one model and one batch.

    Attributes:
        kind: `vit` (class token), `simple-vit` (mean of tokens), `bert` (masked tokens), `translation`.
        variant: of minform's model.
        classes: entries of a vocabulary, of text.
        side: of an image in pixels; tokens of an example, of text.
        work: `train`, or `eval` (no gradients, evaluation mode).
    """

    kind: str = "vit"
    batch: int = 64
    mlp: float = 1.0
    threads: int = 1
    width: int = 64
    depth: int = 6
    heads: int = 4
    patch: int = 7
    channels: int = 1
    side: int = 28
    vocabulary: int = 8192
    variant: str = "baseline"
    work: str = "train"
    device: str = "cpu"
    compile: bool = False
    bf16: bool = False

    def settings(self) -> dict[str, Any]:
        """Every size by its name."""
        return asdict(self)


Made = tuple[nn.Module, Callable[[], Tensor]]
"""A model, and what gives the loss (training) or the outputs (evaluation) of its batch."""


def config_of(case: Case) -> RunConfig:
    """The run of minform's with that model."""
    from minform_cli.config.presets import resolve

    own = {
        "vit": ("mnist", ["model.readout=class-token"]),
        "simple-vit": ("mnist", ["model.readout=mean", "model.position=sinusoidal"]),
        "bert": ("bert-tiny", []),
        "translation": ("multi30k-tiny", []),
    }
    preset, settings = own[case.kind]
    sizes = [f"model.dim={case.width}", f"model.depth={case.depth}"]
    sizes += [f"model.heads={case.heads}"] if case.variant == "baseline" else []  # a variant may have its own number
    settings = [*settings, *sizes, f"model.mlp_multiple={case.mlp}", "model.dropout=0"]
    if case.kind in ("vit", "simple-vit"):
        settings.append(f"model.patch_size={case.patch}")
        if case.side == 32:
            preset = "cifar10"
    else:
        settings += [f"data.vocab_size={case.vocabulary}", f"data.seq_len={case.side}"]
        settings += [f"model.decoder_depth={case.depth}"] if case.kind == "translation" else []
    return resolve(preset, case.variant, settings).config


def macs(case: Case) -> int:
    """Multiply-accumulates of a training step of minform's model."""
    from minform_cli.counting.cost import training_macs
    from minform_cli.data.spec import spec_for

    config = config_of(case)
    return training_macs(config, spec_for(config), case.batch)


def minform(case: Case) -> Made:
    """Ours."""
    from minform_cli.data.spec import spec_for
    from minform_cli.models.build import build_model

    config = config_of(case)
    model = build_model(config, spec_for(config))
    if case.kind in ("vit", "simple-vit"):
        return model, _classified(model, case)
    if case.kind == "bert":
        tokens, places, labels = _masked(case)
        return model, lambda: F.cross_entropy(model(tokens, None, None, places), labels)
    source, target, labels = _pairs(case)
    return model, lambda: F.cross_entropy(model(source, target), labels)


def timm(case: Case) -> Made:
    """timm's vision transformer."""
    from timm.models.vision_transformer import VisionTransformer

    sizes = {"img_size": case.side, "patch_size": case.patch, "in_chans": case.channels, "num_classes": CLASSES}
    model = VisionTransformer(**sizes, embed_dim=case.width, depth=case.depth, num_heads=case.heads, mlp_ratio=case.mlp)
    return model, _classified(model, case)


def vit_pytorch(case: Case) -> Made:
    """vit-pytorch's ViT, or its SimpleViT."""
    from vit_pytorch import SimpleViT, ViT

    model = (SimpleViT if case.kind == "simple-vit" else ViT)(
        image_size=case.side, patch_size=case.patch, num_classes=CLASSES, dim=case.width, depth=case.depth,
        heads=case.heads, dim_head=case.width // case.heads, mlp_dim=round(case.mlp * case.width),
        channels=case.channels,
    )  # fmt: skip
    return model, _classified(model, case)


def torchvision(case: Case) -> Made:
    """torchvision's VisionTransformer, with as many channels as the images have."""
    from torchvision.models import VisionTransformer

    model = VisionTransformer(
        image_size=case.side, patch_size=case.patch, num_layers=case.depth, num_heads=case.heads,
        hidden_dim=case.width, mlp_dim=round(case.mlp * case.width), num_classes=CLASSES,
    )  # fmt: skip
    model.conv_proj = nn.Conv2d(case.channels, case.width, case.patch, case.patch)
    return model, _classified(model, case)


class _Layers(nn.Module):
    """`nn.TransformerEncoder` between a patch embedding and a head."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.patches = nn.Conv2d(case.channels, case.width, case.patch, case.patch)
        self.token = nn.Parameter(torch.zeros(case.width))
        self.positions = nn.Parameter(torch.zeros(1 + (case.side // case.patch) ** 2, case.width))
        layer = nn.TransformerEncoderLayer(
            case.width, case.heads, round(case.mlp * case.width), 0.0, F.gelu, batch_first=True, norm_first=True
        )
        norm = nn.LayerNorm(case.width)
        self.encoder = nn.TransformerEncoder(layer, case.depth, norm, enable_nested_tensor=False)
        self.head = nn.Linear(case.width, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(tokens), 1, -1), tokens], 1) + self.positions
        return self.head(self.encoder(tokens)[:, 0])


def torch_encoder(case: Case) -> Made:
    """torch's own layers, as its users put them together."""
    model = _Layers(case)
    return model, _classified(model, case)


def transformers(case: Case) -> Made:
    """transformers' BERT, which is asked for the masked places alone as ours is."""
    from transformers import BertConfig, BertForMaskedLM

    model = BertForMaskedLM(
        BertConfig(
            vocab_size=case.vocabulary, hidden_size=case.width, num_hidden_layers=case.depth,
            num_attention_heads=case.heads, intermediate_size=round(case.mlp * case.width),
            max_position_embeddings=case.side, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        )
    )  # fmt: skip
    tokens, places, labels = _masked(case)

    def loss() -> Tensor:
        states = model.bert(tokens).last_hidden_state.flatten(0, 1).index_select(0, places)
        return F.cross_entropy(model.cls(states), labels)

    return model, loss


class _Pair(nn.Module):
    """`nn.Transformer` with one table of vectors for both sides and the output."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.words = nn.Embedding(case.vocabulary, case.width)
        self.pair = nn.Transformer(
            case.width, case.heads, case.depth, case.depth, round(case.mlp * case.width), 0.0, batch_first=True
        )
        self.register_buffer("positions", torch.randn(case.side, case.width))
        self.register_buffer("hidden", nn.Transformer.generate_square_subsequent_mask(case.side))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        x, y = (self.words(each) * self.words.embedding_dim**0.5 + self.positions for each in (source, target))
        return self.pair(x, y, tgt_mask=self.hidden, tgt_is_causal=True).flatten(0, 1) @ self.words.weight.T


def torch_transformer(case: Case) -> Made:
    """torch's encoder and decoder."""
    model = _Pair(case)
    source, target, labels = _pairs(case)
    return model, lambda: F.cross_entropy(model(source, target), labels)


CONTENDERS: dict[str, tuple[Callable[[Case], Made], tuple[str, ...]]] = {
    "minform": (minform, ("vit", "simple-vit", "bert", "translation")),
    "timm": (timm, ("vit",)),
    "vit-pytorch": (vit_pytorch, ("vit", "simple-vit")),
    "torchvision": (torchvision, ("vit",)),
    "nn.TransformerEncoder": (torch_encoder, ("vit",)),
    "transformers": (transformers, ("bert",)),
    "nn.Transformer": (torch_transformer, ("translation",)),
}
"""Name -> what makes it, and the kinds of cases it takes part in."""


def _classified(model: nn.Module, case: Case) -> Callable[[], Tensor]:
    images = torch.randn(case.batch, case.channels, case.side, case.side, device=case.device)
    labels = torch.randint(CLASSES, (case.batch,), device=case.device)
    return (lambda: F.cross_entropy(model(images), labels)) if case.work == "train" else lambda: model(images)


def _masked(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, the 15 % of their places that are to be predicted, and what stands there."""
    generator = torch.Generator("cpu").manual_seed(0)
    tokens = torch.randint(case.vocabulary, (case.batch, case.side), generator=generator, device="cpu")
    places = (
        torch.randperm(tokens.numel(), generator=generator, device="cpu")[: round(0.15 * tokens.numel())].sort().values
    )
    tokens, places = tokens.to(case.device), places.to(case.device)
    return tokens, places, tokens.flatten()[places].clone()


def _pairs(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator("cpu").manual_seed(0)
    source, target = (
        torch.randint(case.vocabulary, (case.batch, case.side), generator=generator, device="cpu").to(case.device)
        for _ in range(2)
    )
    return source, target, target.roll(-1, 1).flatten()
