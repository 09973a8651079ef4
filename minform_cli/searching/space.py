"""What a search chooses among: values of settings, and which of their combinations are models under the budget."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from minform_cli.config.axes.base import AXES
from minform_cli.config.names import BASELINE
from minform_cli.config.presets import Recipe, resolve
from minform_cli.config.schema import RunConfig
from minform_cli.config.setting import Setting
from minform_cli.config.strict_yaml import dump_value
from minform_cli.counting.budget import parse_budget, reductions
from minform_cli.counting.form import counted_form
from minform_cli.counting.parameters import groups_of
from minform_cli.counting.variants import fits
from minform_cli.data.spec import DataSpec
from minform_cli.errors import IllegalModelError, InputError, counted, unknown_name
from minform_cli.study.grid import parse_grid

Label = str | int | float | bool
"""A value as it is stored and shown: a mapping or a list is written as YAML on one line."""

Point = Mapping[str, Label]
"""Dotted key -> one of its values."""

_LISTED = 3000
"""Up to so many combinations are looked through one by one; of more, some are drawn."""

_BESIDE = 100
"""Draws of the other settings among which one must go with a value."""

_DRAWS = 20_000
"""Draws after which a budget is taken for one that nothing fits."""


@dataclass(frozen=True)
class Space:
    """What is chosen among.

    Attributes:
        preset: as the user named it.
        settings: of every trial.
        choices: dotted key -> label -> the value, as settings have it.
        baseline: the config that shares of parameters refer to.
        spec: of its data.
        limit: parameters that a model may have.
        baseline_parameters: of the baseline.
    """

    preset: str
    settings: Mapping[str, Setting]
    choices: Mapping[str, Mapping[Label, Setting]]
    baseline: RunConfig
    spec: DataSpec
    limit: int
    baseline_parameters: int
    _typed: dict[tuple[str, Label], Any] = field(default_factory=dict[tuple[str, Label], Any], repr=False)
    _runs: dict[tuple[Label, ...], bool] = field(default_factory=dict[tuple[Label, ...], bool], repr=False)
    _sizes: dict[tuple[Label, ...], int | None] = field(default_factory=dict[tuple[Label, ...], int | None], repr=False)

    def __len__(self) -> int:
        """Combinations, legal or not."""
        return math.prod(len(values) for values in self.choices.values())

    def of_baseline(self, key: str) -> Any:
        """What the baseline has there, as settings have it."""
        section, _, name = key.partition(".")
        value = getattr(getattr(self.baseline, section), name)
        return _plain(value) if name in AXES and section == "model" else value

    def parameters(self, point: Point) -> int | None:
        """Of the model at `point`; None where that is no model, or none for these examples."""
        key = tuple(point[name] for name in self.choices)
        if key not in self._sizes:
            self._sizes[key] = self._counted(point)
        return self._sizes[key]

    def fits(self, point: Point) -> bool:
        """Whether `point` is a model within the budget, and a run that can be trained."""
        size = self.parameters(point)
        return size is not None and size <= self.limit and self._is_run(point)

    def config(self, point: Point, name: str, seed: int) -> RunConfig:
        """The run at `point`, with every setting checked as if it were given by ``--set``.

        Raises:
            InputError: it is no run.
        """
        chosen = {key: self.choices[key][label] for key, label in point.items()}
        config = resolve(self.preset, BASELINE, {**self.settings, **chosen}, seed).config
        other = {} if config.model == self.baseline.model else {"baseline": self.baseline.model}
        return config.model_copy(update={"variant": name, **other})

    def drawn(self, chance: random.Random) -> Iterator[dict[str, Label]]:
        """Points by chance, without an end, fitting or not."""
        while True:
            yield {key: chance.choice(list(values)) for key, values in self.choices.items()}

    def all_points(self) -> Iterator[dict[str, Label]]:
        """Every combination."""
        for labels in itertools.product(*self.choices.values()):
            yield dict(zip(self.choices, labels, strict=True))

    def is_small(self) -> bool:
        """Whether all combinations can be looked through."""
        return len(self) <= _LISTED

    def some(self, chance: random.Random) -> Iterator[dict[str, Label]]:
        """Points to look for a fitting one among: all of them, in an order by chance, or many draws."""
        if self.is_small():
            points = list(self.all_points())
            chance.shuffle(points)
            return iter(points)
        return itertools.islice(self.drawn(chance), _DRAWS)

    def check(self) -> None:
        """Raises `InputError` if no model is found that fits; the smallest that was met is named."""
        smallest: tuple[int, dict[str, Label]] | None = None
        for point in self.some(random.Random(0)):  # noqa: S311  (nothing is kept secret)
            if self.fits(point):
                return
            size = self.parameters(point)
            if size is not None and (smallest is None or size < smallest[0]):
                smallest = size, point
        if smallest is None:
            raise IllegalModelError("search: none of the combinations is a model; more kinds of an --axis may be one")
        size, point = smallest
        at = ", ".join(f"{key.removeprefix('model.')} {label}" for key, label in point.items())
        raise InputError(
            f"--budget: no combination has {counted(self.limit, 'parameter')} or fewer; the smallest "
            f"{'' if self.is_small() else 'met '}has {size:,}: {at}"
        )

    def check_values(self) -> None:
        """Raises `InputError` at a value that no run has: what is wrong with it where the preset has all the others."""
        for key, values in self.choices.items():
            for label, value in values.items():
                try:
                    _ = Recipe(self.preset, {**self.settings, key: value}).unchecked
                except InputError:
                    chance = random.Random(0)  # noqa: S311  (nothing is kept secret)
                    drawn = ({**point, key: label} for point in itertools.islice(self.drawn(chance), _BESIDE))
                    if key.startswith("model.") or not any(map(self._is_run, drawn)):
                        raise

    def _is_run(self, point: Point) -> bool:
        """Whether the settings make a run together, whatever its size."""
        key = tuple(point[name] for name in self.choices)
        if key not in self._runs:
            try:
                self.config(point, BASELINE, 0)
                self._runs[key] = True
            except InputError:
                self._runs[key] = False
        return self._runs[key]

    def _counted(self, point: Point) -> int | None:
        model = self.baseline.model.model_copy(
            update={
                key.partition(".")[2]: self._value(key, label)
                for key, label in point.items()
                if key.startswith("model.")
            }
        )
        config = self.baseline.model_copy(update={"model": model, "baseline": self.baseline.model})
        if not fits(config, self.spec):
            return None
        return _size(config, self.spec)

    def _value(self, key: str, label: Label) -> Any:
        """The value as the config has it."""
        if (key, label) not in self._typed:
            setting = self.choices[key][label]
            built = Recipe(self.preset, {**self.settings, key: setting}).unchecked
            self._typed[key, label] = getattr(built.model, key.partition(".")[2])
        return self._typed[key, label]


def make_space(
    preset: str,
    settings: Mapping[str, Setting],
    budget: str,
    axes: Sequence[str],
    sizes: Sequence[str],
    spec: DataSpec,
) -> Space:
    """The space that options ask for.

    Args:
        preset, settings: of every trial.
        budget: as `counting.budget.parse_budget` takes it.
        axes, sizes: as in `SearchOptions`.
        spec: of the preset's data.

    Raises:
        InputError: an axis, a kind, a key or a value is wrong, or the budget cannot be read.
    """
    recipe = Recipe(preset, settings)
    baseline = recipe.resolve(BASELINE).config
    whole = _size(baseline, spec)
    given = _axes(axes) if axes else _shipped_axes(recipe, baseline, spec)
    given |= parse_grid(sizes, "--size") if sizes else {} if axes else _shipped_sizes(baseline)
    for key in given:
        if key in settings:
            raise InputError(f"{settings[key].origin}: {key}: is searched, too; accepted: one of them")
    choices = {key: {label(value.value): value for value in values} for key, values in given.items()}
    space = Space(preset, settings, choices, baseline, spec, parse_budget(budget, whole), whole)
    space.check_values()
    return space


def label(value: Any) -> Label:
    """How `value` is stored and shown."""
    return value if isinstance(value, str | int | float | bool) else dump_value(value)


def _axes(texts: Sequence[str]) -> dict[str, tuple[Setting, ...]]:
    for text in texts:
        name = text.partition("=")[0].removeprefix("model.")
        if name not in AXES:
            raise unknown_name("axis", name, AXES, "--axis")
    return parse_grid([text if text.startswith("model.") else f"model.{text}" for text in texts], "--axis")


def _shipped_axes(recipe: Recipe, baseline: RunConfig, spec: DataSpec) -> dict[str, tuple[Setting, ...]]:
    """What shipped variants set on each axis, beside what the preset has there."""
    found: dict[str, list[Any]] = {}
    for values in reductions(recipe, spec).values():
        for axis, value in values.items():
            if axis in AXES:
                found.setdefault(axis, [getattr(baseline.model, axis)])
                if value not in found[axis]:
                    found[axis].append(value)
    return {
        f"model.{axis}": tuple(Setting(_plain(value), "a shipped variant") for value in found[axis])
        for axis in AXES
        if axis in found
    }


def _plain(part: Any) -> Any:
    """A part, or a list of them, as YAML has it: its kind alone, where its options are the usual ones."""
    if isinstance(part, list | tuple):
        return [_plain(each) for each in cast("Sequence[Any]", part)]
    whole: Any = part.model_dump(mode="json")
    if isinstance(whole, str):
        return whole
    usual = {name: field.default for name, field in type(part).model_fields.items()}
    values = {name: value for name, value in whole.items() if name != "kind" and getattr(part, name) != usual[name]}
    return {"kind": part.kind, **values} if values else part.kind


def _shipped_sizes(baseline: RunConfig) -> dict[str, tuple[Setting, ...]]:
    dim, heads = baseline.model.dim, 1 if baseline.model.head_width else baseline.model.heads
    widths = sorted({dim * quarters // 4 for quarters in (1, 2, 3, 4)})
    return {"model.dim": tuple(Setting(width, "a size") for width in widths if width % heads == 0)}


def _size(config: RunConfig, spec: DataSpec) -> int:
    return sum(groups_of(counted_form(config.model, spec, config.task)).values())
