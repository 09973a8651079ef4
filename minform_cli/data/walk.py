"""One rule for every folder and archive of the user's: what systems and editors leave among the files is left alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

LEFT_ALONE = frozenset(
    {
        "__macosx",
        "__pycache__",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
        "$recycle.bin",
        "#recycle",
        "system volume information",
        "lost+found",
        "@eadir",
    }
)
"""Names, in lower case, that operating systems and file servers give; what Jupyter leaves is hidden."""

MOST_NAMES = 5
"""Names that a sentence gives before it only says how many more there are."""


def is_left_alone(name: str) -> bool:
    """Whether the file or folder `name` (relative, with forward slashes) is hidden, a backup, or a system's own."""
    return any(
        part.startswith((".", "~$")) or part.endswith("~") or part.casefold() in LEFT_ALONE for part in name.split("/")
    )


def walk(folder: Path, followed: int = 0) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every file and folder below `folder` that is not left alone, with its name relative to it.

    Args:
        folder: where to begin.
        followed: down to how many levels links to folders are followed, but for those to a folder they lie in; deeper
            ones could lead in a circle, and are left alone. Links to files always are.

    Raises:
        OSError: a folder cannot be read.
    """
    return _below(folder, "", followed)


def some_names(names: Iterable[str], most: int = MOST_NAMES) -> str:
    """The first of `names`, quoted so that they can be printed, and how many more there are."""
    given = list(names)
    more = f" and {len(given) - most:,} more" if len(given) > most else ""
    return ", ".join(repr(name) for name in given[:most]) + more


def _below(folder: Path | str, prefix: str, followed: int) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if not is_left_alone(entry.name)]
    for entry in found:
        name = prefix + entry.name
        if not entry.is_dir():
            yield name, entry
        elif not entry.is_symlink() or (followed > 0 and not _leads_back(entry)):
            yield name, entry
            yield from _below(entry.path, f"{name}/", followed - 1)


def _leads_back(link: os.DirEntry[str]) -> bool:
    """Whether a link to a folder leads to one that it lies in, whose files would come twice."""
    return Path(link.path).parent.resolve().is_relative_to(Path(link.path).resolve())
