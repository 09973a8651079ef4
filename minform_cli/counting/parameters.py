"""Parameters of a Form: module by module, by group, and those that no loss can depend on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from minform_cli.config.form import Form, Map, Weights
from minform_cli.config.schema import ModelConfig
from minform_cli.counting.form import ModelForm, counted_form
from minform_cli.counting.records import GROUPS
from minform_cli.data.spec import DataSpec


@dataclass(frozen=True, kw_only=True)
class Module:
    """One module that a Form speaks of.

    Attributes:
        path: of it in the model, empty for the whole.
        kind: its class.
        group: what its numbers count among; None where it cannot have any.
        own: trainable numbers that it has beside its submodules.
    """

    path: str
    kind: str
    group: str | None
    own: int


def modules(form: Form, path: str = "", group: str | None = None) -> Iterator[Module]:
    """The module that `form` speaks of and all in it, each before those that lie in it, in the order of the model."""
    group = form.group or group
    own = sum(each.numbers for each in form.holds if is_own(each))
    yield Module(path=path, kind=form.module, group=group, own=own)
    for name, child in _inside(form).items():
        yield from modules(child, f"{path}.{name}" if path else name, group)


def is_own(each: Map | Weights) -> bool:
    """Whether the numbers are those of the part's own module and not of one in it."""
    return not each.name or (isinstance(each, Weights) and each.module is None)


def _inside(form: Form) -> dict[str, Form]:
    """The modules right below: ``mix.0`` and ``mix.1`` lie in a list ``mix``."""
    found: dict[str, Form] = {}
    for each in form.holds:
        if is_own(each):
            continue
        module = each.form() if isinstance(each, Map) else Form(module=each.module or "", holds=(_unnamed(each),))
        name, _, item = each.name.partition(".")
        known = found[name].children if name in found else {}
        found[name] = Form(module="ModuleList", children={**known, item: module}) if item else module
    return {**found, **form.children}


def _unnamed(each: Weights) -> Weights:
    return Weights(name="", numbers=each.numbers)


def groups_of(form: Form) -> dict[str, int]:
    """Trainable numbers by group; they add up to all there are."""
    groups: dict[str, int] = dict.fromkeys((str(group) for group in GROUPS), 0)

    def add(part: Form, inherited: str | None) -> None:
        group = part.group or inherited
        numbers = sum(each.numbers for each in part.holds)
        if numbers:
            assert group is not None, f"{part.module} has parameters but no group"
            groups[group] += numbers
        for child in part.children.values():
            add(child, group)

    add(form, None)
    return groups


def counted_groups(model: ModelConfig, spec: DataSpec, task: str) -> dict[str, int]:
    """Trainable numbers by group of what counts are about; shared blocks once."""
    return groups_of(counted_form(model, spec, task))


def dead_numbers(form: ModelForm) -> dict[str, int]:
    """Numbers of the whole model that no loss can depend on: where they are -> how many.

    A place inside every block's attention is the path there; any other begins with a child of the model.
    """
    inside: dict[str, int] = {}
    outside: dict[str, int] = {}
    for path, part in form.walk():
        place = path.partition(".attention.")[2] or path.partition(".cross.")[2]
        found = inside if place else outside
        for name, numbers in part.dead.items():
            where = f"{place or path}.{name}"
            found[where] = found.get(where, 0) + numbers
    return {**inside, **outside}
