"""From names to one config: defaults <- preset <- variants <- ``--set``, each value with where it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from minform_cli.config import legality
from minform_cli.config.initial import Start, check_same_model, inherited, is_own, own_model, vocabulary
from minform_cli.config.named import check_named, find_file, is_file, path_of, seen_from, shown
from minform_cli.config.names import (
    BASELINE,
    DEFAULT_PRESET,
    FROM_RUN,
    OF_RUN,
    preset_names,
    shipped_folder,
    variant_names,
)
from minform_cli.config.schema import RUNS, SECTIONS, RunConfig, known_keys
from minform_cli.config.setting import Setting
from minform_cli.config.strict_yaml import Place, dump_yaml, read_scalar, read_yaml
from minform_cli.config.validation import build
from minform_cli.errors import InputError, did_you_mean, unknown_name
from minform_cli.files import RunFolder

_ABOUT = ("summary", "source", "expected_parameters")
_PRESET_KEYS = (*_ABOUT, "extends", "task", *SECTIONS)
_VARIANT_KEYS = ("summary", "source", "extends", "model")
_MAX_EXTENDS = 8


@dataclass(frozen=True)
class SettingsFile:
    """One preset or variant file: what it says of itself, and its settings by dotted key."""

    name: str
    about: dict[str, Any]
    settings: dict[str, Setting]


@dataclass(frozen=True)
class Resolved:
    """A config, and for every dotted key where its value came from (``default``, a file and line, ``--set``)."""

    config: RunConfig
    origins: dict[str, str]


def resolve(
    preset: str = DEFAULT_PRESET,
    variant: str = BASELINE,
    settings: Sequence[str] | Mapping[str, Setting] = (),
    seed: int = 0,
    start: Start | None = None,
    teacher: Start | None = None,
) -> Resolved:
    """One config from a preset, a variant and ``key=value`` settings.

    Args:
        preset: a shipped preset's name, or a path to a YAML file.
        variant: names or paths joined by ``+``; `baseline` for none; ``run:FOLDER`` for the model of a stored run.
        settings: ``section.field=value``, later ones over earlier ones; or settings by key.
        seed: of the run.
        start: another run to start from, whose sizes and vocabulary go over the preset's.
        teacher: another run to follow, whose vocabulary goes over the preset's.

    Raises:
        InputError: a name, key or value is wrong, the run to start from has another model, or (`IllegalModelError`) the
            parts do not go together; names file, line and key.
    """
    return Recipe(preset, settings, seed, start, teacher).resolve(variant)


class Recipe:
    """A preset with settings: the configs of any of its variants, with every file read once.

    Args:
        preset, settings, seed, start, teacher: as for `resolve`, whose errors it raises.
    """

    def __init__(
        self,
        preset: str = DEFAULT_PRESET,
        settings: Sequence[str] | Mapping[str, Setting] = (),
        seed: int = 0,
        start: Start | None = None,
        teacher: Start | None = None,
    ) -> None:
        self.preset = preset
        self._start = start
        self._below = read_preset(preset).settings
        if teacher is not None:
            self._below = self._below | vocabulary(teacher, f"--teacher {teacher.folder}")
        if start is not None:
            self._below = self._below | inherited(start)
        self._given = dict(settings) if isinstance(settings, Mapping) else parse_settings(settings)
        if teacher is None:
            _check_undistilled(self._given)
        init, taught = (None if each is None else str(each.folder) for each in (start, teacher))
        self._names: dict[str, Any] = {"preset": preset, "seed": seed, "init": init, "teacher": taught}
        self._read: dict[str, SettingsFile] = {}

    def resolve(self, variant: str = BASELINE) -> Resolved:
        """The config of `variant`, and where its values came from; errors as of the function `resolve`."""
        name, below, own = self._layers(variant)
        plain, merged = below | self._given, below | own | self._given
        origins = {key: setting.origin for key, setting in merged.items()}
        baseline = self.unchecked if below is self._below else self._built(BASELINE, plain)
        config = baseline.model_copy(update={"variant": name}) if merged == plain else self._built(name, merged)
        legality.check(config.model, origins=origins)
        if config.model != baseline.model:
            origins_of_plain = {key: setting.origin for key, setting in plain.items()}
            legality.check(baseline.model, "baseline (the same without the variant)", origins_of_plain)
            config = config.model_copy(update={"baseline": baseline.model})
        if self._start is not None:
            check_same_model(self._start, config)
        return Resolved(config, {key: origins.get(key, "default") for key in known_keys()})

    def _layers(self, variant: str) -> tuple[str, dict[str, Setting], dict[str, Setting]]:
        """What the config calls `variant`, the settings of its baseline, and those of the variant over them."""
        start = self._start
        if variant.startswith(OF_RUN):
            stored = _stored(variant)
            below = own_model(stored.config, variant, baseline=True) | vocabulary(stored, variant)
            return variant, self._below | below, own_model(stored.config, variant)
        if start is not None and variant.startswith(FROM_RUN):
            return variant, self._below, own_model(start.config, variant)
        if variant.startswith(FROM_RUN):
            folder = variant.removeprefix(FROM_RUN)
            raise InputError(
                f"--variant {variant}: is for compare; accepted: --init {folder}, or {OF_RUN}{folder} for that model "
                "from chance"
            )
        if start is not None and is_own(start):
            own = start.config.variant
            if variant not in (BASELINE, own):
                where = f"the model of --init {start.folder} is its own, {own!r}"
                raise InputError(f"--variant {variant}: {where}; accepted: no --variant")
            return own, self._below, own_model(start.config, f"--init {start.folder}")
        return variant, self._below, read_variant(variant, read=self._read).settings

    def legal(self, variants: Sequence[str] | None = None) -> list[RunConfig]:
        """The configs of those of `variants` (None: all that are shipped) whose parts go together.

        Raises:
            InputError: not even the baseline is legal.
        """
        found = [self.resolve(BASELINE).config]
        for name in variant_names() if variants is None else variants:
            if name == BASELINE:
                continue
            try:
                found.append(self.resolve(name).config)
            except InputError:
                continue
        return found

    def own_values(self, variant: str) -> dict[str, Any]:
        """What `variant` sets in the model: field -> value, typed; whether it goes together is not asked."""
        own = read_variant(variant, read=self._read).settings
        model = self._built(variant, self._below | own | self._given).model
        return {key.partition(".")[2]: getattr(model, key.partition(".")[2]) for key in own}

    @cached_property
    def unchecked(self) -> RunConfig:
        """The config without a variant, typed; whether its parts go together is not asked."""
        return self._built(BASELINE, self._below | self._given)

    def _built(self, variant: str, settings: Mapping[str, Setting]) -> RunConfig:
        """The config of these settings, typed; likewise."""
        values = {key: setting.value for key, setting in settings.items()}
        task = {"task": values.pop("task")} if "task" in values else {}
        origins = {key: setting.origin for key, setting in settings.items()} | {"seed": "--seed"}
        names = {**self._names, "variant": variant, **task}
        return build(names, values, origins, where=f"preset {self.preset}")


def _stored(variant: str) -> Start:
    """The run that ``run:FOLDER`` names, finished or not, as far as its ``config.yaml`` tells it."""
    folder = RunFolder(path_of(variant.removeprefix(OF_RUN)))
    try:
        there = folder.config.is_file()
    except (OSError, ValueError) as error:  # a name too long, a folder that may not be entered
        raise InputError(f"--variant {variant}: cannot be looked at: {getattr(error, 'strerror', error)}") from None
    if not there:
        raise InputError(f"--variant {variant}: is no run folder; accepted: {OF_RUN} and the folder of a run")
    try:
        return Start(folder.path, load_config(folder.config))
    except InputError as error:
        raise InputError(f"--variant {variant}: {error}") from None


def _check_undistilled(given: Mapping[str, Setting]) -> None:
    """Raises `InputError` at a setting that a run without a teacher has no use for."""
    for key, setting in given.items():
        if key.startswith("distill."):
            raise InputError(
                f"{setting.origin}: {key}: has no meaning without a run to follow; accepted: --teacher RUN"
            )


def parse_settings(settings: Sequence[str], option: str = "--set") -> dict[str, Setting]:
    """``key=value`` texts of `option` by key; `InputError` for an unknown key or a text without ``=``."""
    parsed: dict[str, Setting] = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"{option} {text!r}: expected key=value, for example {option} model.dim=64")
        check_key(key, option)
        parsed[key] = Setting(read_scalar(value, f"{option} {key}"), option)
    return parsed


def dump_config(config: RunConfig) -> str:
    """`config` as YAML that `load_config` reads back to an equal config."""
    return dump_yaml(config.model_dump(mode="json"))


def load_config(path: Path) -> RunConfig:
    """The config that `dump_config` wrote to `path`; `InputError` if it is missing or damaged."""
    values, lines = read_yaml(path)
    sections = {name: values.pop(name, {}) for name in SECTIONS}
    flat = _flatten(sections, str(path), lines)
    unknown = [key for key in values if key not in ("preset", "variant", "task", "seed", "baseline", *RUNS)]
    if unknown:
        raise InputError(f"{path}:{lines[(unknown[0],)]}: unknown key {unknown[0]!r}")
    origins = {key: setting.origin for key, setting in flat.items()}
    config = build(values, {key: setting.value for key, setting in flat.items()}, origins, str(path))
    legality.check(config.model, str(path))
    return config


def read_preset(name: str, chain: tuple[Path, ...] = ()) -> SettingsFile:
    """The preset `name` (or the file at that path), with what it extends already merged below it.

    Args:
        name: a shipped name or a path.
        chain: the files that extend it, outermost first.
    """
    path = find_file(name, "preset", shipped_folder(), preset_names())
    values, lines = read_yaml(path)
    check_top(values, _PRESET_KEYS, path, lines)
    inherited = _extended(values, path, lines, chain, "preset", read_preset)
    settings = inherited.settings | _flatten({s: values[s] for s in SECTIONS if s in values}, shown(path), lines)
    if "task" in values:
        settings["task"] = Setting(values["task"], f"{shown(path)}:{lines[('task',)]}")
    return SettingsFile(name, {key: values[key] for key in _ABOUT if key in values}, settings)


def read_variant(name: str, chain: tuple[Path, ...] = (), read: dict[str, SettingsFile] | None = None) -> SettingsFile:
    """The variant `name`: one file, or several joined by ``+`` whose settings must not contradict each other.

    Args:
        name: shipped names or paths.
        chain: the files that extend it, outermost first.
        read: files that were read already, by name; they are not read again, and others are added.
    """
    read = {} if read is None else read
    merged = SettingsFile(name, {}, {})
    for part in dict.fromkeys([name] if is_file(name) else name.split("+")):
        if part == BASELINE:
            continue
        if part not in read:
            read[part] = _read_one_variant(part, chain, read)
        layer = read[part]
        for key, setting in layer.settings.items():
            earlier = merged.settings.get(key)
            if earlier is not None and earlier.value != setting.value:
                raise InputError(
                    f"variant {name!r}: {part!r} sets {key} to {setting.value!r}, but {earlier.origin} set it to "
                    f"{earlier.value!r}; variants joined by + must not contradict each other"
                )
        merged.settings.update(layer.settings)
        merged.about.update(layer.about)
    return merged


def _read_one_variant(name: str, chain: tuple[Path, ...], read: dict[str, SettingsFile]) -> SettingsFile:
    path = find_file(name, "variant", shipped_folder() / "variants", variant_names())
    values, lines = read_yaml(path)
    check_top(values, _VARIANT_KEYS, path, lines)
    inherited = _extended(values, path, lines, chain, "variant", partial(read_variant, read=read))
    own = _flatten({s: values[s] for s in ("model",) if s in values}, shown(path), lines)
    return SettingsFile(name, {key: values[key] for key in _ABOUT if key in values}, inherited.settings | own)


def _extended(
    values: Mapping[str, Any],
    path: Path,
    lines: Mapping[Place, int],
    chain: tuple[Path, ...],
    what: Literal["preset", "variant"],
    read: Callable[[str, tuple[Path, ...]], SettingsFile],
) -> SettingsFile:
    """The `what` that ``extends:`` in the file at `path` names, read by `read`; an empty layer where it names none."""
    if "extends" not in values:
        return SettingsFile("", {}, {})
    base, where = values["extends"], f"{shown(path)}:{lines[('extends',)]}: extends"
    if not isinstance(base, str):
        raise InputError(f"{where}: expected a name or a path")
    if path in chain:
        circle = " -> ".join(shown(each) for each in (*chain[chain.index(path) :], path))
        raise InputError(f"{where}: leads in a circle: {circle}")
    if len(chain) >= _MAX_EXTENDS:
        raise InputError(f"{where}: more than {_MAX_EXTENDS} files extend one another")
    check_named(path, base, what, where)
    return read(seen_from(path, base), (*chain, path))


def check_top(values: Mapping[str, Any], accepted: Sequence[str], path: Path, lines: Mapping[Place, int]) -> None:
    """Raises `InputError` at the first top-level key of a file that is not `accepted`."""
    for key in values:
        if key not in accepted:
            raise unknown_name("key", key, accepted, f"{shown(path)}:{lines[(key,)]}")


def _flatten(sections: Mapping[str, Any], where: str, lines: Mapping[Place, int]) -> dict[str, Setting]:
    """``{"model": {"dim": 64}}`` as ``{"model.dim": Setting(64, "FILE:LINE")}``, with every key known."""
    flat: dict[str, Setting] = {}
    for section, fields in sections.items():
        if fields is None:  # a section with nothing in it
            continue
        if not isinstance(fields, Mapping):
            raise InputError(f"{where}:{lines[(section,)]}: {section}: expected a mapping of keys to values")
        for field, value in fields.items():
            origin = f"{where}:{lines[(section, field)]}"
            check_key(f"{section}.{field}", origin)
            flat[f"{section}.{field}"] = Setting(value, origin)
    return flat


def check_key(key: str, where: str) -> None:
    """Raises `InputError` if `key` is no ``section.field``; `where` opens the message."""
    known = known_keys()
    if key in known:
        return
    near = did_you_mean(key, known)
    if not near:  # the section may be missing or wrong: look for the field alone
        fields = {k.rpartition(".")[2]: k for k in known}
        near = did_you_mean(fields.get(key.rpartition(".")[2], ""), known)
    section = key.partition(".")[0]
    accepted = [k for k in known if k.startswith(f"{section}.")] or [f"{name}.*" for name in SECTIONS]
    raise InputError(f"{where}: unknown key {key!r}{near}; accepted: {', '.join(accepted)}")
