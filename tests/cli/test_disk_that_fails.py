"""A file of the user's that the disk does not give is the machine's failure: exit code 4, one line that names it."""

from __future__ import annotations

import builtins
import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import Command
from tests.data.pictures import archived, make_folder
from tests.data.text import prose

TRAINED = ["--set", "train.epochs=1", "--set", "model.depth=1", "--device", "cpu", "--threads", "1", "--out"]


def table(place: Path) -> tuple[Path, list[str]]:
    (place / "runs.csv").write_text("variant,seed,accuracy\na,0,0.5\na,1,0.6\nb,0,0.7\nb,1,0.8\n")
    return place / "runs.csv", ["compare", "--table", str(place / "runs.csv")]


def preset(place: Path) -> tuple[Path, list[str]]:
    (place / "own.yaml").write_text("extends: debug\n")
    return place / "own.yaml", ["count", "--preset", str(place / "own.yaml")]


def text(place: Path) -> tuple[Path, list[str]]:
    path = prose.written(place / "a.txt", prose.prose(20))
    named = ["--set", "data.name=text", "--set", f"data.path={path}"]
    return Path(path), ["train", "--preset", "bert-tiny", *named, *TRAINED, str(place / "out")]


def tokenizer(place: Path) -> tuple[Path, list[str]]:
    _, words = text(place)
    (place / "tokenizer.json").write_text("{}")
    return place / "tokenizer.json", [*words, "--set", f"data.tokenizer={place / 'tokenizer.json'}"]


def _images(place: Path, path: Path) -> list[str]:
    named = ["--set", "data.name=image-folder", "--set", f"data.path={path}"]
    return ["train", "--preset", "debug", *named, "--set", "model.patch_size=2", *TRAINED, str(place / "out")]


def _pictures(place: Path) -> Path:
    return make_folder(place / "made", {"train": {"cat": 3, "ant": 4}, "val": {"cat": 1, "ant": 1}}, mode="L")


def image(place: Path) -> tuple[Path, list[str]]:
    made = _pictures(place)
    return sorted(made.rglob("*.*"))[0], _images(place, made)


def archive(place: Path) -> tuple[Path, list[str]]:
    packed = archived(_pictures(place), ".zip")
    return packed, _images(place, packed)


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.EACCES], ids=errno.errorcode.get)
@pytest.mark.parametrize("reader", [table, preset, text, tokenizer, image, archive])
def test_what_the_disk_does_not_give_is_the_machines_failure(
    tmp_path: Path, minform: Command, monkeypatch: pytest.MonkeyPatch, reader: Any, number: int
) -> None:
    monkeypatch.setenv("MINFORM_CACHE", str(tmp_path / "cache"))
    path, words = reader(tmp_path)
    whole = io.open

    def failing(file: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(file, (str, Path)) and Path(file).resolve() == path.resolve():
            raise OSError(number, os.strerror(number), str(file))
        return whole(file, *arguments, **options)

    for module in (io, builtins):
        monkeypatch.setattr(module, "open", failing)
    outcome = minform(*words)
    monkeypatch.undo()
    assert outcome.code == (2 if number == errno.EACCES else 4), outcome
    last = outcome.err.splitlines()[-1]
    assert last.startswith("minform: ") and path.name in last and os.strerror(number) in last, outcome.err
    assert "Traceback" not in outcome.err and not (tmp_path / "out").exists()
