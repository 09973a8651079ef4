"""The queue alone, in a store without a server: claims, signs of life, takeover, failure, and who reports."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from torch.distributed import HashStore

from minform_cli.errors import NumericalError
from minform_cli.study import queue as study_queue
from minform_cli.study.queue import Queue
from minform_cli.training.launch import Launch
from tests.study.conftest import QUICK


def joined(store: HashStore, rank: int = 0, num_runs: int = 3, world_size: int = 4) -> Queue:
    return Queue(store, Launch(rank, world_size, rank, "nowhere", 1), num_runs, QUICK)


def taken(queue: Queue) -> int | None:
    claim = queue.take()
    return None if claim is None else claim.number


def taken_at_last(queue: Queue) -> study_queue.Claim:
    """The next claim, which somebody's death must free."""
    deadline = time.monotonic() + 20
    while (claim := queue.take()) is None:
        assert time.monotonic() < deadline, "nobody was taken for dead"
        time.sleep(QUICK.poll_s)
    return claim


def silenced(queue: Queue) -> Queue:
    """Joined, and then as good as killed: no sign of life any more, and nothing given back."""
    queue.__enter__()
    queue._ended.set()
    queue._beating.join()
    return queue


def test_a_run_is_claimed_by_exactly_one_of_many() -> None:
    store = HashStore()
    queues = [joined(store, rank, num_runs=40, world_size=8) for rank in range(8)]

    def drain(queue: Queue) -> list[int]:
        found: list[int] = []
        while (number := taken(queue)) is not None:
            found.append(number)
        return found

    for queue in queues:
        queue.__enter__()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(drain, queues))
    for queue in queues:
        queue.__exit__()
    assert sorted(number for numbers in found for number in numbers) == list(range(40))


def test_what_the_living_hold_is_left_to_them_and_what_they_leave_is_free() -> None:
    store = HashStore()
    with joined(store, 0) as one:
        with joined(store, 1) as other:
            assert [taken(one), taken(other), taken(other)] == [0, 1, 2]
            deadline = time.monotonic() + 2 * QUICK.dead_after_s
            while time.monotonic() < deadline:
                assert one.take() is None
                time.sleep(QUICK.poll_s)
        claim = one.take()
        assert claim is not None and (claim.number, claim.deaths, claim.taken_from) == (1, 0, None)


def test_a_silent_process_is_dead_after_a_while_by_the_watchers_own_clock() -> None:
    store = HashStore()
    dead = silenced(joined(store, 1, num_runs=1))
    assert taken(dead) == 0
    with joined(store, 0, num_runs=1) as watcher:
        started = time.monotonic()
        claim = taken_at_last(watcher)
        assert time.monotonic() - started >= QUICK.dead_after_s
        assert (claim.number, claim.deaths, claim.taken_from) == (0, 1, dead.member)
        assert watcher.holds(0) and not dead.holds(0)
        dead.finish(0)  # it was only slow: what it finished counts
        assert not watcher.holds(0) and watcher.board.entries[0].done and watcher.take() is None


def test_a_watcher_that_slept_itself_buries_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    store = HashStore()
    asleep = silenced(joined(store, 1, num_runs=1))
    assert taken(asleep) == 0
    with joined(store, 0, num_runs=1) as watcher:
        assert watcher.take() is None
        now = time.monotonic()
        monkeypatch.setattr(study_queue.time, "monotonic", lambda: now + 1000)
        assert watcher.take() is None


def test_a_restarted_rank_frees_the_run_of_its_earlier_process_at_once() -> None:
    store = HashStore()
    killed = silenced(joined(store, 1, num_runs=1))
    assert taken(killed) == 0
    with joined(store, 1, num_runs=1) as restarted:
        claim = restarted.take()
        assert claim is not None and (claim.number, claim.deaths) == (0, 1)


def test_a_failure_stops_all_who_were_there_and_the_slow_to_start_but_nobody_restarted() -> None:
    store = HashStore()
    with joined(store, 0) as failing, joined(store, 1) as other:
        failing.fail("minimal, seed 0", 3)
        assert failing.trouble() is None
        other.refresh()
        trouble = other.trouble()
        assert isinstance(trouble, NumericalError)
        assert str(trouble) == "stopped and saved, as minimal, seed 0 failed: rank 0 says why"
        other.fail("no-mlp, seed 0", 2)  # too late: the first is told already
        assert isinstance(other.trouble(), NumericalError)
        with joined(store, 2) as late:
            assert isinstance(late.trouble(), NumericalError)
    with joined(store, 0) as again:
        assert again.trouble() is None


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_the_lowest_rank_alive_reports(dead: int) -> None:
    store = HashStore()
    for rank in range(dead):
        silenced(joined(store, rank, num_runs=0))
    living = [joined(store, rank, num_runs=0).__enter__() for rank in range(dead, 4)]
    answers: dict[int, bool] = {}
    deadline = time.monotonic() + 20
    while len(answers) < len(living):
        assert time.monotonic() < deadline
        for queue in reversed(living):  # the highest asks first
            if (answer := queue.reports()) is not None:
                answers[queue.member.rank] = answer
        time.sleep(QUICK.poll_s)
    for queue in living:
        queue.__exit__()
    assert answers == {rank: rank == dead for rank in range(dead, 4)}
