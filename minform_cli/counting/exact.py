"""Which numbers of a model can go without a change of its outputs: every exact reduction that applies to a config.

Each step turns the model's parts into ones that do the same with fewer numbers, and what it saves is the difference
of the Forms before and after it, so that all of them add up to the difference of the counts. Conditions stand with the
parts (`config.axes`): what a part cannot do exactly, it says. Formulas and sources: the parts that are left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from minform_cli.config import blocks
from minform_cli.config.axes.base import PartOptions, PerBlock
from minform_cli.config.axes.bias import Bias
from minform_cli.config.axes.embedding import Embedding
from minform_cli.config.axes.linear import Linear
from minform_cli.config.axes.norm import Norm, not_read_by_maps
from minform_cli.config.axes.position import Position
from minform_cli.config.axes.readout import OfExamples, Readout
from minform_cli.config.axes.similarity import Similarity
from minform_cli.config.axes.value import Value
from minform_cli.config.form import Form, Map
from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.counting.form import counted_form, whole_form
from minform_cli.counting.parameters import groups_of
from minform_cli.counting.records import RemovableRecord
from minform_cli.data.glue.tasks import task_of
from minform_cli.data.spec import DataSpec
from minform_cli.tasks import TASKS

Refused = Mapping[tuple[str, int], str]
"""Axis and block -> why the gauge is left alone there."""


@dataclass(frozen=True, kw_only=True)
class ExactReduction:
    """One exact reduction.

    Attributes:
        name: what goes.
        numbers: how many.
        why_not: why no more of them, or none; None where all went that can.
    """

    name: str
    numbers: int
    why_not: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExactPlan:
    """All exact reductions of a config, applied or not.

    Attributes:
        model: what is left.
        reductions: in the order they are applied; their numbers add up to the difference of the counts.
    """

    model: ModelConfig
    reductions: tuple[ExactReduction, ...]

    @property
    def numbers(self) -> int:
        """What all of them save."""
        return sum(each.numbers for each in self.reductions)


@dataclass(frozen=True, kw_only=True)
class _Model:
    """A model on its way, and what is known of its examples."""

    model: ModelConfig
    task: str
    spec: DataSpec
    segments: int | None = None
    refused: Refused = field(default_factory=dict[tuple[str, int], str])

    def size(self, *, counted: bool) -> int:
        """Its parameters: all of them, or those that counts are about."""
        form = counted_form if counted else whole_form
        return sum(groups_of(form(self.model, self.spec, self.task)).values())

    def each(self, axis: str, change: Callable[[ModelConfig, int], PartOptions | str]) -> _Step:
        """Every block with the part on `axis` that `change` makes for it, or with its own and the reason why."""
        parts: list[PartOptions] = []
        changed = False
        reasons: dict[str, list[int]] = {}
        for block in range(self.model.num_blocks):
            own = self.model.at(block)
            made = change(own, block)
            if isinstance(made, str):
                reasons.setdefault(made, []).append(block)
                made = own.parts()[axis]
            parts.append(made)
            changed = changed or made != own.parts()[axis]
        said = [
            reason if len(where) == len(parts) else f"block {', '.join(map(str, where))}: {reason}"
            for reason, where in reasons.items()
            if reason
        ]
        if not changed:
            return self.model, said
        if len(set(parts)) == 1:
            return self.model.model_copy(update={axis: parts[0]}), said
        if self.decodes_otherwise:
            return self.model, [*said, "the decoder has another number of blocks, which no list is for"]
        return self.model.model_copy(update={axis: PerBlock(parts=tuple(parts))}), said

    @property
    def decodes_otherwise(self) -> bool:
        """Whether encoder and decoder have different numbers of blocks."""
        return self.model.decoder_depth > 0 and self.model.num_decoder_blocks != self.model.num_blocks

    def refusal(self, axis: str, block: int) -> str | None:
        """Why the gauge of that block is left alone; blocks of two stacks of other depths are alike."""
        if self.decodes_otherwise:
            return next((why for (other, _), why in self.refused.items() if other == axis), None)
        return self.refused.get((axis, block))


_Step = tuple[ModelConfig, list[str]]
"""The model after a step, and why it did no more."""


def exact_plan(
    config: RunConfig,
    spec: DataSpec,
    *,
    segments: int | None = None,
    refused: Refused | None = None,
    counted: bool = False,
) -> ExactPlan:
    """Every exact reduction of the config's model, with what it saves or why it does not apply.

    Args:
        config: the model and its task.
        spec: of its examples, the longest of which says which positions are reached.
        segments: sentences of an example, where somebody knows; else the task says so, or it is not known.
        refused: where a gauge is left alone.
        counted: whether numbers are those that `count` counts; else a head that it leaves out is among them.
    """
    now = _Model(model=config.model, task=config.task, spec=spec, segments=segments, refused=refused or {})
    found: list[ExactReduction] = []
    size = now.size(counted=counted)
    for name, step in STEPS.items():
        model, reasons = step(now)
        after = replace(now, model=model)
        left = after.size(counted=counted)
        saved = size - left
        assert saved >= 0, f"{name} costs {-saved:,} numbers"
        found.append(ExactReduction(name=name, numbers=saved, why_not="; ".join(reasons) or None))
        if saved:
            now, size = after, left
    return ExactPlan(model=now.model, reductions=tuple(found))


def removable(config: RunConfig, spec: DataSpec) -> RemovableRecord:
    """What `count` says can go of the config's model: of the parameters that it counts."""
    plan = exact_plan(config, spec, counted=True)
    return RemovableRecord(
        numbers=plan.numbers,
        by={each.name: each.numbers for each in plan.reductions},
        why_not={each.name: each.why_not for each in plan.reductions if each.why_not},
    )


