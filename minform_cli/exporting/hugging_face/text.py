"""Models of text as BERT, RoBERTa, DistilBERT or GPT-2 of transformers: the one of which the model has the most.

BERT: norms behind sublayers, one of the embedding. RoBERTa: likewise, its first positions unused. DistilBERT: likewise,
without token types. GPT-2: norms before sublayers, and no token sees the next. All take their MLP's activation by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minform_cli.exporting.hugging_face.names import BERT, DISTILBERT, LayerNames, Rendered, layers, named
from minform_cli.exporting.hugging_face.standard import (
    Affine,
    Ledger,
    NotStandard,
    StandardStack,
    affine,
    classes,
    dim,
    matrix,
    positions,
    stack_of,
)
from minform_cli.exporting.source import Exported, special_entries
from minform_cli.models.parts.centred import columns_for
from minform_cli.models.parts.embedding.tokens import TokenEmbedding
from minform_cli.models.parts.linear import Matrix
from minform_cli.models.parts.position import LearnedPositions
from minform_cli.models.parts.readout import EveryToken, Pooler, Readout
from minform_cli.models.stack import TextEncoder
from minform_cli.tasks.classify_sentences import SentenceHead
from minform_cli.tasks.masked_tokens import MaskedTokenHead
from minform_cli.tasks.vocabulary import VocabularyMap


@dataclass(frozen=True, kw_only=True)
class Family:
    """How transformers writes one of BERT's kind.

    Attributes:
        kind: its `model_type`.
        classes: what its classes are called, before ``Model`` and ``ForMaskedLM``.
        layer: names within a block.
        prefix: of the encoder in a model with a head.
        head: of the tokens: names of dense map, norm and bias of the output, and of the output itself.
    """

    kind: str
    classes: str
    layer: LayerNames
    prefix: str
    head: tuple[str, str, str, str]


FAMILIES = {
    "bert": Family(
        kind="bert",
        classes="Bert",
        layer=BERT,
        prefix="bert.",
        head=(
            "cls.predictions.transform.dense",
            "cls.predictions.transform.LayerNorm",
            "cls.predictions.bias",
            "cls.predictions.decoder",
        ),
    ),
    "roberta": Family(
        kind="roberta",
        classes="Roberta",
        layer=BERT,
        prefix="roberta.",
        head=("lm_head.dense", "lm_head.layer_norm", "lm_head.bias", "lm_head.decoder"),
    ),
    "distilbert": Family(
        kind="distilbert",
        classes="DistilBert",
        layer=DISTILBERT,
        prefix="distilbert.",
        head=("vocab_transform", "vocab_layer_norm", "vocab_projector.bias", "vocab_projector"),
    ),
}

_DISTILBERT_EPS = 1e-12
"""Of all its norms; its config cannot say another."""


def render(model: Exported, encoder: TextEncoder, ledger: Ledger) -> Rendered:
    """The model as one of these classes.

    Raises:
        NotStandard: none of them is it.
    """
    embedding = encoder.embedding
    if not isinstance(embedding, TokenEmbedding) or embedding.scale is not None or embedding.widen is not None:
        raise NotStandard("its word vectors are scaled, or made of narrower ones")
    stack = stack_of(encoder, ledger)
    if encoder.causal:
        return _gpt2(model, encoder, embedding, stack, ledger)
    if stack.first or embedding.norm is None:
        raise NotStandard("its norms stand before what they are of, or its embedding has none")
    return _bert(model, encoder, embedding, stack, ledger)


def _bert(
    model: Exported, encoder: TextEncoder, embedding: TokenEmbedding, stack: StandardStack, ledger: Ledger
) -> Rendered:
    family, pad = _family(model, encoder, embedding, stack)
    readout, prefix = encoder.readout, family.prefix
    if readout.head is None:
        prefix = ""
    where = f"{prefix}embeddings."
    table = _positions(model, encoder, ledger, whole=family.kind == "roberta")
    tensors: dict[str, Tensor] = {
        f"{where}word_embeddings.weight": _vectors(embedding.words.weight, dim(encoder)),
        f"{where}position_embeddings.weight": table,
        **named(f"{where}LayerNorm", affine(embedding.norm, ledger, "norms")),
        **layers(stack, family.layer, prefix),
    }
    types = 0
    if family.kind != "distilbert":
        types = 1 if embedding.types is None else len(embedding.types)
        tensors[f"{where}token_type_embeddings.weight"] = _types(embedding, dim(encoder), ledger)
    task, auto, more, extra = _head(model, readout, family, prefix, stack, ledger)
    return Rendered(
        architecture=f"{family.classes}{task}",
        auto=auto,
        config={**_bert_config(model, family, stack, len(table), types, pad), **extra},
        tensors=tensors | more,
    )


def _family(
    model: Exported, encoder: TextEncoder, embedding: TokenEmbedding, stack: StandardStack
) -> tuple[Family, int | None]:
    """Which one, and the entry that fills up."""
    part, readout = encoder.embedding.positions, encoder.readout
    unused = part.first if isinstance(part, LearnedPositions) else 0
    pools = isinstance(readout, Pooler)
    relu = pools and getattr(model.config.model.readout, "activation", "tanh") == "relu"
    if unused and not relu and model.pad == unused - 1:  # its positions begin behind that of the filling
        return FAMILIES["roberta"], unused - 1
    if relu and not isinstance(readout.head, SentenceHead):
        raise NotStandard("its pooler has a rectifier, and DistilBERT has one before classes alone")
    plain = embedding.types is None and stack.eps == _DISTILBERT_EPS and (relu or not pools)
    if relu and not plain:
        raise NotStandard("its pooler has a rectifier, as DistilBERT's, and it has token types or another eps")
    return FAMILIES["distilbert" if plain else "bert"], model.pad


def _head(
    model: Exported, readout: Readout, family: Family, prefix: str, stack: StandardStack, ledger: Ledger
) -> tuple[str, str, dict[str, Tensor], dict[str, Any]]:
    """End of the class's name, the `Auto...` class, tensors, and further settings."""
    head = readout.head
    if isinstance(head, MaskedTokenHead):
        if head.norm.eps != stack.eps:
            raise NotStandard(f"its head's LayerNorm has the eps {head.norm.eps:g}, the others {stack.eps:g}")
        dense, norm, bias, output = family.head
        tensors = {
            **named(dense, matrix(head.dense, ledger, "biases of the head")),
            **named(norm, Affine(head.norm.weight.detach(), head.norm.bias.detach())),
            **_output(model, head.output, output, bias, ledger),
        }
        return "ForMaskedLM", "AutoModelForMaskedLM", tensors, {"tie_word_embeddings": head.output.weight is None}
    if isinstance(head, SentenceHead):
        if not isinstance(readout, Pooler):
            raise NotStandard(f"{type(readout).__name__} reads what its classes are told from, not a pooler")
        pooler = matrix(readout.get_submodule("pooler"), ledger, "biases of the pooler")
        names = {
            "bert": ("bert.pooler.dense", "classifier"),
            "roberta": ("classifier.dense", "classifier.out_proj"),
            "distilbert": ("pre_classifier", "classifier"),
        }[family.kind]
        tensors = named(names[0], pooler) | named(names[1], classes(head.output, ledger))
        return "ForSequenceClassification", "AutoModelForSequenceClassification", tensors, labels(model)
    assert head is None, "text is classified, predicted or made a vector of"
    return "Model", "AutoModel", _vector(readout, family, prefix, model.config.model.dim, ledger), {}


