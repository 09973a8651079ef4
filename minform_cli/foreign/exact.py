"""What of a foreign model can go without a change of its outputs. N width, H heads, d width of a head, G heads of keys.

| goes | numbers of an attention | needs |
|---|---|---|
| key bias | G d | known attention, nothing between W_Q and W_K |
| gauge of query and key | G d^2 | the same |
| value bias | G d | known attention, W_O with a bias |
| gauge of value and output | G d^2 | known attention, W_O |
| gain and bias of a sublayer's norm | 2 N | known pre-norm layer, biases in what reads it |

Structure alone does not say what a module computes: cosines in the place of products, heads that are mixed. So an
attention or a layer is known by its class, whose code was read; of others nothing is claimed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from torch import nn

from minform_cli.counting.records import RemovableRecord
from minform_cli.foreign.attention import FoundAttention, ParameterPart
from minform_cli.foreign.recognise import Recognised
from minform_cli.foreign.tree import own_parameters

_ATTENTIONS = {
    "torch.nn.modules.activation": ("MultiheadAttention",),
    "timm.layers.attention": ("Attention",),
    "transformers.models.bart.modeling_bart": ("BartAttention",),
    "transformers.models.bert.modeling_bert": ("BertSelfAttention", "BertCrossAttention"),
    "transformers.models.deit.modeling_deit": ("DeiTAttention", "DeiTSelfAttention"),
    "transformers.models.distilbert.modeling_distilbert": ("DistilBertSelfAttention", "MultiHeadSelfAttention"),
    "transformers.models.gpt2.modeling_gpt2": ("GPT2Attention",),
    "transformers.models.roberta.modeling_roberta": ("RobertaSelfAttention", "RobertaCrossAttention"),
    "transformers.models.vit.modeling_vit": ("ViTAttention", "ViTSelfAttention"),
}
"""Modules with the classes in them whose heads are softmax(q k^T) v, brought together by W_O alone."""

_PRE_NORM = {
    ("torchvision.models.vision_transformer", "EncoderBlock"): ("ln_1", "ln_2"),
    ("timm.models.vision_transformer", "Block"): ("norm1", "norm2"),
    ("transformers.models.vit.modeling_vit", "ViTLayer"): ("layernorm_before", "layernorm_after"),
    ("transformers.models.deit.modeling_deit", "DeiTLayer"): ("layernorm_before", "layernorm_after"),
    ("transformers.models.gpt2.modeling_gpt2", "GPT2Block"): ("ln_1", "ln_2"),
}
"""Layer -> the norms of what its attention and its MLP read, which nothing else reads."""


_OF_ATTENTION = ["key biases", "gauge of query and key", "value biases", "gauge of value and output"]
_OF_NORMS = "norm gains and biases"


def removable(model: nn.Module, found: Recognised) -> RemovableRecord:
    """The table's rows of `model`, in which `found` was recognised; why not, for what is not claimed."""
    by = dict.fromkeys([*_OF_ATTENTION, _OF_NORMS], 0)
    why_not: dict[str, str] = {}
    uses = Counter(piece.key for attention in found.attentions for _, piece in attention.pieces)
    for attention in found.attentions:
        why = _unknown(model.get_submodule(attention.name), attention, uses)
        if why:
            why_not.update(dict.fromkeys(_OF_ATTENTION, why))
            continue
        for name, numbers in zip(_OF_ATTENTION, _of_attention(attention), strict=True):
            if isinstance(numbers, str):
                why_not[name] = numbers
            else:
                by[name] += numbers
    for layer in found.tree.modules.values():
        by[_OF_NORMS] += _of_norms(layer)
    if not by[_OF_NORMS]:
        why_not[_OF_NORMS] = "no layer of it is known to have its norms before attention and MLP"
    return RemovableRecord(numbers=sum(by.values()), by=by, why_not=why_not)


def _unknown(module: nn.Module, attention: FoundAttention, uses: Counter[tuple[int, str]]) -> str:
    """Why nothing of the attention is claimed; empty where all is known."""
    kind = type(module)
    if kind.__name__ not in _ATTENTIONS.get(kind.__module__, ()):
        return f"what {kind.__name__} computes is not known"
    if attention.heads is None:
        return "the number of heads was not found"
    if any(uses[piece.key] > 1 for _, piece in attention.pieces):
        return "projections are shared between attentions"
    # Tokens of MultiheadAttention's own have neither the key's bias nor the value's.
    if attention.extra or getattr(module, "add_zero_attn", False):
        return "attention to tokens of its own"
    pieces = {id(piece.parameter) for _, piece in attention.pieces}
    if not attention.between and any(id(parameter) not in pieces for parameter in module.parameters()):
        return "attention has numbers beside its projections"
    if isinstance(getattr(module, "norm", None), nn.Module) and not isinstance(module.norm, nn.Identity):
        return "a norm stands before W_O"
    return ""


def _of_attention(attention: FoundAttention) -> Iterator[int | str]:
    """What of the projections goes, or why not, in the order of `_OF_ATTENTION`."""
    assert attention.heads is not None
    groups = attention.heads * attention.key_inner // attention.inner
    yield attention.between or _biases(attention.k)
    yield attention.between or groups * (attention.key_inner // groups) ** 2
    merged = len(attention.o) > 1 or not _biases(attention.v)
    yield _biases(attention.v) if merged else "W_O has no bias to take them"
    yield groups * (attention.value_inner // groups) ** 2 if attention.o else "there is no W_O"


def _biases(pieces: tuple[ParameterPart, ...]) -> int:
    """Numbers of a projection beside its matrix, which stands first."""
    return sum(piece.numel for piece in pieces[1:])


def _of_norms(layer: nn.Module) -> int:
    """Numbers of the norms of a known pre-norm layer, where every map in it has a bias."""
    names = _PRE_NORM.get((type(layer).__module__, type(layer).__name__), ())
    norms = [norm for name in names if isinstance(norm := getattr(layer, name, None), nn.LayerNorm)]
    inside = [part for part in layer.modules() if isinstance(part, nn.LayerNorm) and part not in norms]
    if len(norms) < len(names) or inside or any(_lacks_bias(part) for part in layer.modules()):
        return 0
    return sum(parameter.numel() for norm in norms for parameter in norm.parameters())


def _lacks_bias(part: nn.Module) -> bool:
    """Whether it is a linear map, or attention with its maps in one, that has no bias."""
    own = own_parameters(part)
    names = {"weight": "bias"} if isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D" else {}
    names |= {"in_proj_weight": "in_proj_bias"} if isinstance(part, nn.MultiheadAttention) else {}
    return any(weight in own and bias not in own for weight, bias in names.items())
