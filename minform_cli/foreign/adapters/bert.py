"""BERT and RoBERTa of transformers: with no head, with that for hidden tokens, with that for classes of sentences.

Theirs is ours but for names. RoBERTa has one token type, two rows of positions that no token has (the number of its
filling entry and those below), and the LayerNorm of its head has the eps of the others, as BERT's has.
Sources: arXiv 1810.04805; arXiv 1907.11692; names as transformers writes them.
"""

from __future__ import annotations

from minform_cli.foreign.adapters.base import Given, Imported
from minform_cli.foreign.adapters.settings import TheirSettings
from minform_cli.foreign.adapters.text import BERT_BLOCK, EncoderShape, Names, Use, put_together
from minform_cli.foreign.adapters.theirs import Theirs

ACTIVATIONS = {"gelu": "gelu", "relu": "relu", "gelu_new": "gelu-tanh", "gelu_pytorch_tanh": "gelu-tanh"}
"""`hidden_act` -> our MLP."""


OLD = {"gamma": "weight", "beta": "bias"}
"""Names that old files have for what a LayerNorm holds -> today's."""


def adapt(given: Given) -> Imported:
    """The run of a BERT or RoBERTa; see `base.adapt`."""
    family, _, head = given.architecture.partition("For")
    roberta, use = family.startswith("Roberta"), _use(head)
    settings = TheirSettings(f"{given.folder}/config.json", given.settings)
    prefix = "roberta" if roberta else "bert"
    theirs = given.tensors.renamed(_aliases(given.tensors, prefix))
    names = _names(head, roberta=roberta)
    encoder = _encoder(settings, use, roberta=roberta)
    classes = None if use != "classify-sentences" else settings.classes()
    return put_together(given.with_tensors(theirs), use, encoder, names, classes)


def _use(head: str) -> Use:
    if head == "SequenceClassification":
        return "classify-sentences"
    return "masked-tokens" if head else "embed-sentences"


def _aliases(theirs: Theirs, prefix: str) -> dict[str, str]:
    """Names without the model's own prefix, and with `weight` and `bias` where old files have `gamma` and `beta`."""
    found: dict[str, str] = {}
    for name in theirs.names:
        plain = name.removeprefix(f"{prefix}.")
        module, _, tensor = plain.rpartition(".")
        if module.endswith("LayerNorm"):
            plain = f"{module}.{OLD.get(tensor, tensor)}"
        if plain != name:
            found[plain] = name
    return found


def _encoder(settings: TheirSettings, use: Use, *, roberta: bool) -> EncoderShape:
    settings.only("position_embedding_type", "absolute", None)
    settings.only("is_decoder", False)
    settings.only("add_cross_attention", False)
    if settings.get("pruned_heads"):
        raise settings.wrong("pruned_heads", settings.get("pruned_heads"), "none")
    settings.check_heads("num_attention_heads", "hidden_size")
    activations = ACTIVATIONS if use != "masked-tokens" or roberta else {"gelu": "gelu"}
    dim, hidden = settings.number("hidden_size"), settings.number("intermediate_size")
    # RoBERTa gives the first token the position behind that of its filling entry.
    unused = settings.number("pad_token_id", 1, least=0) + 1 if roberta else 0
    rows = settings.number("max_position_embeddings")
    if rows <= unused:
        raise settings.wrong("max_position_embeddings", rows, f"more than {unused}")
    model = {
        "dim": dim,
        "depth": settings.number("num_hidden_layers"),
        "heads": settings.number("num_attention_heads"),
        "mlp_multiple": hidden / dim,
        "dropout": settings.real("hidden_dropout_prob", 0.1, zero=True),
        "mlp": settings.choice("hidden_act", activations, "gelu"),
        "embedding": {"kind": "tokens", "types": settings.number("type_vocab_size", 2), "norm": True},
        "position": {"kind": "learned", "rows": rows, "unused": unused},
        "norm": {"kind": "post", "eps": settings.real("layer_norm_eps", 1e-12)},
        "bias": "all",
    }
    return EncoderShape(
        model=model,
        vocab_size=settings.number("vocab_size"),
        positions=rows - unused,
        tied=settings.get("tie_word_embeddings", True) is not False,
        pad=unused - 1 if roberta else None,
    )


def _names(head: str, *, roberta: bool) -> Names:
    pooler, modules, vocabulary = "pooler.dense", dict[str, str](), tuple[str, ...]()
    if head == "SequenceClassification":
        pooler = "classifier.dense" if roberta else pooler
        modules = {"output": "classifier.out_proj" if roberta else "classifier"}
    elif head and roberta:
        modules = {"dense": "lm_head.dense", "norm": "lm_head.layer_norm"}
        vocabulary = ("lm_head.decoder.weight", "lm_head.bias", "lm_head.decoder.bias")
    elif head:
        opening = "cls.predictions"
        modules = {"dense": f"{opening}.transform.dense", "norm": f"{opening}.transform.LayerNorm"}
        vocabulary = (f"{opening}.decoder.weight", f"{opening}.bias", f"{opening}.decoder.bias")
    return Names(
        words="embeddings.word_embeddings.weight",
        positions="embeddings.position_embeddings.weight",
        types="embeddings.token_type_embeddings.weight",
        embedding_norm="embeddings.LayerNorm",
        block="encoder.layer.{}",
        in_block=BERT_BLOCK,
        pooler=pooler,
        head=modules,
        vocabulary=vocabulary,
    )
