"""Exact parameter counts: the built model on the meta device, checked against the closed forms."""

from __future__ import annotations

from torch import nn

from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.counting.chains import chain_notes
from minform_cli.counting.closed_form import closed_form
from minform_cli.counting.cost import forward_macs, per_example
from minform_cli.counting.formulas import task_head
from minform_cli.counting.meta import weightless
from minform_cli.data.spec import DataSpec
from minform_cli.models.build import build_counted, tokens_per_step
from minform_cli.results import GROUPS, CountRecord
from minform_cli.tasks import TASKS


def count_config(
    config: RunConfig, spec: DataSpec, *, examples: int | None = None, outputs: int | None = None
) -> CountRecord:
    """Counts the config's model without allocating a weight.

    Args:
        config: the run; shares refer to its `baseline`.
        spec: its data set's spec; gives K and M of the determination ratio.
        examples, outputs: K and M, over the data set's own.

    Raises:
        AssertionError: the built model differs from the closed form (our bug).
    """
    groups = checked_groups(config, spec)
    baseline = config.baseline or config.model
    reference = closed_form(baseline, spec, config.task)
    total = sum(groups.values())
    dead = dead_parameters(config.model)
    # Examples of a task that predicts tokens are cuts of one text: how many there are means nothing.
    k = examples or (0 if TASKS.info(config.task).predicts_tokens else spec.num_train)
    return CountRecord(
        preset=config.preset,
        variant=config.variant,
        parameters=total,
        share_of_baseline=total / sum(reference.values()),
        determination_ratio=k * (outputs or spec.num_outputs) / total if k else None,
        macs=per_example(forward_macs, config, spec),
        groups=groups,
        heads=config.model.heads,
        task_head_parameters=task_head(config.model, spec, config.task),
        dead_parameters=dead,
        notes=[
            *_notes(config.model, baseline, groups, reference, dead),
            *chain_notes(config.model, tokens_per_step(config, spec)),
        ],
    )


def checked_groups(config: RunConfig, spec: DataSpec) -> dict[str, int]:
    """Parameters by group of the model as built on the meta device, once they equal the closed form's."""
    with weightless():
        module = build_counted(config, spec)
    built = count_groups(module)
    expected = closed_form(config.model, spec, config.task)
    assert built == expected, f"{config.preset} {config.variant}: built {built}, closed form {expected}"
    return built


def count_groups(module: nn.Module) -> dict[str, int]:
    """Trainable numbers by group; a tensor that stands in two places counts once, where it stands first."""
    groups: dict[str, int] = dict.fromkeys((str(group) for group in GROUPS), 0)
    seen: set[int] = set()

    def walk(part: nn.Module, inherited: str | None) -> None:
        group = getattr(part, "parameter_group", inherited)
        for parameter in part.parameters(recurse=False):
            if id(parameter) not in seen and parameter.requires_grad:
                seen.add(id(parameter))
                assert group is not None, f"{type(part).__name__} has parameters but no group"
                groups[group] += parameter.numel()
        for child in part.children():
            walk(child, group)

    walk(module, None)
    return groups


def dead_parameters(model: ModelConfig) -> dict[str, int]:
    """Numbers of the whole model that no loss can depend on: where they are -> how many."""
    found: dict[str, int] = {}
    for part in model.parts().values():
        for path, numbers in part.dead_numbers(model).items():
            found[path] = found.get(path, 0) + numbers
    return found


def _notes(
    model: ModelConfig, baseline: ModelConfig, groups: dict[str, int], reference: dict[str, int], dead: dict[str, int]
) -> list[str]:
    """What a reader of the count should know beyond its numbers; `reference` are the baseline's groups."""
    notes: list[str] = []
    for axis, group in (("similarity", "query_key"), ("value", "value_output")):
        kind, replaced = model.parts()[axis].kind, baseline.parts()[axis].kind
        takes_keys_place = kind == "kgv" and model.similarity.kind == "identity-key"
        if kind != replaced and groups[group] > reference[group] and not takes_keys_place:
            notes.append(
                f"{axis} {kind!r} with {model.heads} heads takes {groups[group]:,} parameters, more than the "
                f"{reference[group]:,} of {replaced!r} that it replaces"
            )
    if model.value.kind == "stack-collapsed" and model.readout.kind != "tokens":
        notes.append(f"the linear head could absorb the last W_VO too ({groups['value_output']:,} of the parameters)")
    notes.extend(
        f"{numbers:,} dead numbers in {path}: nothing the model gives depends on them" for path, numbers in dead.items()
    )
    return notes
