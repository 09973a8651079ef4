"""A text encoder of another library in our parts: blocks with LayerNorm behind each sublayer, and what is read of them.

BERT, RoBERTa and DistilBERT are one architecture under three sets of names. A family says its names and its
settings (`EncoderShape`, `Names`), and this puts config, spec and weights together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from minform_cli.config.schema import DataConfig, ModelConfig, RunConfig
from minform_cli.data.spec import TextSpec
from minform_cli.data.text.tokenizer import Role
from minform_cli.errors import InputError
from minform_cli.foreign.adapters.base import Given, Imported, moved
from minform_cli.foreign.adapters.originals import library, original
from minform_cli.foreign.adapters.pooling import pooling_of
from minform_cli.foreign.adapters.theirs import Theirs
from minform_cli.foreign.adapters.tokenizing import around, longest, tokenizer_of
from minform_cli.models.build import build_model
from minform_cli.models.meta import weightless
from minform_cli.runs.tensors import weights_of

Use = Literal["embed-sentences", "masked-tokens", "classify-sentences"]
"""Task that an architecture is for."""

DATA_SET = {"embed-sentences": "text", "masked-tokens": "text", "classify-sentences": "glue"}
"""The data set that a run of the task asks for."""

ROLES: Mapping[str, tuple[Role, ...]] = {
    "embed-sentences": ("pad",),
    "masked-tokens": ("pad", "mask"),
    "classify-sentences": ("pad",),
}
"""Special entries that the task needs of a tokenizer, beside a start or an end."""


@dataclass(frozen=True, kw_only=True)
class EncoderShape:
    """What such a model is.

    Attributes:
        model: sizes and parts, but for the readout, as `ModelConfig` takes them.
        vocab_size: entries of its vocabulary.
        positions: tokens of the longest example that it takes.
        tied: whether its settings tie the output over the vocabulary to the word vectors.
        pad: entry that fills up, where positions depend on it; None: they do not.
    """

    model: Mapping[str, Any]
    vocab_size: int
    positions: int
    tied: bool
    pad: int | None = None


@dataclass(frozen=True, kw_only=True)
class Names:
    """How the library calls its tensors; a module's name stands for its weight and bias.

    Attributes:
        words, positions, embedding_norm: of the embedding.
        types: of token types; None: there are none.
        block: opens a block's names, with ``{}`` for its number.
        in_block: our module in a block -> theirs.
        pooler: theirs between the first token and the outputs; None: there is none.
        head: our module in the head -> theirs.
        vocabulary: names of the head's output over the vocabulary: its matrix, its bias where that is tied to the
            words, its bias where it is not; files may have both.
    """

    words: str
    positions: str
    embedding_norm: str
    types: str | None
    block: str
    in_block: Mapping[str, str]
    pooler: str | None = None
    head: Mapping[str, str] = field(default_factory=dict[str, str])
    vocabulary: tuple[str, ...] = ()


BERT_BLOCK = {
    "attention.similarity.w_q": "attention.self.query",
    "attention.similarity.w_k": "attention.self.key",
    "attention.value.w_v": "attention.self.value",
    "attention.value.w_o": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "mlp.w_1": "intermediate.dense",
    "mlp.w_2": "output.dense",
    "mlp_norm": "output.LayerNorm",
}
"""Our modules in a block -> those of BERT and RoBERTa."""

LEFT_OVER = "{} has no such tensor"


def put_together(
    given: Given, use: Use, encoder: EncoderShape, names: Names, classes: tuple[str, ...] | None
) -> Imported:
    """The run of a text encoder.

    Args:
        given: the model.
        use: the task of its architecture.
        encoder: its sizes.
        names: its tensors.
        classes: names of those that it tells apart; empty: it gives a score; None: neither.

    Raises:
        InputError: a tensor, the tokenizer or an option is not as it must be.
    """
    theirs, notes = given.tensors, list[str]()
    readout, told = _readout(given, use, names)
    notes += told
    tied = use != "masked-tokens" or _is_tied(theirs, encoder, names)
    embedding = {**encoder.model["embedding"], "tied": tied}
    model = ModelConfig.model_validate({**encoder.model, "embedding": embedding, "readout": readout})
    vocabulary = tokenizer_of(given, ROLES[use], encoder.vocab_size, encoder.pad)
    seq_len = longest(given, encoder.positions)
    data = DataConfig(
        name=DATA_SET[use],
        vocab_size=encoder.vocab_size,
        seq_len=seq_len,
        tokenizer=str(given.folder / "tokenizer.json") if given.folder is not None else "wordpiece",
    )
    spec = TextSpec(
        name="imported",
        title=given.title,
        source=given.source,
        class_names=classes or (),
        vocab_size=encoder.vocab_size,
        seq_len=seq_len,
        outputs=1 if classes == () else None,
    )
    config = RunConfig(preset=given.source, task=use, data=data, model=model)
    with weightless():
        expected = weights_of(build_model(config, spec))
    weights = moved(theirs, _names(expected, names, theirs, encoder), expected)
    _say_what_is_left(theirs, use, readout, names)
    if names.vocabulary:
        _say_what_stands_twice(theirs, encoder, names, tied=tied)
    notes += around(vocabulary)
    pad = 0 if vocabulary.special.pad is None else vocabulary.special.pad
    return Imported(
        config=config,
        spec=spec,
        weights=weights,
        left_over=theirs.left_over(LEFT_OVER.format(given.architecture)),
        tokenizer=vocabulary.json.decode(),
        notes=(*notes, *theirs.notes()),
        original=original(given, use, str(model.readout.kind), pad),
        library=library(),
    )


def _readout(given: Given, use: Use, names: Names) -> tuple[Any, tuple[str, ...]]:
    """The readout, and what should be said of it."""
    has_pooler = names.pooler is not None and given.tensors.has(f"{names.pooler}.weight")
    if use == "embed-sentences":
        readout, notes = pooling_of(given, has_pooler=has_pooler)
        return readout, notes
    if given.pooling is not None:
        raise InputError(
            f"--pooling: {given.architecture} reads what its head was trained on; accepted: it is for models without "
            "a head, BertModel say"
        )
    if use == "masked-tokens":
        return "mean", ()  # no vector of an example is read, and none is counted
    relu = names.pooler is not None and names.pooler.endswith("pre_classifier")
    return ({"kind": "pooler", "activation": "relu"} if relu else "pooler"), ()


def _is_tied(theirs: Theirs, encoder: EncoderShape, names: Names) -> bool:
    """Whether the output over the vocabulary is the words' own matrix."""
    matrix = names.vocabulary[0]
    if not theirs.has(matrix):
        if not encoder.tied:
            theirs.shape(matrix)  # it must be there: says that it is missing
        return True
    return theirs.same(matrix, names.words)