def _key_bias(now: _Model) -> _Step:
    def change(own: ModelConfig, _: int) -> PartOptions | str:
        attention = cast(Similarity, own.similarity).form(own)
        linear = cast(Linear, own.linear)
        if linear.differs and linear.form("qkv", own.dim, own.dim) is not None:
            return f"linear {linear.kind!r} differs from run to run"
        dead = (attention is not None and attention.dead) or cast(Readout, own.readout).form(own).dead
        without = cast(Bias, own.bias).without_dead()
        if dead or (own.similarity.by_block and without != own.bias):  # a block that borrows goes by those that lend
            return without
        return cast(Similarity, own.similarity).no_dead_bias(own)

    return now.each("bias", change)


def _gauge_of_query_and_key(now: _Model) -> _Step:
    return now.each(
        "similarity", lambda own, at: now.refusal("similarity", at) or cast(Similarity, own.similarity).gauged(own)
    )


def _value_bias(now: _Model) -> _Step:
    return now.each("value", lambda own, _: cast(Value, own.value).merged(own))


def _gauge_of_value_and_output(now: _Model) -> _Step:
    return now.each("value", lambda own, at: now.refusal("value", at) or cast(Value, own.value).gauged(own))


def _norms(now: _Model) -> _Step:
    across = now.model.decoder_depth > 0
    model, reasons = now.each("norm", lambda own, _: cast(Norm, own.norm).bare(own, across=across))
    after = replace(now, model=model)
    why = _final_norm(after)
    if why is None:
        model, _ = after.each("norm", lambda own, _: cast(Norm, own.norm).bare_last() or "")
    elif why:
        reasons.append(f"final norm: {why}")
    return model, reasons


def _final_norm(now: _Model) -> str | None:
    """Why nothing takes over gain and bias of the norm after the last block; empty where there is none; or None."""
    model = now.model
    last = blocks.after(model, decodes=model.decoder_depth > 0)
    if cast(Norm, last.norm).bare_last() is None or not cast(Norm, last.norm).form(last):
        return ""
    if model.decoder_depth:  # what the encoder gives is read by every attention across
        for block in range(model.num_blocks):
            why = not_read_by_maps(model.at(block), across=True, mlp=False)
            if why is not None:
                return why
    form = whole_form(model, now.spec, now.task).children["readout"]
    return _not_mapped(form)


def _not_mapped(readout: Form) -> str | None:
    """Why what readout and head do first with a token takes no scale and shift; None: maps with biases read it."""
    maps = [
        each for each in readout.holds if isinstance(each, Map) and each.dim_out > 1
    ]  # a score's shift is cancelled
    if not maps:
        head = readout.children.get("head")
        if head is None or not head.holds:
            return "its outputs are the model's"
        first = head.holds[0]
        if not isinstance(first, Map) or first.tied:
            return "the output is tied to the embedding"
        maps = [first]
    return None if all(each.bias for each in maps) else "the map that reads it has no bias"


def _mean_direction(now: _Model) -> _Step:
    whys = dict.fromkeys(
        why
        for block in range(now.model.num_blocks)
        if isinstance(why := cast(Norm, (own := now.model.at(block)).norm).without_mean(own), str)
    )
    if whys:
        return now.model, [next(iter(whys))]
    return now.each("norm", lambda own, _: cast(Norm, own.norm).without_mean(own))


def _token_types(now: _Model) -> _Step:
    embedding = cast(Embedding, now.model.embedding)
    if not embedding.sentences:
        return now.model, ["there are none"]
    known = task_of(now.spec.name)
    most = len(known.sentences) if known is not None and not TASKS.info(now.task).predicts_tokens else now.segments
    if most is None:
        return now.model, ["an example may have two sentences; --segments 1 says that it has one"]
    if most > 1:
        return now.model, ["an example has two sentences"]
    position = cast(Position, now.model.position)
    if not position.learned:
        return now.model, [f"position {position.kind!r} has no table to take it"]
    return now.model.model_copy(update={"embedding": embedding.of_one_sentence()}), []


def _positions(now: _Model) -> _Step:
    own = cast(Position, now.model.position)
    model = now.model.model_copy(update={"position": own.reached()})
    if replace(now, model=model).size(counted=False) < now.size(counted=False):
        return model, []
    return now.model, ["all are reached" if own.learned else f"position {own.kind!r} has no table"]


def _class(now: _Model) -> _Step:
    readout, info = now.model.readout, TASKS.info(now.task)
    if info.predicts_tokens:
        return now.model, ["its outputs are entries of a vocabulary, none of which a part leaves out"]
    if not isinstance(readout, OfExamples):
        return now.model, [f"readout {readout.kind!r} has two heads, of which no part leaves a class out"]
    last = blocks.after(now.model, decodes=now.model.decoder_depth > 0)
    if now.spec.num_classes < 2 or info.head(last, now.spec) is None:
        return now.model, ["there are no classes"]
    return now.model.model_copy(update={"readout": readout.model_copy(update={"reference_class": True})}), []


STEPS: Mapping[str, Callable[[_Model], _Step]] = {
    "key biases": _key_bias,
    "gauge of query and key": _gauge_of_query_and_key,
    "value biases": _value_bias,
    "gauge of value and output": _gauge_of_value_and_output,
    "norm gains and biases": _norms,
    "mean direction": _mean_direction,
    "token types": _token_types,
    "positions never reached": _positions,
    "one class": _class,
}
"""Every exact reduction, in the order they are applied."""
