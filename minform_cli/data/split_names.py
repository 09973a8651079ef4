"""What people call the splits: one table for folders, archives and files."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from minform_cli.errors import InputError

NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""Split -> its names, in whatever case."""

_SPLIT_OF = {name: split for split, names in NAMES.items() for name in names}


def split_of(name: str, suffixes: Collection[str] = ()) -> str | None:
    """The split that `name` means, without one of `suffixes` if it ends with one; None if it means none."""
    name = name.casefold()
    return _SPLIT_OF.get(name[: -len(max((s for s in suffixes if name.endswith(s)), key=len, default="")) or None])


def named_splits(names: Iterable[str], where: str, suffixes: Collection[str] = ()) -> dict[str, str]:
    """Split -> which of `names` means it, as `split_of` has it, in the order of the splits.

    Raises:
        InputError: two of `names` mean one split; `where` opens the message.
    """
    found: dict[str, str] = {}
    for name in sorted(names):
        split = split_of(name, suffixes)
        if split in found:
            raise InputError(f"{where} has {found[split]!r} and {name!r}, two names of one split; keep one of them")
        if split is not None:
            found[split] = name
    return {split: found[split] for split in NAMES if split in found}


def alluded_splits(name: str) -> set[str]:
    """The splits that words in `name` mean, as in ``training_set`` or ``seg-test``."""
    words = [word.removesuffix("set") for word in re.split("[^a-z]+", name.casefold())]
    return {_SPLIT_OF[word] for word in words if word in _SPLIT_OF}
