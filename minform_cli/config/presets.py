"""From names to one config: defaults <- preset <- variants <- ``--set``, each value with where it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minform_cli.config import legality
from minform_cli.config.schema import SECTIONS, RunConfig, known_keys
from minform_cli.config.strict_yaml import dump_yaml, read_scalar, read_yaml
from minform_cli.config.validation import build
from minform_cli.errors import InputError, did_you_mean, unknown_name

BASELINE = "baseline"
"""The variant that changes nothing."""

DEFAULT_PRESET = "digits"

_ABOUT = ("summary", "source", "expected_parameters")
_PRESET_KEYS = (*_ABOUT, "extends", "task", *SECTIONS)
_VARIANT_KEYS = ("summary", "source", "extends", "model")
_MAX_EXTENDS = 16


@dataclass(frozen=True)
class Setting:
    """A value and where it came from (``--set``, or a file and line)."""

    value: Any
    origin: str


@dataclass(frozen=True)
class Layer:
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
    settings: Sequence[str] = (),
    seed: int = 0,
) -> Resolved:
    """One config from a preset, a variant and ``key=value`` settings.

    Args:
        preset: a shipped preset's name, or a path to a YAML file.
        variant: names or paths joined by ``+``; `baseline` for none.
        settings: ``section.field=value``, later ones over earlier ones.
        seed: of the run.

    Raises:
        InputError: a name, key or value is wrong, or the parts do not go together; names file, line and key.
    """
    given = parse_settings(settings)
    without_variant = read_preset(preset).settings | given
    merged = read_preset(preset).settings | read_variant(variant).settings | given
    names: dict[str, Any] = {"preset": preset, "variant": variant, "seed": seed}
    origins = {key: setting.origin for key, setting in merged.items()}
    config, baseline = _typed(names, merged), _typed(names, without_variant).model
    legality.check(config.model)
    config = config.model_copy(update={"baseline": None if baseline == config.model else baseline})
    return Resolved(config, {key: origins.get(key, "default") for key in known_keys()})


def _typed(names: Mapping[str, Any], settings: Mapping[str, Setting]) -> RunConfig:
    task = {"task": settings["task"].value} if "task" in settings else {}
    rest = {key: setting for key, setting in settings.items() if key != "task"}
    origins = {key: setting.origin for key, setting in rest.items()}
    return build({**names, **task}, {key: setting.value for key, setting in rest.items()}, origins)


def parse_settings(settings: Sequence[str]) -> dict[str, Setting]:
    """``key=value`` texts as settings by key; `InputError` for an unknown key or a text without ``=``."""
    parsed: dict[str, Setting] = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--set {text!r}: expected key=value, for example --set model.dim=64")
        _check_key(key, "--set")
        parsed[key] = Setting(read_scalar(value, f"--set {key}"), "--set")
    return parsed


def dump_config(config: RunConfig) -> str:
    """`config` as YAML that `load_config` reads back to an equal config."""
    return dump_yaml(config.model_dump(mode="json"))


def load_config(path: Path) -> RunConfig:
    """The config that `dump_config` wrote to `path`; `InputError` if it is missing or damaged."""
    values, lines = read_yaml(path)
    sections = {name: values.pop(name, {}) for name in SECTIONS}
    flat = _flatten(sections, str(path), lines)
    unknown = [key for key in values if key not in ("preset", "variant", "task", "seed", "baseline")]
    if unknown:
        raise InputError(f"{path}:{lines[(unknown[0],)]}: unknown key {unknown[0]!r}")
    origins = {key: setting.origin for key, setting in flat.items()}
    config = build(values, {key: setting.value for key, setting in flat.items()}, origins, str(path))
    legality.check(config.model)
    return config


def preset_names() -> tuple[str, ...]:
    """Names of the shipped presets, sorted."""
    return tuple(sorted(path.stem for path in shipped_folder().glob("*.yaml")))


def variant_names() -> tuple[str, ...]:
    """Names of the shipped variants, sorted, `baseline` first."""
    return (BASELINE, *sorted(path.stem for path in (shipped_folder() / "variants").glob("*.yaml")))


def legal_variants(preset: str, settings: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of the shipped variants that make a model with this preset and these settings.

    Raises:
        InputError: the preset or a setting is wrong, or not even the baseline is legal.
    """
    resolve(preset, BASELINE, settings)
    legal: list[str] = []
    for name in variant_names():
        try:
            resolve(preset, name, settings)
        except InputError:
            continue
        legal.append(name)
    return tuple(legal)


