"""From a folder of GLUE's files to the sentences a run trains and measures on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minform_cli.config.schema import DataConfig
from minform_cli.data.cache import find
from minform_cli.data.glue.sentences import SentenceData, SentenceSplit, encoded, fingerprint
from minform_cli.data.glue.table import Table, read_table
from minform_cli.data.glue.tasks import GlueTask, glue_task
from minform_cli.data.spec import TextSpec, split_sizes
from minform_cli.data.split import LIMIT_SEED, limited, stratified
from minform_cli.data.split_names import named_splits, split_of
from minform_cli.data.text.vocabulary import vocabulary_for
from minform_cli.data.walk import is_left_alone
from minform_cli.errors import InputError, counted, unread
from minform_cli.files import user_path

if TYPE_CHECKING:
    from minform_cli.data.text.tokenizer import Vocabulary

TRAIN_FILE = "train.tsv"


def load_sentences(data: DataConfig, spec: TextSpec, tell: Callable[[str], None]) -> SentenceData:
    """The sentences that `data` asks for, as tokens.

    Args:
        data: the data section.
        spec: what was known of it before a file was opened.
        tell: takes a sentence for the user before what may take long.

    Raises:
        InputError: a file is missing or damaged, a tokenizer does not fit, or the limit is out of range.
    """
    task = glue_task(data.subset)
    folder, names = _folder(data, task)
    tell(f"reading {spec.title}")
    train, val = (read_table(folder / name, task) for name in names)
    _check_classes(train, str(folder / names[0]), task)
    sizes = split_sizes(
        data, len(train), holdout=0, num_test=0, num_classes=len(task.class_names), published_val=len(val)
    )
    vocabulary = _vocabulary(data, train, tell)
    pad = vocabulary.special.pad
    assert pad is not None, "the tokenizer was asked for it"
    notes = [*_size_notes(train, val, task, names), *_missing_notes(val, task, names[1])]
    if data.limit is not None:
        train = train.take(_chosen(train, data.limit, task))
    tell(f"cutting {counted(len(train) + len(val), 'example')} of {spec.title} into tokens")
    splits = {name: encoded(table, vocabulary, data.seq_len) for name, table in (("train", train), ("val", val))}
    return SentenceData(
        spec=replace(spec, **sizes),
        train=splits["train"],
        val=splits["val"],
        test=None,
        pad=pad,
        fingerprint=fingerprint(splits, vocabulary.json),
        tokenizer=vocabulary.json,
        notes=(*notes, *_repeats(train, val, names), *_cut_notes(splits, data.seq_len)),
    )


def _folder(data: DataConfig, task: GlueTask) -> tuple[Path, tuple[str, str]]:
    """The folder with the files of `task`: `data.path`, or one where we look for data; and what its files are called.

    The validation file may go by another of its usual names: ``valid.tsv`` for ``dev.tsv``.
    """
    files = f"{TRAIN_FILE} and {task.val_file}"
    title = task.title.removesuffix("-mm")
    if data.path is None:
        name = str(data.subset).removesuffix("-mm")
        folders = (f"glue/{title}", f"glue/{name}", title, name)
        found = find(*(f"{folder}/{TRAIN_FILE}" for folder in folders))
        if found is None:
            raise InputError(
                f"data.path: {title} is not below MINFORM_DATA as {', '.join(folders)}; "
                f"give the folder with GLUE's {files}: --set data.path=..."
            )
        folder = found.parent
    else:
        folder = _looked_at(data.path, files)
    try:
        present = [entry.name for entry in folder.iterdir() if entry.is_file() and not is_left_alone(entry.name)]
    except OSError as error:
        raise unread(error, f"data.path: {str(folder)!r} cannot be read: {error.strerror}") from None
    chosen: list[str] = []
    for split, file in (("train", TRAIN_FILE), ("val", task.val_file)):
        rest = "_" + file.partition("_")[2] if "_" in file else ".tsv"
        alike = [name for name in present if split_of(name, (rest,)) == split]
        name = named_splits(alike, f"data.path: {str(folder)!r}", (rest,)).get(split)
        if name is None:
            raise InputError(f"data.path: there is no {file} in {str(folder)!r}; accepted: a folder with {files}")
        chosen.append(name)
    return folder, (chosen[0], chosen[1])


def _looked_at(path: str, files: str) -> Path:
    try:
        folder = user_path(path)
        is_folder, exists = folder.is_dir(), folder.exists()
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, or that may not be entered, no such user
        raise InputError(f"data.path: {path!r} cannot be looked at: {getattr(error, 'strerror', error)}") from None
    if not is_folder:
        problem = "is no folder" if exists else "does not exist"
        raise InputError(f"data.path: {path!r} {problem}; accepted: a folder with GLUE's {files}")
    return folder


def _vocabulary(data: DataConfig, train: Table, tell: Callable[[str], None]) -> Vocabulary:
    """That of the file named; or trained on all training sentences, whatever `data.limit` is."""

    def documents() -> list[str]:
        found = [text for column in train.texts for text in column]
        tell(f"training the tokenizer on {counted(len(found), 'sentence')}")
        return found

    return vocabulary_for(data, (train,), documents, needs=("pad", "cls", "sep"))


def _chosen(train: Table, limit: int, task: GlueTask) -> NDArray[np.intp]:
    """Places of the examples that are kept, ascending; scores, which have no classes, are chosen by chance alone."""
    if not task.is_regression:
        return stratified(train.labels, limit, LIMIT_SEED)
    return limited(np.arange(len(train)), limit)


def _check_classes(train: Table, where: str, task: GlueTask) -> None:
    """Raises `InputError` if all training examples are of one class, which any model tells at once."""
    if not task.is_regression and len(found := np.unique(train.labels)) == 1:
        label, names = task.texts[int(found[0])], ", ".join(task.texts)
        raise InputError(
            f"{where!r}: {task.label} is {label!r} in every line, so there is nothing to tell apart; accepted: {names}"
        )


def _missing_notes(val: Table, task: GlueTask, name: str) -> list[str]:
    missing = sorted(set(range(len(task.class_names))) - set(val.labels.tolist())) if not task.is_regression else []
    classes = ", ".join(task.class_names[label] for label in missing)
    return [f"{name} has no example of class {classes}"] if missing else []


def _repeats(train: Table, val: Table, names: tuple[str, str]) -> list[str]:
    """What is measured on and trained on, too."""
    measured = list(zip(*val.texts, strict=True))
    known = set(measured).intersection(zip(*train.texts, strict=True))
    num = sum(texts in known for texts in measured)
    return [f"in {names[0]}, too: {num:,} of the {counted(len(val), 'example')} of {names[1]}"] if num else []


def _size_notes(train: Table, val: Table, task: GlueTask, names: tuple[str, str]) -> list[str]:
    files = ((names[0], train, task.num_train), (names[1], val, task.num_val))
    broken = [
        f"left out of {name}, for want of columns: {counted(table.num_broken, 'line')}, as in the published file"
        for name, table, _ in files
        if table.num_broken
    ]
    return broken + [
        f"{name} of {task.title} has {counted(len(table), 'example')}, as published it has {published:,}"
        for name, table, published in files
        if len(table) != published
    ]


def _cut_notes(splits: dict[str, SentenceSplit], seq_len: int) -> list[str]:
    names = {"train": "training", "val": "validation"}
    return [
        f"cut to {seq_len} tokens: {split.num_cut:,} of {counted(len(split), f'{names[name]} example')}"
        for name, split in splits.items()
        if split.num_cut
    ]
