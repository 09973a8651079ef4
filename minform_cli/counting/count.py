"""Exact parameter counts of a config's model, from its Form."""

from __future__ import annotations

from minform_cli.config import blocks
from minform_cli.config.axes.value import Value
from minform_cli.config.form import Map
from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.counting.cost import macs_per_example
from minform_cli.counting.form import ModelForm, counted_form, head_numbers, tokens_per_step
from minform_cli.counting.parameters import dead_numbers, groups_of
from minform_cli.counting.records import CountRecord
from minform_cli.data.spec import DataSpec
from minform_cli.errors import counted
from minform_cli.tasks import TASKS


def count_config(
    config: RunConfig, spec: DataSpec, *, examples: int | None = None, outputs: int | None = None
) -> CountRecord:
    """Counts the config's model; that a built one has as many, `models.verify` says.

    Args:
        config: the run; shares refer to its `baseline`.
        spec: its data set's spec; gives K and M of the determination ratio.
        examples, outputs: K and M, over the data set's own.
    """
    form = counted_form(config.model, spec, config.task)
    groups = groups_of(form)
    baseline = config.baseline or config.model
    reference = groups_of(counted_form(baseline, spec, config.task))
    total = sum(groups.values())
    planned_for = tokens_per_step(config, spec)
    # Examples of a task that predicts tokens are cuts of one text: how many there are means nothing.
    k = examples or (0 if TASKS.info(config.task).predicts_tokens else spec.num_train)
    return CountRecord(
        preset=config.preset,
        variant=config.variant,
        parameters=total,
        share_of_baseline=total / sum(reference.values()),
        determination_ratio=k * (outputs or spec.num_outputs) / total if k else None,
        macs=macs_per_example(form, planned_for)[0],
        groups=groups,
        heads=config.model.heads,
        task_head_parameters=head_numbers(config.model, spec, config.task),
        dead_parameters=dead_numbers(form),
        notes=[
            *_dearer(config.model, baseline, groups, reference),
            *_about(form, groups),
            *_stored(form, planned_for),
        ],
    )


def _dearer(model: ModelConfig, baseline: ModelConfig, groups: dict[str, int], reference: dict[str, int]) -> list[str]:
    """Which parts take more parameters than those that they replace; `reference` are the baseline's groups."""
    notes: list[str] = []
    for axis, group in (("similarity", "query_key"), ("value", "value_output")):
        kind, replaced = blocks.kinds(model, axis), blocks.kinds(baseline, axis)
        expected = any(_stands_in(model.at(block), axis) for block in range(model.num_blocks))
        if kind != replaced and groups[group] > reference[group] and not expected:
            notes.append(
                f"{axis} {kind!r} with {model.heads} heads takes {groups[group]:,} parameters, more than the "
                f"{reference[group]:,} of {replaced!r} that it replaces"
            )
    return notes


def _stands_in(model: ModelConfig, axis: str) -> bool:
    """Whether the part on the axis has numbers in place of another's."""
    part = model.parts()[axis]
    return isinstance(part, Value) and part.stands_in(model)


def _about(form: ModelForm, groups: dict[str, int]) -> list[str]:
    """What could be saved still, and what no loss depends on."""
    notes: list[str] = []
    if "stack_output" in form.children and form.per_example:
        notes.append(f"the linear head could absorb the last W_VO too ({groups['value_output']:,} of the parameters)")
    notes.extend(
        f"{counted(numbers, 'dead number')} in {path}: nothing the model gives depends on "
        f"{'it' if numbers == 1 else 'them'}"
        for path, numbers in dead_numbers(form).items()
    )
    return notes


def _stored(form: ModelForm, planned_for: int) -> list[str]:
    """How maps are stored that are not one matrix each, every size once; nothing where all are."""
    told: dict[str, dict[str, None]] = {}
    for _, part in form.walk():
        for each in part.holds:
            if isinstance(each, Map) and each.stored is not None:
                text = f"{each.dim_in} -> {each.dim_out} {each.stored.note(planned_for)}"
                when = f", at about {planned_for:,} tokens a step" if each.stored.planned else ""
                told.setdefault(each.stored.title + when, {})[text] = None
    return [f"{title}: {'; '.join(texts)}" for title, texts in told.items()]
