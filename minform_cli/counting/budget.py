"""Which combinations of reductions fit into a budget of parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from minform_cli.config import legality
from minform_cli.config.names import BASELINE, variant_names
from minform_cli.config.presets import read_variant, resolve
from minform_cli.config.schema import RunConfig
from minform_cli.counting.parameters import counted_groups
from minform_cli.data.spec import DataSpec
from minform_cli.errors import InputError

_SUFFIXES = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_BUDGET = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(%|[kmg]?)", re.IGNORECASE)


def parse_budget(text: str, baseline: int) -> int:
    """How many parameters ``10%`` (of `baseline`), ``500k``, ``1.5M`` or ``30000`` allow.

    Raises:
        InputError: `text` is none of these, or no parameters at all.
    """
    match = _BUDGET.fullmatch(text.strip().replace(",", "").replace("_", ""))
    if match is None or not float(match[1]):
        raise InputError(f"--budget {text!r}: expected a share or a number of parameters: 10%, 500k, 1.5M, 30000")
    number, unit = float(match[1]), match[2].lower()
    return int(baseline * number / 100 if unit == "%" else number * _SUFFIXES[unit])


def fitting(preset: str, settings: Sequence[str], budget: str, spec: DataSpec) -> list[RunConfig]:
    """The configs of all combinations of shipped variants that fit, smallest first; each model once.

    Args:
        preset: name or path.
        settings: ``section.field=value`` texts.
        budget: as `parse_budget` takes it.
        spec: of the preset's data set.

    Raises:
        InputError: the budget cannot be read, or nothing fits; the smallest that there is is named.
    """
    sized: list[tuple[int, RunConfig]] = []
    for name in combinations():
        try:
            config = resolve(preset, name, settings).config
            legality.check_embedding(config.model, spec.kind, spec.title)
        except InputError:
            continue  # these parts do not go together here
        sized.append((sum(counted_groups(config.model, spec, config.task).values()), config))
    baseline = resolve(preset, BASELINE, settings).config
    limit = parse_budget(budget, sum(counted_groups(baseline.model, spec, baseline.task).values()))
    sized.sort(key=lambda pair: pair[0])
    if sized[0][0] > limit:
        least, smallest = sized[0]
        raise InputError(
            f"--budget {budget}: no combination has {limit:,} parameters or fewer; the smallest, {smallest.variant}, "
            f"has {least:,}"
        )
    return [config for size, config in sized if size <= limit]


def combinations() -> list[str]:
    """Names of all models that shipped variants and their combinations make, each under its shortest name."""
    settings = {name: _values(name) for name in variant_names()}
    found: dict[frozenset[tuple[str, str]], str] = {frozenset(): BASELINE}
    for name, own in settings.items():
        for values, combined in list(found.items()):
            merged = dict(values)
            if any(merged.get(key, value) != value for key, value in own.items()):
                continue
            joined = name if combined == BASELINE else f"{combined}+{name}"
            key = frozenset((merged | own).items())
            known = found.get(key)
            if known is None or (joined.count("+"), len(joined)) < (known.count("+"), len(known)):
                found[key] = joined
    return ["+".join(sorted(name.split("+"), key=lambda part: part != "no-mlp")) for name in found.values()]


def _values(variant: str) -> dict[str, str]:
    return {key: repr(setting.value) for key, setting in read_variant(variant).settings.items()}
