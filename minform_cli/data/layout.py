"""How a folder of images by class is laid out: ``train/<class>/*``, and ``val`` and ``test`` likewise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minform_cli.data.images import Labels
from minform_cli.data.members import Container, Member
from minform_cli.errors import InputError, did_you_mean

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Listed:
    """One split of the layout: its files, sorted by class and then by name, and their class numbers."""

    members: tuple[Member, ...]
    labels: Labels


@dataclass(frozen=True)
class Layout:
    """What ``train/<class>/*`` and, where they exist, ``val/<class>/*`` and ``test/<class>/*`` hold.

    Attributes:
        class_names: the sorted names of the folders in ``train``.
        prefix: what stands before ``train`` in every name: empty, or the one folder an archive was made of.
        splits: those that exist.
    """

    class_names: tuple[str, ...]
    prefix: str
    splits: dict[str, Listed]


def layout_of(container: Container, members: list[Member]) -> Layout:
    """How `members` of `container` form splits and classes.

    Raises:
        InputError: there is no training split, or a class of another split is not in it.
    """
    where = repr(str(container.path))
    prefix = _common_prefix(members)
    groups: dict[str, dict[str, list[Member]]] = {split: {} for split in SPLITS}
    for member in members:
        split, *inner = member.name.removeprefix(prefix).split("/")
        if split in groups and len(inner) >= 2:
            groups[split].setdefault(inner[0], []).append(member)
    class_names = tuple(sorted(groups["train"]))
    if not class_names:
        raise InputError(
            f"data.path: {where} has no images; expected train/<class>/<image>, and val/ or test/ likewise"
        )
    numbers = {name: number for number, name in enumerate(class_names)}
    for split, classes in groups.items():
        for name in sorted(classes):
            if not name.isprintable():
                raise InputError(f"data.path: {where}: the class name {name!r} cannot be printed; rename the folder")
            if name not in numbers:
                hint = did_you_mean(name, class_names) or f"; accepted: {', '.join(class_names[:20])}"
                raise InputError(f"data.path: {where}: class {name!r} of {split} is not in train{hint}")
    return Layout(class_names, prefix, {s: _listed(classes, numbers) for s, classes in groups.items() if classes})


def _listed(classes: dict[str, list[Member]], numbers: dict[str, int]) -> Listed:
    members: list[Member] = []
    labels: list[int] = []
    for name in sorted(classes):
        members += sorted(classes[name])
        labels += [numbers[name]] * len(classes[name])
    return Listed(tuple(members), np.array(labels, dtype=np.int64))


def _common_prefix(members: list[Member]) -> str:
    """``name/`` if all files lie in one folder that is not itself a split, as archives are often made; else empty."""
    tops = {member.name.split("/", 1)[0] for member in members}
    top = next(iter(tops), "")
    return f"{top}/" if len(tops) == 1 and top not in SPLITS else ""
