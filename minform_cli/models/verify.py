"""The built model against its Form: what is counted is what is built, group by group and module by module."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from minform_cli.config.form import Form
from minform_cli.config.schema import RunConfig
from minform_cli.counting.form import counted_form, whole_form
from minform_cli.counting.parameters import Module, modules
from minform_cli.counting.records import GROUPS
from minform_cli.data.spec import DataSpec
from minform_cli.models.build import build_counted, build_model
from minform_cli.models.meta import weightless
from minform_cli.tasks import TASKS


def verify(config: RunConfig, spec: DataSpec) -> None:
    """Builds the config's model on the meta device, as counted and as trained, and compares it with its Form.

    Raises:
        AssertionError: they differ (our bug).
    """
    with weightless():
        built = build_counted(config, spec)
        check(config, built, counted_form(config.model, spec, config.task))
        if not TASKS.info(config.task).head_is_counted:
            check(config, build_model(config, spec), whole_form(config.model, spec, config.task))


def check(config: RunConfig, model: nn.Module, form: Form) -> None:
    """Raises `AssertionError` at the first module of `model` that is not as its Form says."""
    said = [module for module in modules(form) if module.own]
    found = [module for module in built_modules(model) if module.own]
    where = f"{config.preset} {config.variant}"
    for ours, theirs in zip(said, found, strict=False):
        if ours != theirs:
            raise AssertionError(f"{where}: the Form says {ours}, built is {theirs}")
    if len(said) != len(found):
        raise AssertionError(f"{where}: only in one of Form and model: {(said + found)[min(len(said), len(found)) :]}")


def built_modules(model: nn.Module) -> Iterator[Module]:
    """The modules of `model` as a Form speaks of them; a tensor that stands in two places counts where it is first."""
    seen: set[int] = set()

    def walk(module: nn.Module, path: str, inherited: str | None) -> Iterator[Module]:
        group = getattr(module, "parameter_group", inherited)
        own = 0
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in seen and parameter.requires_grad:
                seen.add(id(parameter))
                own += parameter.numel()
        yield Module(path=path, kind=type(module).__name__, group=group, own=own)
        for name, child in module.named_children():
            yield from walk(child, f"{path}.{name}" if path else name, group)

    return walk(model, "", None)


def count_groups(model: nn.Module) -> dict[str, int]:
    """Trainable numbers by group of a built model."""
    groups: dict[str, int] = dict.fromkeys((str(group) for group in GROUPS), 0)
    for module in built_modules(model):
        if module.own:
            assert module.group is not None, f"{module.path} has parameters but no group"
            groups[module.group] += module.own
    return groups
