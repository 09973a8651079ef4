"""How a folder of images by class is laid out: ``train/<class>/*``, and ``val``, ``test`` likewise, or ``<class>/*``.

The splits go by any of their usual names (`split_names`). Whatever holds images and is not used is told, and what can
only be a mistake is refused: a class without an image, one class alone, two folders for one split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from minform_cli.data.images.members import Listing, Member
from minform_cli.data.images.pixels import Labels
from minform_cli.data.split_names import alluded_splits, named_splits, split_of
from minform_cli.data.walk import MOST_NAMES, some_names
from minform_cli.errors import InputError, counted, did_you_mean

EXPECTED = "expected train/<class>/<image>, and val/ or test/ likewise, or <class>/<image>"


@dataclass(frozen=True)
class LabelledMembers:
    """One split of the layout: its files, sorted by class and then by name, and their class numbers."""

    members: tuple[Member, ...]
    labels: Labels


@dataclass(frozen=True)
class Layout:
    """What the class folders of the splits hold.

    Attributes:
        class_names: the sorted names of the folders in the training split.
        splits: those that exist: ``train``, ``val``, ``test``.
        notes: what was found and is not used, and what may be meant otherwise; a sentence each.
    """

    class_names: tuple[str, ...]
    splits: dict[str, LabelledMembers]
    notes: tuple[str, ...] = ()


@dataclass
class _Found:
    """What lies in the class folders of one split.

    Attributes:
        name: of the split, as in the files' names: with the slash behind it, empty for a folder of classes alone.
        classes: class -> its images.
        empty: class folders without an image.
        loose: images beside the class folders.
        others: (folder, suffix) -> how many other files are in the class folders.
    """

    name: str
    classes: dict[str, list[Member]] = field(default_factory=dict[str, list[Member]])
    empty: set[str] = field(default_factory=set[str])
    loose: int = 0
    others: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])


def layout_of(where: str, listing: Listing) -> Layout:
    """How the files of `listing` form splits and classes.

    Args:
        where: opens every message: the setting and what it names.
        listing: of the folder or archive.

    Raises:
        InputError: there is no training split, a class without an image or no other class beside it, two folders for
            one split, or a class of another split that is not in train.
    """
    prefix = _common_prefix(listing.images)
    tops = Counter(top for member in listing.images if (top := _top(member.name, prefix)) is not None)
    folders = named_splits(tops, where)
    is_flat = not folders
    if is_flat:
        _check_flat(where, prefix, tops, listing)
        folders = {"train": ""}
    elif "train" not in folders:
        raise InputError(f"{where} has {some_names(folders.values())} and no folder train; {EXPECTED}")
    found = {split: _found(listing, f"{prefix}{name}/" if name else prefix) for split, name in folders.items()}
    train = found["train"]
    _check_classes(where, train, listing)
    val = found.get("val")
    if val is not None and not val.classes:  # images of a test set often have no class; those to validate on need one
        raise InputError(
            f"{where}: {counted(val.loose, 'image')} in {val.name[:-1]!r} and no folder of a class; {EXPECTED}; sort "
            "images as those of train are, or rename the folder"
        )
    class_names = tuple(sorted(train.classes))
    numbers = {name: number for number, name in enumerate(class_names)}
    for split, part in found.items():
        for name in sorted(part.classes):
            if not name.isprintable():
                raise InputError(f"{where}: the class name {name!r} cannot be printed; rename the folder")
            if name not in numbers:
                hint = did_you_mean(name, class_names) or f"; accepted: {', '.join(class_names[:20])}"
                raise InputError(f"{where}: class {name!r} of {split} is not in train{hint}")
    beside = [] if is_flat else _beside_notes(prefix, tops, folders, listing)
    notes = [_flat_note(class_names)] if is_flat else [*beside, *_missing_notes(found)]
    return Layout(
        class_names,
        {split: _listed(part.classes, numbers) for split, part in found.items() if part.classes},
        (*notes, *_left_out_notes(found)),
    )


def _common_prefix(images: Sequence[Member]) -> str:
    """The folders, with a slash behind them, that all images in folders lie in and that are no split; mostly empty."""
    prefix = ""
    while True:
        tops = {top for member in images if (top := _top(member.name, prefix)) is not None}
        top = next(iter(tops), "")
        if len(tops) != 1 or split_of(top) is not None:
            return prefix
        prefix += f"{top}/"


def _top(name: str, prefix: str) -> str | None:
    """The folder below `prefix` that `name` lies in; None if there is none."""
    top, slash, _ = name.removeprefix(prefix).partition("/")
    return top if slash and name.startswith(prefix) else None


def _found(listing: Listing, name: str) -> _Found:
    """What is in the folder `name`, which ends with a slash or is empty."""
    found = _Found(name)
    for member in listing.images:
        if (group := _top(member.name, name)) is not None:
            found.classes.setdefault(group, []).append(member)
        elif member.name.startswith(name):
            found.loose += 1
    for (folder, suffix), count in listing.others.items():
        if (group := _top(f"{folder}/", name)) is not None:
            found.others[folder, suffix] = count
            found.empty.add(group)
    found.empty.update(group for folder in listing.folders if (group := _top(f"{folder}/", name)))
    found.empty.difference_update(found.classes)
    return found


def _check_flat(where: str, prefix: str, tops: Iterable[str], listing: Listing) -> None:
    """Raises `InputError` if folders that are no splits cannot be taken for classes either."""
    if not listing.images:
        left_out = f"; {text}" if (text := _left_out(listing.others)) else ""
        raise InputError(f"{where} has no images{left_out}; {EXPECTED}")
    for top in sorted(tops):
        if any(split_of(inner) == "train" for inner in _folders_in(listing, f"{prefix}{top}/")):
            raise InputError(f"{where} has its folder train inside {prefix + top!r}; give that folder")
    alluded = {top: alluded_splits(top) for top in sorted(tops)}
    if len(set().union(*alluded.values())) > 1:
        meant = [top for top, splits in alluded.items() if splits]
        raise InputError(
            f"{where}: {some_names(meant)} look like splits; accepted: folders train, val and test: rename them"
        )


def _check_classes(where: str, train: _Found, listing: Listing) -> None:
    """Raises `InputError` unless there are two classes or more, each with an image."""
    inside = f"in {train.name[:-1]!r}" if train.name else "there"
    if not train.classes:
        raise InputError(f"{where}: {counted(train.loose, 'image')} {inside} and no folder of a class; {EXPECTED}")
    if train.empty:
        first = min(train.empty)
        folder = train.name + first
        others = {key: n for key, n in train.others.items() if _top(f"{key[0]}/", train.name) == first}
        holds = f"it holds {_counted(others)}, which cannot be read" if others else "it is empty"
        more = f"; no image is in {some_names(sorted(train.empty - {first}))} either" if len(train.empty) > 1 else ""
        raise InputError(
            f"{where}: the class {first!r} has no image: {holds}{more}; add images to {folder!r}, or remove the folder"
        )
    if len(train.classes) == 1:
        (name,) = train.classes
        deeper = sorted(_folders_in(listing, f"{train.name}{name}/"))
        remedy = (
            f"{some_names(deeper)} in it look like the classes: move them up to {train.name or './'}"
            if len(deeper) > 1
            else "there must be two or more"
        )
        raise InputError(f"{where}: {name!r} is the only class {inside}, so there is nothing to tell apart; {remedy}")


def _folders_in(listing: Listing, name: str) -> set[str]:
    """Folders directly in `name`, which ends with a slash, that hold images."""
    return {top for member in listing.images if (top := _top(member.name, name)) is not None}


def _listed(classes: dict[str, list[Member]], numbers: dict[str, int]) -> LabelledMembers:
    members: list[Member] = []
    labels: list[int] = []
    for name in sorted(classes):
        members += sorted(classes[name])
        labels += [numbers[name]] * len(classes[name])
    return LabelledMembers(tuple(members), np.array(labels, dtype=np.int64))


def _flat_note(class_names: Sequence[str]) -> str:
    return (
        f"there is no folder train: the {len(class_names):,} folders {some_names(class_names)} are taken for "
        "the classes, and part of the images is held out for validation"
    )


def _beside_notes(prefix: str, tops: Counter[str], folders: Mapping[str, str], listing: Listing) -> list[str]:
    """Folders beside those of the splits: with images, or by the name of a split and without any."""
    used = set(folders.values())
    notes: list[str] = []
    if beside := sorted(set(tops) - used):
        images = _images(sum(tops[name] for name in beside))
        notes.append(f"left alone beside {some_names(folders.values())}: {some_names(beside)} with {images}")
    inside = {*listing.folders, *(folder for folder, _ in listing.others)}
    without = {top for folder in inside if (top := _top(f"{folder}/", prefix)) is not None} - set(tops)
    for name in sorted(name for name in without if split_of(name) is not None):
        others = {key: n for key, n in listing.others.items() if _top(f"{key[0]}/", prefix) == name}
        notes.append(f"{name!r} has no image{f', but {_counted(others)}' if others else ''}, and is not used")
    return notes


def _missing_notes(found: Mapping[str, _Found]) -> list[str]:
    train = found["train"].classes
    missing = {split: sorted(set(train) - set(part.classes)) for split, part in found.items() if part.classes}
    return [
        f"{split} has no image of {len(names):,} of the {len(train):,} classes: {some_names(names)}"
        for split, names in missing.items()
        if names
    ]


def _left_out_notes(found: Mapping[str, _Found]) -> list[str]:
    loose = [
        f"{_images(part.loose)} in {part.name[:-1]!r} beside the folders of the classes: left out"
        for part in found.values()
        if part.loose and part.name
    ]
    others: Counter[tuple[str, str]] = Counter()
    for part in found.values():
        others.update(part.others)
    return [*loose, *([text] if (text := _left_out(others)) else [])]


def _left_out(others: Mapping[tuple[str, str], int]) -> str:
    """Which files are left out by their suffix, and where the first of them are; empty if there are none."""
    if not others:
        return ""
    folders = sorted({folder for folder, _ in others})
    return f"left out, as they are no images by their suffix: {_counted(others)} in {some_names(folders, 3)}"


def _counted(others: Mapping[tuple[str, str], int]) -> str:
    """For example ``3 .heic, 20 .txt``."""
    counts: Counter[str] = Counter()
    for (_, suffix), count in others.items():
        counts[suffix] += count
    shown = [f"{count:,} {repr(suffix)[1:-1] or 'without a suffix'}" for suffix, count in sorted(counts.items())]
    more = f" and {len(shown) - MOST_NAMES} other kinds" if len(shown) > MOST_NAMES else ""
    return ", ".join(shown[:MOST_NAMES]) + more


def _images(count: int) -> str:
    return counted(count, "image")
