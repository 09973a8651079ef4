"""Which combinations of reductions fit into a budget of parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from minform_cli.config.names import BASELINE, variant_names
from minform_cli.config.presets import Recipe
from minform_cli.config.schema import RunConfig
from minform_cli.counting.form import ModelForm, counted_form
from minform_cli.counting.parameters import groups_of
from minform_cli.counting.variants import fits
from minform_cli.data.spec import DataSpec
from minform_cli.errors import InputError, counted

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


def fitting(recipe: Recipe, budget: str, spec: DataSpec) -> list[RunConfig]:
    """The configs of all combinations of shipped variants that fit, smallest first; each model once.

    Args:
        recipe: the preset and its settings.
        budget: as `parse_budget` takes it.
        spec: of the preset's data set.

    Raises:
        InputError: the budget cannot be read, or nothing fits; the smallest that there is is named.
    """
    baseline = recipe.resolve(BASELINE).config
    sized = sorted(models(recipe, spec), key=lambda pair: pair[0])
    limit = parse_budget(budget, _size(counted_form(baseline.model, spec, baseline.task)))
    if sized[0][0] > limit:
        least, smallest = sized[0]
        raise InputError(
            f"--budget {budget}: no combination has {counted(limit, 'parameter')} or fewer; the smallest, "
            f"{smallest.variant}, has {least:,}"
        )
    return [config for numbers, config in sized if numbers <= limit]


def models(recipe: Recipe, spec: DataSpec) -> list[tuple[int, RunConfig]]:
    """All models that shipped reductions and their combinations make of a preset, each once, after its parameters.

    Two are one where their Forms are equal: where what sets them apart has nothing to act on, as a way to store linear
    maps in a model that has none. The shortest name is taken.
    """
    found: dict[int, list[tuple[ModelForm, RunConfig]]] = {}
    for config in combinations(recipe, reductions(recipe, spec)):
        if not fits(config, spec):
            continue
        form = counted_form(config.model, spec, config.task)
        alike = found.setdefault(_size(form), [])
        for place, (known, other) in enumerate(alike):
            if known == form and other.model.dropout == config.model.dropout:
                alike[place] = known, min(other, config, key=lambda each: _length(each.variant))
                break
        else:
            alike.append((form, config))
    return [(size, config) for size, alike in found.items() for _, config in alike]


def reductions(recipe: Recipe, spec: DataSpec) -> dict[str, dict[str, Any]]:
    """What those shipped variants set that save parameters by themselves, or need others beside them to be models.

    What costs parameters (another tokenizer) fits a budget less well than the same model without it.
    """
    baseline = recipe.resolve(BASELINE).config
    whole = _size(counted_form(baseline.model, spec, baseline.task))
    kept: dict[str, dict[str, Any]] = {}
    for name in variant_names():
        values = recipe.own_values(name)
        config = baseline.model_copy(update={"model": baseline.model.model_copy(update=values)})
        if not fits(config, spec) or _size(counted_form(config.model, spec, config.task)) < whole:
            kept[name] = values
    return kept


def combinations(recipe: Recipe, values: Mapping[str, dict[str, Any]]) -> Iterator[RunConfig]:
    """The configs of all combinations of variants that do not contradict each other, legal or not.

    Combinations of the same settings come once, under their shortest name.

    Args:
        recipe: the preset and its settings.
        values: what each variant sets, by its name.
    """
    found: dict[frozenset[tuple[str, Any]], str] = {frozenset(): BASELINE}
    for name, own in values.items():
        for settings, combined in list(found.items()):
            merged = dict(settings)
            if any(merged.get(key, value) != value for key, value in own.items()):
                continue
            joined = name if combined == BASELINE else f"{combined}+{name}"
            key = frozenset((merged | own).items())
            if key not in found or _length(joined) < _length(found[key]):
                found[key] = joined
    baseline = recipe.resolve(BASELINE).config
    for settings, name in found.items():
        model = baseline.model.model_copy(update=dict(settings))
        ordered = "+".join(sorted(name.split("+"), key=lambda part: part != "no-mlp"))
        other = {} if model == baseline.model else {"baseline": baseline.model}
        yield baseline.model_copy(update={"variant": ordered, "model": model, **other})


def _size(form: ModelForm) -> int:
    return sum(groups_of(form).values())


def _length(name: str) -> tuple[int, int]:
    return name.count("+"), len(name)