def _biases(theirs: Theirs, encoder: EncoderShape, names: Names) -> list[str]:
    """Names of the output's bias that are there, the one that is read first; the usual one where none is."""
    usual = names.vocabulary[1:] if encoder.tied else names.vocabulary[:0:-1]
    return [bias for bias in usual if theirs.has(bias)] or [names.vocabulary[1]]


def _names(expected: Mapping[str, Any], names: Names, theirs: Theirs, encoder: EncoderShape) -> dict[str, str]:
    """Our tensors -> theirs."""
    fixed = {
        "embedding.words.weight": names.words,
        "embedding.positions.table": names.positions,
        "embedding.types": names.types or "",
    }
    if names.vocabulary:
        fixed["readout.head.output.weight"] = names.vocabulary[0]
        fixed["readout.head.output.bias"] = _biases(theirs, encoder, names)[0]
    modules = {"embedding.norm": names.embedding_norm, "readout.pooler": names.pooler or ""}
    modules |= {f"readout.head.{ours}": module for ours, module in names.head.items()}
    found: dict[str, str] = {}
    for name in expected:
        module, _, tensor = name.rpartition(".")
        if name in fixed:
            found[name] = fixed[name]
        elif module in modules:
            found[name] = f"{modules[module]}.{tensor}"
        else:
            _, number, inside = module.split(".", 2)
            found[name] = f"{names.block.format(number)}.{names.in_block[inside]}.{tensor}"
    return found


def _say_what_is_left(theirs: Theirs, use: Use, readout: Any, names: Names) -> None:
    theirs.leave("whole numbers 0, 1, ..., no weights", *theirs.whole_numbers())
    theirs.leave_below("beyond the blocks of config.json", names.block.partition("{}")[0])
    if names.pooler is not None and use != "classify-sentences":
        read = {"mean": "the mean of all tokens is read", "class-token": "the first token is read as it is"}
        why = "hidden tokens are predicted without it" if use == "masked-tokens" else read.get(str(readout), "")
        theirs.leave_below(f"the pooler: {why}", f"{names.pooler}.")
    theirs.leave_below("the head for whether one sentence follows another, no task of ours", "cls.seq_relationship.")
    if use == "embed-sentences":
        for prefix in ("cls.", "lm_head.", "classifier.", "vocab_", "pre_classifier.", "qa_outputs."):
            theirs.leave_below("of a head: the model is read without one", prefix)


def _say_what_stands_twice(theirs: Theirs, encoder: EncoderShape, names: Names, *, tied: bool) -> None:
    """Of the output over the vocabulary: its matrix, where that is the words', and its bias under a second name."""
    if tied:
        theirs.leave(f"tied: the numbers of {theirs.named(names.words)}", names.vocabulary[0])
    first, *others = _biases(theirs, encoder, names)
    for other in others:
        same = theirs.same(first, other)
        if encoder.tied and not same:
            raise InputError(
                f"{theirs.where}: tensors {first} and {other} differ, and both are the bias of the output; accepted: "
                "one of them, or two that are equal"
            )
        theirs.leave(f"the numbers of {first} once more" if same else f"not read: the output has {first}", other)
