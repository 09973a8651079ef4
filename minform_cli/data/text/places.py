"""Where the texts of the splits lie: named by settings, or a folder's own ``train``, ``valid`` and ``test``."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from minform_cli.config.schema import DataConfig
from minform_cli.data.split_names import named_splits, split_of
from minform_cli.data.text.corpus import SUFFIXES, Corpus, is_text, open_corpus
from minform_cli.data.walk import is_left_alone, some_names
from minform_cli.errors import InputError
from minform_cli.files import user_path


class Texts(NamedTuple):
    """The texts of a data section.

    Attributes:
        train: the one trained on.
        val, test: the others, where there are any; no `val` where validation is on the test text.
        notes: what the user should know of where they are, a sentence each.
    """

    train: Corpus
    val: Corpus | None
    test: Corpus | None
    notes: tuple[str, ...]


def open_texts(data: DataConfig) -> Texts:
    """Looks through the texts of all splits.

    A folder that holds a text or folder for training and another one for validation or testing, by any of their usual
    names, is not one text: each is taken for its split.

    Raises:
        InputError: a file is missing or no text; or two texts are named for one split, or one for two.
    """
    given = {"train": data.path, "val": data.val_path, "test": data.test_path}
    keys = {"train": "data.path", "val": "data.val_path", "test": "data.test_path"}
    inside, notes = _splits_of(data.path)
    for split, path in inside.items():
        other = given[split]
        if split != "train" and other is not None and not _is_same(Path(other), path):
            raise InputError(f"{keys[split]}: {other!r} beside {str(path)!r} of data.path; keep one of them")
    places = given | {split: str(path) for split, path in inside.items()}
    train = open_corpus("data.path", places["train"], "the text to train on")
    if data.validation == "test":
        test = open_corpus("data.test_path", places["test"], "the text that data.validation 'test' validates on")
        opened = {"test": test}
    else:
        named = [("val", "the text to validate on"), ("test", "the text to test on")]
        opened = {
            split: open_corpus(keys[split], places[split], purpose)
            for split, purpose in named
            if places[split] is not None
        }
    for split, corpus in opened.items():
        if twice := set(train.paths) & set(corpus.paths):
            raise InputError(
                f"{keys[split]}: {min(twice)!r} is also a text of data.path, and would be trained on; "
                f"accepted: texts apart from those of {train.where}"
            )
    return Texts(train, opened.get("val"), opened.get("test"), notes)


def _splits_of(path: str | None) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Split -> its text or folder inside the folder `path`, and what to say of it; nothing where it is one text."""
    try:
        folder = user_path(path or "")
        entries = [entry for entry in folder.iterdir() if not is_left_alone(entry.name)] if path else []
        names = sorted(entry.name for entry in entries if entry.is_dir() or is_text(entry.name))
    except (OSError, RuntimeError, ValueError):  # no folder; what is wrong with it is told when it is opened
        return {}, ()
    if not {split_of(name, SUFFIXES) for name in names} - {None} > {"train"}:
        return {}, ()
    found = named_splits(names, f"data.path: {path!r}", SUFFIXES)
    beside = [name for name in names if name not in found.values()]
    note = f"{some_names(found.values())} of data.path are its texts for {', '.join(found)}"
    told = f"{note}; {some_names(beside)} beside them: left alone" if beside else note
    return {split: folder / name for split, name in found.items()}, (told,)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.expanduser().samefile(other)
    except (OSError, RuntimeError):
        return False
