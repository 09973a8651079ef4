"""What an adapter is given and what it makes of it; and which adapter is for which architecture.

An adapter's module offers ``adapt(given: Given) -> Imported``. It is imported when its architecture is met.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from minform_cli.config.schema import RunConfig
from minform_cli.data.spec import DataSpec
from minform_cli.errors import InputError, did_you_mean
from minform_cli.foreign.adapters.theirs import Theirs
from minform_cli.registry import LazyRegistry
from minform_cli.runs.stored import Normalisation
from minform_cli.runs.tensors import Tensors


@dataclass(frozen=True, kw_only=True)
class Given:
    """A model of another library, read and not yet understood.

    Attributes:
        source: as the user wrote it.
        title: what tables call it: the folder's or the model's name.
        architecture: class of the model there.
        tensors: its weights.
        settings: its ``config.json``, or what else describes it; empty where its library alone knows.
        folder: where its files lie; None: there is the file of weights alone.
        module: the library's own model of this name, without weights; None: its settings say what it is.
        pooling: readout that the user asks for; None: as the source has it.
        seq_len: tokens of the longest example that the user asks for; None: as the source has it.
    """

    source: str
    title: str
    architecture: str
    tensors: Theirs
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    folder: Path | None = None
    module: nn.Module | None = None
    pooling: str | None = None
    seq_len: int | None = None

    def with_tensors(self, tensors: Theirs) -> Given:
        """The same model, its tensors under other names."""
        return replace(self, tensors=tensors)


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an adapter makes of it.

    Attributes:
        config: of the run; `preset` is the source as the user wrote it.
        spec: of its data, as far as the source knows them.
        weights: of the config's model, by our names, in float32.
        left_over: name of each tensor that has no place there -> why.
        normalisation: of images; None for text.
        tokenizer: content of its tokenizer file; None for images.
        notes: what the user should know, a sentence each.
        original: builds the library's own model with these weights, in float32 and in evaluation mode. It takes what
            ours takes and gives what ours gives. None where the library is not there.
        library: its name and version; empty where it is not there.
    """

    config: RunConfig
    spec: DataSpec
    weights: Tensors
    left_over: Mapping[str, str]
    normalisation: Normalisation | None = None
    tokenizer: str | None = None
    notes: tuple[str, ...] = ()
    original: Callable[[], nn.Module] | None = None
    library: str = ""


_BERT = "minform_cli.foreign.adapters.bert"
_DISTILBERT = "minform_cli.foreign.adapters.distilbert"
_VIT = "minform_cli.foreign.adapters.vit"
_GPT2 = "minform_cli.foreign.adapters.gpt2"
_TIMM = "minform_cli.foreign.adapters.timm_vit"
_TORCHVISION = "minform_cli.foreign.adapters.torchvision_vit"

ADAPTERS: Mapping[str, LazyRegistry] = {
    "hf": LazyRegistry(
        "architecture",
        {
            "BertModel": _BERT,
            "BertForMaskedLM": _BERT,
            "BertForPreTraining": _BERT,
            "BertForSequenceClassification": _BERT,
            "RobertaModel": _BERT,
            "RobertaForMaskedLM": _BERT,
            "RobertaForSequenceClassification": _BERT,
            "DistilBertModel": _DISTILBERT,
            "DistilBertForMaskedLM": _DISTILBERT,
            "DistilBertForSequenceClassification": _DISTILBERT,
            "GPT2LMHeadModel": _GPT2,
            "GPT2Model": _GPT2,
            "ViTForImageClassification": _VIT,
            "DeiTForImageClassification": _VIT,
            "DeiTForImageClassificationWithTeacher": _VIT,
        },
    ),
    "timm": LazyRegistry("architecture", {"VisionTransformer": _TIMM, "VisionTransformerDistilled": _TIMM}),
    "torchvision": LazyRegistry("architecture", {"VisionTransformer": _TORCHVISION}),
}
"""Kind of source -> architecture -> where its adapter is."""


def adapt(kind: str, given: Given) -> Imported:
    """What the adapter for its architecture makes of `given`, a source of this kind.

    Every tensor of the file is then used or named among those left over.

    Raises:
        InputError: the architecture is unknown, a setting or a tensor is not as its architecture has it, or no part of
            ours does what it does.
    """
    known = ADAPTERS[kind]
    if given.architecture not in known.names():
        near = _near(given.architecture, known.names())
        raise InputError(
            f"{given.source}: unknown architecture {given.architecture!r}{near}; accepted: {', '.join(known.names())}"
        )
    made = cast(Imported, known.get(given.architecture).adapt(given))
    unnamed = given.tensors.unused() - made.left_over.keys()
    assert not unnamed, f"{given.architecture}: neither used nor left over: {sorted(unnamed)}"
    return made


_FAMILY = re.compile(r"(.+?)(For|Model|LMHead)")


def _near(architecture: str, known: tuple[str, ...]) -> str:
    """What may have been meant: the name most like it; else what there is of its family, with another head say."""
    found = _FAMILY.match(architecture)
    family = (
        [] if found is None else [name for name in known if re.match(rf"{re.escape(found[1])}(For|Model|LMHead)", name)]
    )
    return did_you_mean(architecture, family or known) or (f"; of its family: {', '.join(family)}" if family else "")


def moved(theirs: Theirs, names: Mapping[str, str], expected: Tensors) -> Tensors:
    """The tensors of `expected` by our names, each out of the one of theirs that `names` says.

    Args:
        theirs: what the file holds.
        names: our name -> theirs.
        expected: our model's tensors, for their shapes.
    """
    taken: dict[str, Tensor] = {}
    for name, tensor in expected.items():
        taken[name] = theirs.take(names[name], tuple(tensor.shape))
    return taken
