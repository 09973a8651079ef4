"""`count_model`: a model of another library, its parameters by group, and what each reduction would save."""

from __future__ import annotations

import re

from minform_cli.counting.records import GROUPS
from minform_cli.foreign.exact import removable
from minform_cli.foreign.packed import unpacked
from minform_cli.foreign.recognise import Recognised, recognise
from minform_cli.foreign.records import ModelRecord, ReductionRecord
from minform_cli.foreign.reductions import Effect, effects
from minform_cli.foreign.sources import build_source

_SHOWN = 4
"""Names that a note lists before it says how many more there are."""


def count_model(source: str) -> ModelRecord:
    """Counts the model that `source` names, without allocating a weight.

    Args:
        source: ``timm:NAME``, ``torchvision:NAME``, ``hf:FOLDER`` or ``hf:NAME``, ``python:MODULE:FUNCTION``.

    Raises:
        InputError: the source is wrong, its library is not there, or the model cannot be built.
    """
    built = build_source(source)
    model, packed = unpacked(built.module)
    found = recognise(model, GROUPS)
    total = sum(found.groups.values())
    assert total == sum(p.numel() for p in model.parameters()), f"{source}: the groups miss the total"
    return ModelRecord(
        source=source,
        model=type(built.module).__name__,
        parameters=total,
        groups=found.groups,
        attention_blocks=len(found.attentions),
        mlp_blocks=len(found.mlps),
        shared=found.shared,
        frozen_parameters=sum(found.frozen.values()),
        other=found.other,
        reductions=[_baseline(found), *(_record(effect, found) for effect in effects(found))],
        removable=removable(model, found),
        notes=[*built.notes, *packed, *_notes(found)],
    )


def _baseline(found: Recognised) -> ReductionRecord:
    return _row("baseline", found.groups, found, {})


def _record(effect: Effect, found: Recognised) -> ReductionRecord:
    row = _row(effect.name, effect.groups, found, effect.reasons)
    row["attention_blocks"], row["mlp_blocks"] = effect.attentions, effect.mlps
    return row


def _row(name: str, groups: dict[str, int] | None, found: Recognised, reasons: dict[str, int]) -> ReductionRecord:
    total = sum(found.groups.values())
    left = None if groups is None else sum(groups.values())
    return ReductionRecord(
        variant=name,
        parameters=left,
        saved=None if left is None else total - left,
        share_of_baseline=None if left is None or not total else left / total,
        groups=groups,
        attention_blocks=0,
        mlp_blocks=0,
        not_applied=reasons,
    )


def _notes(found: Recognised) -> list[str]:
    """What a reader of the count should know beyond its numbers."""
    notes: list[str] = []
    alike: dict[tuple[str, ...], int] = {}
    for paths in found.shared:
        pattern = tuple(dict.fromkeys(map(_pattern, paths)))
        alike[pattern] = alike.get(pattern, 0) + 1
    for (first, *rest), tensors in alike.items():
        also = f"is also {_some(rest)}" if rest else "are shared among themselves"
        times = f" ({tensors:,} tensors)" if tensors > 1 else ""
        notes.append(f"shared: {first} {also}{times}; counted once, where it stands first")
    if found.other:
        notes.append(f"other, not recognised and left as it is: {_summed(found.other)}")
    if found.frozen:
        notes.append(f"frozen, but counted: {_summed(found.frozen)}")
    return notes


def _summed(numbers: dict[str, int]) -> str:
    """The largest parameters with their numbers, those of one place in alike layers added up."""
    sums: dict[str, int] = {}
    for path, numel in numbers.items():
        sums[_pattern(path)] = sums.get(_pattern(path), 0) + numel
    return _some([f"{path} ({sums[path]:,})" for path in sorted(sums, key=lambda path: -sums[path])])


def _pattern(path: str) -> str:
    """`path` with a star for the number of a layer."""
    return re.sub(r"(?<=\.)\d+(?=\.)|^\d+(?=\.)", "*", path)


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
