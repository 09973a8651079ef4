"""What ships under a name. Cheap to import, so that completion and refused names do not wait for the settings."""

from __future__ import annotations

from pathlib import Path

BASELINE = "baseline"
"""The variant that changes nothing."""

DEFAULT_PRESET = "digits"


def preset_names() -> tuple[str, ...]:
    """Names of the shipped presets, sorted."""
    return tuple(sorted(path.stem for path in shipped_folder().glob("*.yaml")))


def variant_names() -> tuple[str, ...]:
    """Names of the shipped variants, sorted, `baseline` first."""
    return (BASELINE, *sorted(path.stem for path in (shipped_folder() / "variants").glob("*.yaml")))


def study_names() -> tuple[str, ...]:
    """Names of the shipped studies, sorted."""
    return tuple(sorted(path.stem for path in (shipped_folder() / "studies").glob("*.yaml")))


def shipped_folder() -> Path:
    """The folder of the shipped presets: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "presets"
    return installed if installed.is_dir() else package.parent / "presets"
