"""Tasks: what is predicted. Each brings its head, its loss, and its metrics with unit and direction.

What has to be known of a task before its module is imported stands here: listing and refusing need no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, cast

from minform_cli.config.axes import Requires
from minform_cli.config.axes.bias import live_bias
from minform_cli.config.axes.readout import has_reference_class, readouts
from minform_cli.config.form import Form, Map, Weights
from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.errors import IllegalModelError, InputError, counted, unknown_name
from minform_cli.registry import LazyRegistry

if TYPE_CHECKING:
    from torch import Tensor, nn

    from minform_cli.config.axes.embedding import Embedding
    from minform_cli.config.axes.readout import Readout
    from minform_cli.data.spec import DataSpec, TextSpec

EXAMPLE_READOUTS = readouts(per_example=True)


@dataclass(frozen=True, kw_only=True)
class TaskInfo:
    """What a task asks of data and model.

    Attributes:
        module: where the task is.
        meaning: one line.
        takes: kind of the examples, as data sets name theirs.
        requires: axis -> the kinds it can live with; `why` is the reason, in the words of an error message.
        decodes: whether it needs a decoder behind the encoder; other tasks refuse one.
        predicts_tokens: whether it wants an output for tokens, not for examples.
        head_is_counted: whether published counts of such models include the task's head; where they do not, counts are
            of embeddings, encoder and pooler, and the head's parameters are told beside them.
        head: what the task's head is made of; None: it has none, and what is read of the last block is the output.
        has_perplexity: whether exp(loss) is a perplexity: that of a text, token by token.
        has_labels: whether data sets say what is right.
    """

    module: str
    meaning: str
    takes: str
    requires: Requires
    why: str
    head: Callable[[ModelConfig, DataSpec], Form | None]
    decodes: bool = False
    predicts_tokens: bool = False
    head_is_counted: bool = True
    has_perplexity: bool = False
    has_labels: bool = True


def _class_head(model: ModelConfig, spec: DataSpec) -> Form:
    """M N + M; of M - 1 classes where the last is left out; twice where there are two heads."""
    if cast("Readout", model.readout).heads > 1:
        heads = (_outputs(model, name, spec.num_classes) for name in ("of_class", "of_distillation"))
        return Form(module="MeanOfHeads", holds=tuple(heads))
    outputs = _outputs(model, "", spec.num_classes)
    return Form(module=outputs.module, holds=(outputs,))


def _sentence_head(model: ModelConfig, spec: DataSpec) -> Form:
    """M N + M, of classes or a score."""
    return Form(module="SentenceHead", holds=(_outputs(model, "output", spec.num_outputs),))


def _outputs(model: ModelConfig, name: str, number: int) -> Map:
    module = "Linear"
    if has_reference_class(model):
        number, module = number - 1, "ReferencedLinear"
    bias = live_bias(model, number)
    return Map(name=name, dim_in=model.dim, dim_out=number, bias=bias, over="example", module=module)


def _token_head(model: ModelConfig, spec: DataSpec) -> Form:
    """V N + V; tied to the vectors of the vocabulary nothing of its own but N E where those have E columns."""
    tied = cast("Embedding", model.embedding).ties
    narrow = Map(name="narrow", dim_in=model.dim, dim_out=model.word_dim)
    narrowed = (narrow,) if tied and model.embedding_width is not None else ()
    return Form(module="VocabularyMap", holds=(*narrowed, _vocabulary(model, spec, "", bias=not tied)))


def _masked_token_head(model: ModelConfig, spec: DataSpec) -> Form:
    """N^2 + N + 2 N + V, and V N where the output is not tied; tied to E columns N E + E + 2 E + V."""
    read = read_dim(model)
    dense = Map(name="dense", dim_in=model.dim, dim_out=read, bias=live_bias(model, read))
    norm = Weights(name="norm", numbers=2 * read, module="LayerNorm")
    return Form(module="MaskedTokenHead", holds=(dense, norm, _vocabulary(model, spec, "output", bias=True)))


def _vocabulary(model: ModelConfig, spec: DataSpec, name: str, *, bias: bool) -> Map:
    size, tied = cast("TextSpec", spec).vocab_size, cast("Embedding", model.embedding).ties
    numbers = live_bias(model, size) if bias else 0
    return Map(name=name, dim_in=read_dim(model), dim_out=size, bias=numbers, tied=tied, module="VocabularyMap")


def read_dim(model: ModelConfig) -> int:
    """Columns that the output over the vocabulary reads: as many as its vectors have."""
    return model.word_dim if cast("Embedding", model.embedding).ties else model.dim


INFO: Mapping[str, TaskInfo] = {
    "classify-images": TaskInfo(
        module="minform_cli.tasks.classify_images",
        meaning="one class for every image",
        takes="images",
        requires={"readout": EXAMPLE_READOUTS},
        why="an image is classified by one vector",
        head=_class_head,
    ),
    "masked-tokens": TaskInfo(
        module="minform_cli.tasks.masked_tokens",
        meaning="tokens that were hidden, from those around them",
        takes="text",
        requires={"readout": EXAMPLE_READOUTS, "mask": ("none",)},
        why="what is hidden is told from both sides, and a readout of examples is for fine-tuning",
        head=_masked_token_head,
        predicts_tokens=True,
        head_is_counted=False,
    ),
    "next-tokens": TaskInfo(
        module="minform_cli.tasks.next_tokens",
        meaning="every token from those before it",
        takes="text",
        requires={"readout": readouts(per_example=False), "mask": ("causal",)},
        why="a token that sees the next one has nothing to predict",
        head=_token_head,
        predicts_tokens=True,
        has_perplexity=True,
    ),
    "classify-sentences": TaskInfo(
        module="minform_cli.tasks.classify_sentences",
        meaning="a class or a score for every sentence or pair of them",
        takes="text",
        requires={"readout": EXAMPLE_READOUTS, "mask": ("none",)},
        why="a sentence is classified by one vector that has seen all of it",
        head=_sentence_head,
        head_is_counted=False,
    ),
    "embed-sentences": TaskInfo(
        module="minform_cli.tasks.embed_sentences",
        meaning="a vector for every sentence, which no labels say",
        takes="text",
        requires={"readout": EXAMPLE_READOUTS, "mask": ("none",)},
        why="a sentence gets one vector that has seen all of it",
        head=lambda _model, _spec: None,
        has_labels=False,
    ),
    "translate": TaskInfo(
        module="minform_cli.tasks.translate",
        meaning="a sentence in another language",
        takes="pairs",
        requires={"readout": readouts(per_example=False), "mask": ("none",)},
        why="the encoder reads the whole sentence, and the decoder predicts every token of the other",
        head=_token_head,
        decodes=True,
        predicts_tokens=True,
        has_perplexity=True,
    ),
}
"""Every task by name."""


@dataclass(frozen=True)
class Metric:
    """Unit of a number, and which way is better."""

    unit: str
    better: Literal["lower", "higher"]


class Task(Protocol):
    """What the model builder and the trainer ask of a task."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Every number the task measures, by name."""
        ...

    def head(self, model: ModelConfig, spec: DataSpec) -> nn.Module | None:
        """The last module: from a vector of `model.dim` numbers to the outputs; None: the vector is the output.

        For tasks that predict tokens it is called with the vectors of the vocabulary too, (V, N).
        """
        ...

    def loss(self, outputs: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
        """The mean loss of a batch, a scalar."""
        ...

    def measures(self, spec: DataSpec) -> tuple[str, ...]:
        """Names of what `measure` gives for such data, the one that variants are compared by first."""
        ...

    def measure(self, predictions: Tensor, labels: Tensor, spec: DataSpec) -> dict[str, float]:
        """What a whole split measures beside the loss, by name; larger is better, 1 the best there is."""
        ...

    def correct(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """How many examples (or tokens) of a batch are right, a scalar."""
        ...

    def predictions(self, outputs: Tensor) -> Tensor:
        """What is taken for each example or token, (B,)."""
        ...

    @property
    def followed_by(self) -> str:
        """Name of what `agreement` gives."""
        ...

    def divergence(self, outputs: Tensor, wanted: Tensor, temperature: float) -> Tensor:
        """How far outputs are from those of another model of the task, a scalar; 0 where they are the same.

        Args:
            outputs: of a batch.
            wanted: the other model's.
            temperature: that outputs of classes are divided by first.
        """
        ...

    def agreement(self, predictions: Tensor, wanted: Tensor) -> float:
        """How near the predictions of a whole split are to those of another model of the task; 1 the best there is."""
        ...


class TaskRegistry:
    """A table from a task's name to the task; its module is imported when it is asked for."""

    def __init__(self, info: Mapping[str, TaskInfo]) -> None:
        self._info = info
        self._modules = LazyRegistry("task", {name: each.module for name, each in info.items()})

    def get(self, name: str, where: str = "task") -> Task:
        """The task registered as `name`.

        Raises:
            InputError: the name is unknown; `where` opens the message.
        """
        task: Task = self._modules.get(name, where).TASK
        return task

    def info(self, name: str) -> TaskInfo:
        """What the task registered as `name` asks of data and model."""
        return self._info[name]

    def names(self) -> tuple[str, ...]:
        """All names."""
        return self._modules.names()


TASKS = TaskRegistry(INFO)


def check_known(config: RunConfig) -> None:
    """Raises `InputError` if there is no task of the config's name."""
    if config.task not in TASKS.names():
        raise unknown_name("task", config.task, TASKS.names(), f"preset {config.preset}")


def check_labels(config: RunConfig) -> None:
    """Raises `InputError` if no data say what is right for the config's task: nothing can be trained or measured."""
    if TASKS.info(config.task).has_labels:
        return
    raise InputError(
        f"task {config.task!r}: no data set says which vector a sentence should have; accepted: minform train --init "
        "RUN --preset glue-sst2 (or another task) trains from it"
    )


def check_task(config: RunConfig, spec: DataSpec) -> None:
    """Raises an error if the config's task, which must be known, cannot be done.

    Raises:
        IllegalModelError: it does not go with its data or its model.
        InputError: what it is to be measured with is for other tasks, or not here.
    """
    check_measures(config)
    task, info, model = config.task, TASKS.info(config.task), config.model
    if spec.kind != info.takes:
        fitting = ", ".join(name for name in TASKS.names() if TASKS.info(name).takes == spec.kind)
        raise IllegalModelError(
            f"task {task!r} takes {info.takes}, and {spec.title} is {spec.kind}; accepted: {fitting}"
        )
    for axis, accepted in info.requires.items():
        kind = model.parts()[axis].kind
        if kind not in accepted:
            raise IllegalModelError(
                f"task {task!r} does not go with model.{axis} {kind!r}: {info.why}; accepted: {', '.join(accepted)}"
            )
    if has_reference_class(model) and info.predicts_tokens:
        raise IllegalModelError(
            f"model.readout {model.readout.kind!r} with reference_class: task {task!r} predicts tokens; "
            "accepted: reference_class: false"
        )
    if has_reference_class(model) and spec.num_classes < 2:
        raise IllegalModelError(
            f"model.readout {model.readout.kind!r} with reference_class: {spec.title} has "
            f"{counted(spec.num_classes, 'class', 'classes')}, none to leave out; accepted: reference_class: false"
        )
    if info.decodes and not model.decoder_depth:
        raise IllegalModelError(f"task {task!r} needs a decoder: model.decoder_depth 0 is none; accepted: 1 or more")
    if model.decoder_depth and not info.decodes:
        raise IllegalModelError(f"task {task!r} has no use for a decoder: model.decoder_depth must be 0")


def check_measures(config: RunConfig) -> None:
    """Raises `InputError` if the tokeniser that BLEU is to be counted with is for another task, or not here."""
    if config.data.bleu_tokenizer == "auto":
        return
    if not TASKS.info(config.task).decodes:
        raise InputError(f"data.bleu_tokenizer: task {config.task!r} translates nothing; accepted: auto")
    from minform_cli.tasks.text_metrics import check_tokenizer

    check_tokenizer(config.data.bleu_tokenizer)
