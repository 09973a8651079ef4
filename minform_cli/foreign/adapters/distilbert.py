"""DistilBERT of transformers: BERT without token types and pooler, under names of its own.

Its classes are told from the first token through a linear map and ReLU, where BERT has tanh.
Source: arXiv 1910.01108; names as transformers writes them.
"""

from __future__ import annotations

from minform_cli.foreign.adapters.base import Given, Imported
from minform_cli.foreign.adapters.bert import ACTIVATIONS
from minform_cli.foreign.adapters.settings import TheirSettings
from minform_cli.foreign.adapters.text import EncoderShape, Names, Use, put_together

PREFIX = "distilbert."

BLOCK = {
    "attention.similarity.w_q": "attention.q_lin",
    "attention.similarity.w_k": "attention.k_lin",
    "attention.value.w_v": "attention.v_lin",
    "attention.value.w_o": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "mlp.w_1": "ffn.lin1",
    "mlp.w_2": "ffn.lin2",
    "mlp_norm": "output_layer_norm",
}
"""Our modules in a block -> its own."""

EPS = 1e-12
"""Of all its LayerNorms; no setting says it."""


def adapt(given: Given) -> Imported:
    """The run of a DistilBERT; see `base.adapt`."""
    head = given.architecture.partition("For")[2]
    use: Use = "embed-sentences"
    modules, vocabulary, pooler = dict[str, str](), tuple[str, ...](), None
    if head == "MaskedLM":
        use, modules = "masked-tokens", {"dense": "vocab_transform", "norm": "vocab_layer_norm"}
        vocabulary = ("vocab_projector.weight", "vocab_projector.bias")
    elif head:
        use, modules, pooler = "classify-sentences", {"output": "classifier"}, "pre_classifier"
    settings = TheirSettings(f"{given.folder}/config.json", given.settings)
    aliases = {name.removeprefix(PREFIX): name for name in given.tensors.names if name.startswith(PREFIX)}
    names = Names(
        words="embeddings.word_embeddings.weight",
        positions="embeddings.position_embeddings.weight",
        types=None,
        embedding_norm="embeddings.LayerNorm",
        block="transformer.layer.{}",
        in_block=BLOCK,
        pooler=pooler,
        head=modules,
        vocabulary=vocabulary,
    )
    classes = settings.classes() if use == "classify-sentences" else None
    return put_together(
        given.with_tensors(given.tensors.renamed(aliases)), use, _encoder(settings, use), names, classes
    )


def _encoder(settings: TheirSettings, use: Use) -> EncoderShape:
    if settings.get("pruned_heads"):
        raise settings.wrong("pruned_heads", settings.get("pruned_heads"), "none")
    settings.check_heads("n_heads", "dim")
    dim, rows = settings.number("dim", 768), settings.number("max_position_embeddings", 512)
    activations = {"gelu": "gelu"} if use == "masked-tokens" else ACTIVATIONS
    model = {
        "dim": dim,
        "depth": settings.number("n_layers", 6),
        "heads": settings.number("n_heads", 12),
        "mlp_multiple": settings.number("hidden_dim", 3072) / dim,
        "dropout": settings.real("dropout", 0.1, zero=True),
        "mlp": settings.choice("activation", activations, "gelu"),
        "embedding": {"kind": "tokens", "types": 0, "norm": True},
        "position": {"kind": "learned", "rows": rows},
        "norm": {"kind": "post", "eps": EPS},
        "bias": "all",
    }
    return EncoderShape(
        model=model,
        vocab_size=settings.number("vocab_size", 30522),
        positions=rows,
        tied=settings.get("tie_word_embeddings", True) is not False,
    )
