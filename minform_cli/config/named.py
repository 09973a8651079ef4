"""The files that names of presets, variants and studies mean, on a command line and in other files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minform_cli.config.names import BASELINE, FROM_RUN, OF_RUN, preset_names, shipped_folder, variant_names
from minform_cli.errors import InputError, near_file, unknown_name
from minform_cli.files import user_path


def find_file(name: str, what: str, folder: Path, known: Sequence[str]) -> Path:
    """The file that `name` means: itself if it is a path, else the one shipped in `folder` as one of `known`."""
    if _is_path(name):
        return path_of(name)
    if name not in known or name == BASELINE:
        raise unknown_name(what, name, [k for k in known if k != BASELINE or what == "variant"], f"--{what}")
    return folder / f"{name}.yaml"


def seen_from(path: Path, name: str) -> str:
    """`name`, said in the file at `path`: a path in it is meant from that file, each of several joined by +."""
    if name.startswith((OF_RUN, FROM_RUN)):
        opening, colon, folder = name.partition(":")
        return f"{opening}{colon}{path.parent / folder}"
    return "+".join(str(path.parent / part) if _is_path(part) else part for part in _parts(path, name))


def check_named(path: Path, name: str, what: str, where: str) -> None:
    """Raises `InputError` where there is no such preset or variant (`what`) as the file at `path` names at `where`."""
    if name.startswith((OF_RUN, FROM_RUN)):
        return  # which is told of where the run is read
    for part in _parts(path, name):
        named = path.parent / part
        if not _is_path(part):
            known = preset_names() if what == "preset" else variant_names()
            if part not in known:
                raise unknown_name(what, part, known, where)
        elif not is_file(named):
            near = near_file(named)
            raise InputError(f"{where}: there is no file {str(named)!r}{near}; accepted: a {what}'s name or file")


def shown(path: Path) -> str:
    """How messages name a file: shipped ones by their place in the project, others as the user gave them."""
    shipped = shipped_folder()
    return f"presets/{path.relative_to(shipped)}" if path.is_relative_to(shipped) else str(path)


def is_file(name: str | Path) -> bool:
    """Whether `name` is a path and a file is there; a name too long for the system is none."""
    try:
        return _is_path(str(name)) and path_of(name).is_file()
    except (OSError, ValueError):
        return False


def path_of(name: str | Path) -> Path:
    """`user_path`, where there may be no such user: then nothing is there."""
    try:
        return user_path(name)
    except RuntimeError:
        return Path(name)


def _is_path(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) or "/" in name or "\\" in name


def _parts(path: Path, name: str) -> list[str]:
    return [name] if is_file(path.parent / name) else name.split("+")
