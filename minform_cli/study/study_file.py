"""Study files: preset, variants, seeds, settings and grid of a comparison under one name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from minform_cli.config.named import check_named, find_file, seen_from, shown
from minform_cli.config.names import shipped_folder, study_names
from minform_cli.config.presets import check_key, check_top
from minform_cli.config.schema import NUM_SEEDS
from minform_cli.config.setting import Setting
from minform_cli.config.strict_yaml import Place, read_yaml
from minform_cli.errors import InputError
from minform_cli.study.grid import check_axis

_KEYS = ("summary", "source", "preset", "variants", "seeds", "set", "grid")


@dataclass(frozen=True)
class Study:
    """What a study file says.

    Attributes:
        preset: name or path.
        variants: empty for the default ones.
        seeds: of every variant.
        settings: by dotted key.
        grid: values of swept settings, by dotted key.
    """

    preset: str
    variants: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    settings: Mapping[str, Setting] = field(default_factory=dict[str, Setting])
    grid: Mapping[str, tuple[Setting, ...]] = field(default_factory=dict[str, tuple[Setting, ...]])

    def changed(
        self,
        preset: str | None,
        variants: Sequence[str],
        seeds: Sequence[int] | None,
        settings: Mapping[str, Setting],
        grid: Mapping[str, tuple[Setting, ...]],
    ) -> Study:
        """The study with what the command line says in place of what the file says; of settings and grid key by key.

        Raises:
            InputError: one key is both set and swept on the command line.
        """
        for key in settings.keys() & grid.keys():
            raise InputError(f"--grid {key}: is set by --set, too; accepted: one of them")
        return Study(
            preset or self.preset,
            tuple(variants) or self.variants,
            tuple(seeds) if seeds is not None else self.seeds,
            {key: self.settings[key] for key in self.settings if key not in grid} | dict(settings),
            {key: self.grid[key] for key in self.grid if key not in settings} | dict(grid),
        )


def about_study(name: str) -> tuple[str, str]:
    """What the shipped study `name` says it is, and its source."""
    values, _ = read_yaml(find_file(name, "study", shipped_folder() / "studies", study_names()))
    return str(values["summary"]), str(values["source"])


def read_study(name: str) -> Study:
    """The study `name`: a shipped one, or the file at that path, where paths are meant from the file.

    Raises:
        InputError: there is none, or something in it is wrong; the message names file and line.
    """
    path = find_file(name, "study", shipped_folder() / "studies", study_names())
    values, lines = read_yaml(path)
    check_top(values, _KEYS, path, lines)
    file = _File(path, values, lines)
    if "preset" not in values:
        raise InputError(f"{shown(path)}: preset is missing: a study says what it varies")
    for key in ("summary", "source"):
        file.checked(key, "", _is_text, "expected text")
    preset: str = file.checked("preset", "", _is_text, "expected a name or a path")
    variants: list[str] = file.checked("variants", [], _is_texts, "expected a list of names or paths, at least one")
    check_named(path, preset, "preset", f"{file.place('preset')}: preset")
    for variant in variants:
        check_named(path, variant, "variant", f"{file.place('variants')}: variants")
    study = Study(
        preset=seen_from(path, preset),
        variants=tuple(seen_from(path, variant) for variant in variants),
        seeds=file.seeds(),
        settings=file.settings(),
        grid=file.grid(),
    )
    for key in study.settings.keys() & study.grid.keys():
        raise InputError(f"{file.place('grid', key)}: {key} is in set, too; accepted: one of them")
    return study


@dataclass(frozen=True)
class _File:
    """A study file as it was read; its methods check one key each."""

    path: Path
    values: Mapping[str, Any]
    lines: Mapping[Place, int]

    def place(self, *keys: str) -> str:
        return f"{shown(self.path)}:{self.lines[keys]}"

    def checked(self, key: str, absent: Any, right: Callable[[Any], bool], expected: str) -> Any:
        """The value of a top-level key, or `absent` without one."""
        if key not in self.values:
            return absent
        if not right(self.values[key]):
            raise InputError(f"{self.place(key)}: {key}: {expected}")
        return self.values[key]

    def seeds(self) -> tuple[int, ...]:
        seeds = self.checked("seeds", 3, _is_seeds, "expected how many, or a list of whole numbers from 0 on")
        return tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)

    def settings(self) -> dict[str, Setting]:
        settings: dict[str, Setting] = {}
        for key, value in self._by_key("set").items():
            check_key(key, self.place("set", key))
            settings[key] = Setting(value, self.place("set", key))
        return settings

    def grid(self) -> dict[str, tuple[Setting, ...]]:
        grid: dict[str, tuple[Setting, ...]] = {}
        for key, values in self._by_key("grid").items():
            where = self.place("grid", key)
            if not isinstance(values, list):
                raise InputError(f"{where}: {key}: expected a list of values, for example [1, 4]")
            grid[key] = tuple(Setting(value, where) for value in cast("list[Any]", values))
            check_axis(key, grid[key], where)
        return grid

    def _by_key(self, key: str) -> dict[str, Any]:
        expected = "expected a mapping of keys such as model.dim to values"
        return self.checked(key, None, lambda value: value is None or isinstance(value, dict), expected) or {}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, cast("list[Any]", value)))


def _is_seeds(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_is_whole(item) and 0 <= item < NUM_SEEDS for item in cast("list[Any]", value))
    return _is_whole(value) and value > 0


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
