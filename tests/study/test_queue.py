"""The queue alone, in a store without a server: claims, signs of life, takeover, failure, and who reports."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from torch.distributed import HashStore

from minform_cli.errors import NumericalError
from minform_cli.study import queue as study_queue
from minform_cli.study.queue import Queue
from minform_cli.training.launch import Launch
from tests.study.conftest import QUICK
from tests.waiting import until


def joined(store: HashStore, rank: int = 0, num_runs: int = 3, world_size: int = 4) -> Queue:
    return Queue(store, Launch(rank, world_size, rank, "nowhere", 1), num_runs, QUICK)


def taken(queue: Queue) -> int | None:
    claim = queue.take()
    return None if claim is None else claim.number


class Clock:
    """The clock of every watcher: it goes on only here, and only once those who live have given a sign of life."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def go_on(self, *living: Queue) -> None:
        """Until the next look of a watcher."""
        for queue in living:
            before = beats(queue)
            until(lambda queue=queue, before=before: beats(queue) > before, "a sign of life", pause_s=0.001)
        self.now += QUICK.poll_s


def beats(queue: Queue) -> int:
    return queue._store.add(study_queue._beat_of(queue.member.rank), 0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(study_queue, "time", made)
    return made


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


def test_what_the_living_hold_is_left_to_them_and_what_they_leave_is_free(clock: Clock) -> None:
    store = HashStore()
    with joined(store, 0) as one:
        with joined(store, 1) as other:
            assert [taken(one), taken(other), taken(other)] == [0, 1, 2]
            ended = clock.now + 2 * QUICK.dead_after_s
            while clock.now < ended:
                assert one.take() is None
                clock.go_on(other)
        claim = one.take()
        assert claim is not None and (claim.number, claim.deaths, claim.taken_from) == (1, 0, None)


def test_a_silent_process_is_dead_after_a_while_by_the_watchers_own_clock(clock: Clock) -> None:
    store = HashStore()
    dead = silenced(joined(store, 1, num_runs=1))
    assert taken(dead) == 0
    with joined(store, 0, num_runs=1) as watcher:
        started = clock.now
        while (claim := watcher.take()) is None:
            assert clock.now - started < 2 * QUICK.dead_after_s, "nobody was taken for dead"
            clock.go_on(watcher)
        assert clock.now - started > QUICK.dead_after_s
        assert (claim.number, claim.deaths, claim.taken_from) == (0, 1, dead.member)
        assert watcher.holds(0) and not dead.holds(0)
        dead.finish(0)  # it was only slow: what it finished counts
        assert not watcher.holds(0) and watcher.board.entries[0].done and watcher.take() is None


def test_a_watcher_that_slept_itself_buries_nobody(clock: Clock) -> None:
    store = HashStore()
    asleep = silenced(joined(store, 1, num_runs=1))
    assert taken(asleep) == 0
    with joined(store, 0, num_runs=1) as watcher:
        assert watcher.take() is None
        clock.now += 1000
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
def test_the_lowest_rank_alive_reports(dead: int, clock: Clock) -> None:
    store = HashStore()
    for rank in range(dead):
        silenced(joined(store, rank, num_runs=0))
    living = [joined(store, rank, num_runs=0).__enter__() for rank in range(dead, 4)]
    answers: dict[int, bool] = {}
    started = clock.now
    while len(answers) < len(living):
        assert clock.now - started < 2 * QUICK.dead_after_s, "nobody reports"
        for queue in reversed(living):  # the highest asks first
            if (answer := queue.reports()) is not None:
                answers[queue.member.rank] = answer
        clock.go_on(*living)
    for queue in living:
        queue.__exit__()
    assert answers == {rank: rank == dead for rank in range(dead, 4)}
