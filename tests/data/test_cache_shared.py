"""Several processes at one cold cache: each has the data, they are made once, and one that is killed hurts none."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import pytest

from tests.data.test_cache_faults import MADE, left
from tests.soak.scale import tries
from tests.waiting import HANGS_S

FORK = multiprocessing.get_context("fork")
PROCESSES = 3


def put_in_place(monkeypatch: pytest.MonkeyPatch, cache: Path, deadly: int = 0) -> Synchronized[int]:
    """How many files this process and its children put into the cache; who is about to put the `deadly`-th dies."""
    count = FORK.Value("i", 0)
    replace = Path.replace

    def counted(path: Path, target: Path | str) -> Path:
        if str(target).startswith(str(cache)):
            with count.get_lock():
                count.value += 1
                own = count.value
            if own == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", counted)
    return count


def together(content: Callable[[], object]) -> list[object]:
    """What each of the processes has of the data, begun at once; None of one that died."""
    gate, results = FORK.Barrier(PROCESSES), FORK.SimpleQueue()

    def run(number: int) -> None:
        gate.wait(HANGS_S)
        results.put((number, content()))

    processes = [FORK.Process(target=run, args=(number,)) for number in range(PROCESSES)]
    for process in processes:
        process.start()
    found: list[object] = [None] * PROCESSES
    for process in processes:  # what they send is short enough for the pipe to hold
        process.join(HANGS_S)
        assert process.exitcode is not None, "a process waits for ever"
    while not results.empty():
        number, one = results.get()
        found[number] = one
    return found


def made_alone(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Callable[[], object], object, int]:
    """What reads the data, in short; what one process has of them; and how many files it puts in place."""
    whole = MADE[kind](folder / "source")
    monkeypatch.setenv("MINFORM_CACHE", str(folder / "alone"))
    with pytest.MonkeyPatch.context() as patch:
        count = put_in_place(patch, folder / "alone")
        right = hash(str(whole()))
    return lambda: hash(str(whole())), right, count.value


@pytest.mark.parametrize("kind", MADE)
def test_processes_that_ask_at_once_have_the_same_data_and_make_them_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    content, right, alone = made_alone(kind, tmp_path, monkeypatch)
    for turn in range(tries(2)):
        cache = tmp_path / f"cache{turn}"
        monkeypatch.setenv("MINFORM_CACHE", str(cache))
        with pytest.MonkeyPatch.context() as patch:
            made = put_in_place(patch, cache)
            assert together(content) == [right] * PROCESSES
        assert made.value == alone > 0
        assert left(cache) == []


@pytest.mark.parametrize("kind", MADE)
def test_one_that_is_killed_while_others_wait_leaves_them_the_data_and_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    content, right, alone = made_alone(kind, tmp_path, monkeypatch)
    for deadly in range(1, alone + 1):
        cache = tmp_path / f"cache{deadly}"
        monkeypatch.setenv("MINFORM_CACHE", str(cache))
        with pytest.MonkeyPatch.context() as patch:
            put_in_place(patch, cache, deadly)
            found = together(content)
        assert sorted(map(str, found)) == sorted(map(str, [None, *[right] * (PROCESSES - 1)])), deadly
        assert content() == right
        assert left(cache) == [], deadly
