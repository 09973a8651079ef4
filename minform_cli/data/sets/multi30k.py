"""Multi30k, task 1: descriptions of pictures in English, and their translations into German."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from minform_cli.config.schema import DataConfig
from minform_cli.data.spec import PairSpec
from minform_cli.data.split_names import named_splits
from minform_cli.errors import InputError, unknown_name
from minform_cli.files import user_path

if TYPE_CHECKING:
    from minform_cli.data.pairs.files import Pairs
    from minform_cli.data.pairs.pair_data import PairData

SUMMARY = "29,000 English descriptions of pictures and their German translations; data.subset is en-de or de-en"
SOURCE = "Elliott et al. 2016, Multi30K: Multilingual English-German Image Descriptions, arXiv 1605.00459"
TAKES = ("path", "subset")

SUBSETS = ("en-de", "de-en")
"""From which language to which; the first unless `data.subset` says otherwise."""

FILES = {"train": "train", "val": "val", "test": "test_2016_flickr"}
"""Split -> name of its files, to which the language is added, and .gz where they are packed."""


def spec(data: DataConfig) -> PairSpec:
    """Title and sizes from the settings alone.

    Raises:
        InputError: `data.subset` is unknown.
    """
    subset = _subset(data)
    return PairSpec(
        name="multi30k",
        title=f"Multi30k {subset}",
        source=SOURCE,
        vocab_size=data.vocab_size,
        seq_len=data.seq_len,
    )


def load(data: DataConfig, tell: Callable[[str], None]) -> PairData:
    """The pairs as tokens.

    Raises:
        InputError: a file is missing or damaged, or as `load_pairs` raises it.
        MachineError: as `load_pairs`.
    """
    from minform_cli.data.pairs.pair_data import load_pairs

    folder, described = _folder(data), spec(data)
    tell(f"reading {described.title}")
    train, val, test = (_opened(folder, split, _subset(data)) for split in ("train", "val", "test"))
    return load_pairs(data, described, train, val, test, tell)


def _subset(data: DataConfig) -> str:
    subset = SUBSETS[0] if data.subset is None else data.subset
    if subset not in SUBSETS:
        raise unknown_name("subset", subset, SUBSETS, "data.subset")
    return subset


def _folder(data: DataConfig) -> Path:
    """`data.path`, or where we look for data."""
    from minform_cli.data.cache import find

    wanted = f"{FILES['train']}.en, {FILES['train']}.de and so on, packed as .gz or not"
    if data.path is None:
        found = find(*(f"{folder}{FILES['train']}.en{end}" for folder in ("multi30k/", "") for end in ("", ".gz")))
        if found is None:
            raise InputError(
                f"data.path: Multi30k is not below MINFORM_DATA as multi30k; give the folder with {wanted}: "
                "--set data.path=..."
            )
        return found.parent
    try:
        folder = user_path(data.path)
        is_folder, exists = folder.is_dir(), folder.exists()
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, or that may not be entered, no such user
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"data.path: {data.path!r} cannot be looked at: {reason}") from None
    if not is_folder:
        problem = "is no folder" if exists else "does not exist"
        raise InputError(f"data.path: {data.path!r} {problem}; accepted: a folder with {wanted}")
    return folder


def _opened(folder: Path, split: str, subset: str) -> Pairs:
    from minform_cli.data.pairs.files import open_pairs

    paths = [str(folder / _file(folder, split, language)) for language in subset.split("-")]
    return open_pairs("data.path", paths[0], "data.path", paths[1])


def _file(folder: Path, split: str, language: str) -> str:
    """The file with its published name, packed or not; of training and validation, another usual name will do."""
    ends = (f".{language}", f".{language}.gz")
    present = {entry.name for entry in folder.iterdir()}
    stems = {name[: -len(end)]: name for end in reversed(ends) for name in present if name.endswith(end)}
    stem = FILES[split]
    if stem == split:
        stem = named_splits(stems, f"data.path: {str(folder)!r}").get(split, stem)
    if stem not in stems:
        names = [stem + end for end in ends]
        raise InputError(f"data.path: there is no {' and no '.join(names)} in {str(folder)!r}")
    return stems[stem]