def _vector(readout: Readout, family: Family, prefix: str, n: int, ledger: Ledger) -> dict[str, Tensor]:
    """The pooler of a model without a head; zeros where vectors are read without one, and the class has one."""
    if isinstance(readout, Pooler):
        return named(f"{prefix}pooler.dense", matrix(readout.get_submodule("pooler"), ledger, "biases of the pooler"))
    if [*readout.parameters()]:
        raise NotStandard(f"{type(readout).__name__} has numbers that no class has")
    if family.kind == "distilbert":
        return {}
    ledger.filled[f"the pooler that {family.classes}Model has"] += n * (n + 1)
    return {f"{prefix}pooler.dense.weight": torch.zeros(n, n), f"{prefix}pooler.dense.bias": torch.zeros(n)}


def _bert_config(
    model: Exported, family: Family, stack: StandardStack, rows: int, types: int, pad: int | None
) -> dict[str, Any]:
    size, dropout, depth = model.text.vocab_size, model.config.model.dropout, len(stack.layers)
    common = {"vocab_size": size, "max_position_embeddings": rows, "pad_token_id": pad}
    if family.kind == "distilbert":
        return {
            "model_type": family.kind,
            **common,
            "dim": model.config.model.dim,
            "n_layers": depth,
            "n_heads": model.config.model.heads,
            "hidden_dim": stack.hidden,
            "activation": stack.activation,
            "sinusoidal_pos_embds": False,
            **dict.fromkeys(("dropout", "attention_dropout", "seq_classif_dropout"), dropout),
        }
    special = {} if model.tokenizer is None else _special(model)
    return {
        "model_type": family.kind,
        **common,
        **(special if family.kind == "roberta" else {}),
        "hidden_size": model.config.model.dim,
        "num_hidden_layers": depth,
        "num_attention_heads": model.config.model.heads,
        "intermediate_size": stack.hidden,
        "hidden_act": stack.activation,
        "layer_norm_eps": stack.eps,
        "type_vocab_size": types,
        **dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), dropout),
    }