def shipped_folder() -> Path:
    """The folder of the shipped presets: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "presets"
    return installed if installed.is_dir() else package.parent / "presets"


def read_preset(name: str, depth: int = 0) -> Layer:
    """The preset `name` (or the file at that path), with what it extends already merged below it."""
    path = _find(name, "preset", shipped_folder(), preset_names())
    values, lines = read_yaml(path)
    _check_top(values, _PRESET_KEYS, path, lines)
    inherited = _extended(values, path, lines, depth, read_preset)
    settings = inherited.settings | _flatten({s: values.get(s) or {} for s in SECTIONS}, _shown(path), lines)
    if "task" in values:
        settings["task"] = Setting(values["task"], f"{_shown(path)}:{lines[('task',)]}")
    return Layer(name, {key: values[key] for key in _ABOUT if key in values}, settings)


def read_variant(name: str, depth: int = 0) -> Layer:
    """The variant `name`: one file, or several joined by ``+`` whose settings must not contradict each other."""
    merged = Layer(name, {}, {})
    for part in [name] if Path(name).is_file() else name.split("+"):
        if part == BASELINE:
            continue
        layer = _read_one_variant(part, depth)
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


def _read_one_variant(name: str, depth: int) -> Layer:
    path = _find(name, "variant", shipped_folder() / "variants", variant_names())
    values, lines = read_yaml(path)
    _check_top(values, _VARIANT_KEYS, path, lines)
    inherited = _extended(values, path, lines, depth, read_variant)
    own = _flatten({"model": values.get("model") or {}}, _shown(path), lines)
    return Layer(name, {key: values[key] for key in _ABOUT if key in values}, inherited.settings | own)


def _extended(
    values: Mapping[str, Any], path: Path, lines: Mapping[Any, int], depth: int, read: Callable[[str, int], Layer]
) -> Layer:
    """What ``extends:`` in the file at `path` names, read by `read`; an empty layer where it names nothing."""
    base = values.get("extends")
    if base is None:
        return Layer("", {}, {})
    if not isinstance(base, str):
        raise InputError(f"{_shown(path)}:{lines[('extends',)]}: extends: expected a name or a path")
    if depth >= _MAX_EXTENDS:
        raise InputError(f"{_shown(path)}:{lines[('extends',)]}: extends: {base!r} leads in a circle or too deep")
    beside = path.parent / base
    return read(str(beside) if _is_path(base) and beside.is_file() else base, depth + 1)


def _shown(path: Path) -> str:
    """How messages name a file: shipped ones by their place in the project, others as the user gave them."""
    shipped = shipped_folder()
    return f"presets/{path.relative_to(shipped)}" if path.is_relative_to(shipped) else str(path)


def _is_path(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) or "/" in name or "\\" in name


def _find(name: str, what: str, folder: Path, known: Sequence[str]) -> Path:
    if _is_path(name):
        return Path(name)
    if name not in known or name == BASELINE:
        raise unknown_name(what, name, [k for k in known if k != BASELINE or what == "variant"], f"--{what}")
    return folder / f"{name}.yaml"


def _check_top(values: Mapping[str, Any], accepted: Sequence[str], path: Path, lines: Mapping[Any, int]) -> None:
    for key in values:
        if key not in accepted:
            raise unknown_name("key", key, accepted, f"{_shown(path)}:{lines[(key,)]}")


def _flatten(sections: Mapping[str, Any], where: str, lines: Mapping[Any, int]) -> dict[str, Setting]:
    """``{"model": {"dim": 64}}`` as ``{"model.dim": Setting(64, "FILE:LINE")}``, with every key known."""
    flat: dict[str, Setting] = {}
    for section, fields in sections.items():
        if not isinstance(fields, Mapping):
            raise InputError(f"{where}:{lines[(section,)]}: {section}: expected a mapping of keys to values")
        for field, value in fields.items():
            origin = f"{where}:{lines[(section, field)]}"
            _check_key(f"{section}.{field}", origin)
            flat[f"{section}.{field}"] = Setting(value, origin)
    return flat


def _check_key(key: str, where: str) -> None:
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
