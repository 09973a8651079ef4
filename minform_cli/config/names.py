"""What ships under a name. Cheap to import, so that completion and refused names do not wait for the settings."""

from __future__ import annotations

from pathlib import Path

_YAML = (".yaml", ".yml")

BASELINE = "baseline"
"""The variant that changes nothing."""

DEFAULT_PRESET = "digits"

OF_RUN = "run:"
"""Opens a variant that is the model of a stored run, trained from chance: ``run:FOLDER``."""

FROM_RUN = "init:"
"""Opens a variant of a study that is the model of a stored run, started from its weights: ``init:FOLDER``."""


def preset_names() -> tuple[str, ...]:
    """Names of the shipped presets, sorted."""
    return tuple(sorted(path.stem for path in shipped_folder().glob("*.yaml")))


def variant_names() -> tuple[str, ...]:
    """Names of the shipped variants, sorted, `baseline` first."""
    return (BASELINE, *sorted(path.stem for path in (shipped_folder() / "variants").glob("*.yaml")))


def is_named(variant: str) -> bool:
    """Whether a variant's settings can be looked up: shipped names and YAML files, joined by ``+``.

    The model of a run that was imported or reduced may be no such variant, but its own.
    """
    known, parts = variant_names(), [variant] if variant.endswith(_YAML) else variant.split("+")
    return all(part in known or part.endswith(_YAML) for part in parts)


def study_names() -> tuple[str, ...]:
    """Names of the shipped studies, sorted."""
    return tuple(sorted(path.stem for path in (shipped_folder() / "studies").glob("*.yaml")))


def shipped_folder() -> Path:
    """The folder of the shipped presets: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "presets"
    return installed if installed.is_dir() else package.parent / "presets"
