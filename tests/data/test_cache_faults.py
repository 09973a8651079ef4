"""Whatever call of building a cache entry fails, the data are right, and the next start has them right again.

A data set is loaded with a cache that fails at one call, or from it on, or whose process ends there; and once more
with a cache that is whole.
"""

from __future__ import annotations

import itertools
import signal
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from minform_cli.data.cache import cached_arrays
from minform_cli.data.load import load_data
from minform_cli.data.pairs.pair_data import PairData
from minform_cli.data.text.mapped import Put, mapped
from minform_cli.errors import Interrupted, MachineError
from minform_cli.training.interrupt import StopRequest
from tests.data.pairs.made import settings
from tests.data.pictures import archived, config, make_folder
from tests.data.text import prose
from tests.soak.scale import reached, tries
from tests.training.faults import WAYS, Died, EveryCall, another_process, sampled

Content = list[bytes]


def numbers(*arrays: NDArray[np.generic]) -> Content:
    return [array.tobytes() for array in arrays]


def images(folder: Path) -> Callable[[], Content]:
    made = make_folder(folder / "made", {"train": {"cat": 3, "ant": 4}, "val": {"cat": 1, "ant": 1}}, mode="L")
    packed = config(archived(made, ".tar.gz"))  # its list is kept, whether all are grey, and the pixels

    def content() -> Content:
        data = load_data(packed)
        return [*numbers(data.train.images, data.train.labels, data.val.images), data.fingerprint.encode()]

    return content


def text(folder: Path) -> Callable[[], Content]:
    path = prose.written(folder / "a.txt", prose.prose(20))
    test = prose.written(folder / "t.txt", prose.prose(4, seed=1))

    def content() -> Content:
        data = prose.load(path=path, test_path=test)
        assert data.test is not None and data.tokenizer is not None
        return [*numbers(data.train.tokens, data.val.tokens, data.test.tokens), data.tokenizer]

    return content


def pairs(folder: Path) -> Callable[[], Content]:
    chosen = settings(folder, 30, vocab_size=300)

    def content() -> Content:
        data = load_data(chosen)
        assert isinstance(data, PairData)
        sides = (data.train.source, data.train.target, data.val.source, data.val.target)
        return [part for side in sides for part in numbers(side.tokens, side.offsets)] + [data.tokenizer]

    return content


def arrays(folder: Path) -> Callable[[], Content]:
    made = {"a": np.arange(500), "b": np.ones((4, 3), np.uint8)}

    def content() -> Content:
        found = cached_arrays("slot", "key", lambda: made)
        return numbers(found["a"], found["b"])

    return content


def file(folder: Path) -> Callable[[], Content]:
    def write(put: Put) -> None:
        put(b"first" * 100)
        put(b"second" * 100)

    return lambda: numbers(mapped("slot", "key", 1100, write).content)


MADE = {"arrays": arrays, "file": file, "images": images, "text": text, "pairs": pairs}
ALL = ("arrays", "file")
"""They are cheap: every call of theirs fails in the default suite, too."""


def faults_of(
    kind: str, calls: int, ways: Iterable[tuple[int | str, bool]]
) -> list[tuple[int, tuple[int | str, bool]]]:
    every = itertools.product(range(1, calls + 1), ways)
    return sampled(every, 1000 if kind in ALL else tries(36))


def undisturbed(content: Callable[[], object], cache: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[object, int]:
    """What the data are, made anew in `cache`, and how many calls that takes."""
    monkeypatch.setenv("MINFORM_CACHE", str(cache))
    with pytest.MonkeyPatch.context() as patch:
        disk = EveryCall(cache, patch)
        right = content()
    return right, disk.calls


def left(cache: Path) -> list[str]:
    """Files that no later start would use."""
    return [path.name for path in cache.rglob("*") if path.is_file() and path.suffix not in (".npz", ".bin", ".lock")]


@pytest.mark.parametrize("kind", MADE)
def test_whatever_call_of_a_cache_fails_the_data_are_right_then_and_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    content = MADE[kind](tmp_path / "source")
    right, calls = undisturbed(content, tmp_path / "cache0", monkeypatch)
    assert left(tmp_path / "cache0") == []
    assert calls > 15
    faults = faults_of(kind, calls, WAYS)
    for number, (call, (how, lasting)) in enumerate(faults):
        cache = tmp_path / f"cache{number + 1}"
        monkeypatch.setenv("MINFORM_CACHE", str(cache))
        with pytest.MonkeyPatch.context() as patch:
            another_process(patch)
            broken = EveryCall(cache, patch, call, how, lasting)
            try:
                assert content() == right, (broken.names, how, lasting)
            except Died:
                assert how == "die"
        assert content() == right, (broken.names, how, lasting)
        with pytest.MonkeyPatch.context() as patch:
            again = EveryCall(cache, patch)
            assert content() == right, (broken.names, how, lasting)
        assert not [name for name in again.names if name.startswith("open w")], (broken.names, how, "made once more")
        assert left(cache) == [], (broken.names, how, lasting)
    reached("R2", len(faults))


@pytest.mark.parametrize("kind", ["file", "text", "pairs"])
def test_where_temporary_files_fail_too_it_is_one_line_or_the_right_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    content = MADE[kind](tmp_path / "source")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "disk" / "tmp"))
    (tmp_path / "disk" / "tmp").mkdir(parents=True)
    monkeypatch.setenv("MINFORM_CACHE", str(tmp_path / "disk" / "cache0"))
    with pytest.MonkeyPatch.context() as patch:
        disk = EveryCall(tmp_path / "disk", patch)
        right = content()
    refused = 0
    faults = faults_of(kind, disk.calls, WAYS[1:])
    for number, (call, (how, lasting)) in enumerate(faults):
        cache = tmp_path / "disk" / f"cache{number + 1}"
        monkeypatch.setenv("MINFORM_CACHE", str(cache))
        with pytest.MonkeyPatch.context() as patch:
            broken = EveryCall(tmp_path / "disk", patch, call, how, lasting)
            try:
                assert content() == right, (broken.names, how, lasting)
            except MachineError as error:
                refused += 1
                assert str(error).isprintable() and lasting, (broken.names, how, lasting)
        assert content() == right, (broken.names, how, lasting)
        assert left(tmp_path / "disk") == [], (broken.names, how, lasting)
    assert refused
    reached("R2", len(faults))


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_whatever_call_of_a_cache_leaves_nothing_temporary_and_the_next_start_has_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, number: signal.Signals
) -> None:
    content = MADE[kind](tmp_path / "source")
    right, calls = undisturbed(content, tmp_path / "cache0", monkeypatch)
    points = sampled(range(1, calls + 1), tries(12))
    for call in points:
        cache = tmp_path / f"cache{call}"
        monkeypatch.setenv("MINFORM_CACHE", str(cache))
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted) as caught, StopRequest("again"):
            broken = EveryCall(cache, patch, call, number)
            content()
        assert caught.value.exit_code == 128 + number
        assert left(cache) == [], broken.names
        assert content() == right, broken.names
    reached("R9", len(points))