def _gpt2(
    model: Exported, encoder: TextEncoder, embedding: TokenEmbedding, stack: StandardStack, ledger: Ledger
) -> Rendered:
    head = encoder.readout.head
    if not stack.first or embedding.norm is not None or not isinstance(encoder.readout, EveryToken):
        raise NotStandard("its norms stand behind what they are of, or its embedding has one")
    assert isinstance(head, VocabularyMap), "tokens that see none of the next predict it"
    if head.bias is not None:
        raise NotStandard("its output over the vocabulary has a bias")
    n = dim(encoder)
    table = _positions(model, encoder, ledger, whole=False)
    if embedding.types is not None:
        if len(embedding.types) > 1:
            raise NotStandard("it tells sentences apart, and GPT-2 does not")
        table = table + columns_for(embedding.types.detach()[0], n)
    tensors: dict[str, Tensor] = {
        "transformer.wte.weight": _vectors(embedding.words.weight, n),
        "transformer.wpe.weight": table,
        **named("transformer.ln_f", affine(encoder.final_norm, ledger, "norms")),
    }
    for number, layer in enumerate(stack.layers):
        where, three = f"transformer.h.{number}.", (layer.queries, layer.keys, layer.values)
        packed = Matrix(torch.cat([each.weight for each in three], 1), torch.cat([each.bias for each in three]))
        for name, part in (
            ("attn.c_attn", packed),
            ("attn.c_proj", layer.output),
            ("mlp.c_fc", layer.w_1),
            ("mlp.c_proj", layer.w_2),
        ):
            # Its maps are kept as x W has them, not as torch does.
            tensors |= named(where + name, Matrix(part.weight.T, part.bias))
        tensors |= named(f"{where}ln_1", layer.attention_norm) | named(f"{where}ln_2", layer.mlp_norm)
    if head.weight is not None:
        tensors["lm_head.weight"] = _vectors(head.weight, n)
    special = _special(model) if model.tokenizer is not None else {"bos_token_id": None, "eos_token_id": None}
    config = {
        "model_type": "gpt2",
        "vocab_size": model.text.vocab_size,
        "n_positions": len(table),
        "n_embd": n,
        "n_layer": len(stack.layers),
        "n_head": model.config.model.heads,
        "n_inner": stack.hidden,
        "activation_function": stack.activation,
        "layer_norm_epsilon": stack.eps,
        "tie_word_embeddings": head.weight is None,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), model.config.model.dropout),
        **special,
    }
    return Rendered(architecture="GPT2LMHeadModel", auto="AutoModelForCausalLM", config=config, tensors=tensors)


def labels(model: Exported) -> dict[str, Any]:
    """Class names as transformers keeps them; of scores how many there are."""
    names = model.spec.class_names
    if not names:
        return {"num_labels": model.spec.num_outputs, "problem_type": "regression"}
    return {
        "id2label": {str(number): name for number, name in enumerate(names)},
        "label2id": {name: number for number, name in enumerate(names)},
        "problem_type": "single_label_classification",
    }


def _special(model: Exported) -> dict[str, Any]:
    assert model.tokenizer is not None
    special = special_entries(model.tokenizer, model.run)
    return {"bos_token_id": special.cls, "eos_token_id": special.sep}


def _output(model: Exported, output: VocabularyMap, where: str, bias: str, ledger: Ledger) -> dict[str, Tensor]:
    """The output over the vocabulary; tied, its vectors stand in the embedding, and its bias once."""
    size, again = model.text.vocab_size, f"{where}.bias"
    if output.bias is None:
        ledger.filled["biases of the head"] += size
    numbers = torch.zeros(size) if output.bias is None else output.bias.detach().clone()
    if output.weight is None:
        return {bias: numbers}
    tensors = {f"{where}.weight": output.weight.detach().clone(), again: numbers}
    if bias != again:  # the class has it twice where nothing is tied, and reads this one alone
        ledger.filled["a bias of the head that is not read"] += size
        tensors[bias] = torch.zeros(size)
    return tensors


def _positions(model: Exported, encoder: TextEncoder, ledger: Ledger, *, whole: bool) -> Tensor:
    """The table; `whole` with the rows that nothing looks up."""
    part = encoder.embedding.positions
    if whole and isinstance(part, LearnedPositions):
        return columns_for(part.table.detach(), dim(encoder)).clone()
    return positions(encoder, model.longest, ledger).clone()


def _types(embedding: TokenEmbedding, n: int, ledger: Ledger) -> Tensor:
    if embedding.types is not None:
        return columns_for(embedding.types.detach(), n).clone()
    ledger.filled["token types"] += n
    return torch.zeros(1, n)


def _vectors(weight: Tensor, n: int) -> Tensor:
    return columns_for(weight.detach(), n).clone()
