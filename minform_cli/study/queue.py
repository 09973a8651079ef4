"""The queue of runs that the processes of a launch share: claims on runs, signs of life, takeover from the dead.

Nothing here waits for a process: there is no process group and no collective. Every process counts up a number in the
store; whoever is without work watches the numbers of those that hold runs, and one that stands still for long enough
on the watcher's own clock is taken for dead. A process that was only slow does no harm: it keeps the lock of its
run's folder, and what it finishes counts.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from minform_cli.errors import InputError, MachineError, MinformError, NumericalError
from minform_cli.study.board import Board, Failure, Member, SharedBoard
from minform_cli.study.plan import Plan
from minform_cli.training.launch import Launch

if TYPE_CHECKING:
    from torch.distributed import Store  # pyright: ignore[reportPrivateImportUsage]

MAX_DEATHS = 3
"""A run that was the last thing of so many processes is given up."""

_CONNECT = timedelta(minutes=5)
"""How long the store may take to appear: machines of one launch do not start at the same moment."""

_KINDS = {error.exit_code: error for error in (InputError, NumericalError, MachineError)}


@dataclass(frozen=True)
class Pace:
    """How fast the processes of a launch notice each other, in seconds.

    Attributes:
        beat_s: between two signs of life.
        dead_after_s: without a sign of life a process is taken for dead; long against the longest single call that
            lets no other thread run.
        poll_s: between two looks of a process without work.
    """

    beat_s: float = 1.0
    dead_after_s: float = 30.0
    poll_s: float = 0.5


@dataclass(frozen=True)
class Claim:
    """A run that is ours: its number, how many processes died of it, and whom it was taken over from."""

    number: int
    deaths: int
    taken_from: Member | None


def is_host(launch: Launch) -> bool:
    """Whether this process is to open the store; with torchrun's own agent serving it, none is."""
    return launch.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != str(True)


def open_store(launch: Launch, plan: Plan) -> Store:
    """The part of the launch's store that belongs to `plan`.

    The store outlives a restart of the processes by torchrun, and so does the board: whoever comes later goes on with
    it. The count of restarts is no key to it, as it differs between machines.

    Raises:
        MachineError: nothing answers there, or the port is taken.
    """
    from torch.distributed import PrefixStore, TCPStore  # pyright: ignore[reportPrivateImportUsage]

    runs = "\n".join(f"{run.folder.relative_to(plan.out)} {run.config.model_dump_json()}" for run in plan.runs)
    digest = hashlib.sha256(runs.encode()).hexdigest()
    # Not torch.distributed.rendezvous: with it, rank 0 would wait for every other process to connect.
    try:
        store = TCPStore(
            launch.address,
            launch.port,
            is_master=is_host(launch),
            timeout=_CONNECT,
            wait_for_workers=False,
            multi_tenant=True,  # a second study in one process finds the store still open
        )
    except RuntimeError as error:
        where = f"{launch.address}:{launch.port} (MASTER_ADDR, MASTER_PORT)"
        reason = str(error).splitlines()[0]
        raise MachineError(f"the launch's store at {where} cannot be opened or reached: {reason}") from error
    return PrefixStore(f"minform/{digest}", store)


class Queue:
    """This process among those that share the runs of a plan; a context, at whose end its run is given back."""

    def __init__(self, store: Store, launch: Launch, num_runs: int, pace: Pace) -> None:
        self._store, self._launch, self._pace = store, launch, pace
        with self._asked():
            self._shared = SharedBoard(store, num_runs)
            self.board = self._shared.read()
        self.member = Member(rank=launch.rank, start=0)
        self._watch = _Watch(store, pace)
        self._busy_until: dict[int, float] = {}
        self._ended = threading.Event()
        self._lost = False
        self._beaten = time.monotonic()
        self._beating = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        rank = self._launch.rank

        def join(board: Board) -> bool:
            self.member = Member(rank=rank, start=board.starts.get(rank, 0) + 1)
            board.starts[rank] = self.member.start
            return True

        self._change(join)
        self._beating.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._beating.join(self._pace.beat_s)  # it may hang in a store whose machine is gone
        with suppress(MachineError):
            if not self._lost:
                self._change(self._left)

    def take(self) -> Claim | None:
        """The next run that nobody living does, now ours; None if there is none at the moment."""
        claims: list[Claim] = []

        def edit(board: Board) -> bool:
            claims.clear()
            for number, entry in enumerate(board.entries):
                if entry.done or self._busy_until.get(number, 0.0) > time.monotonic():
                    continue
                if entry.holder is None or self._watch.is_gone(entry.holder, board):
                    entry.deaths += entry.holder is not None
                    claims.append(Claim(number, entry.deaths, entry.holder))
                    entry.holder = self.member
                    return True
            return False

        self._change(edit)
        return claims[0] if claims else None

    def give_back(self, number: int) -> None:
        """Gives up our claim on a run whose folder is still in use; we look at it again a little later."""
        self._busy_until[number] = time.monotonic() + 2 * self._pace.poll_s

        def edit(board: Board) -> bool:
            mine = board.entries[number].holder == self.member
            board.entries[number].holder = None if mine else board.entries[number].holder
            return mine

        self._change(edit)

    def holds(self, number: int) -> bool:
        """Whether a run is still ours: another process may have taken us for dead."""
        self.refresh()
        return self.board.entries[number].holder == self.member

    def finish(self, *numbers: int) -> None:
        """Tells all that runs have their results, whoever holds them."""

        def edit(board: Board) -> bool:
            news = [number for number in numbers if not board.entries[number].done]
            for number in news:
                board.entries[number].done = True
                board.entries[number].holder = None
            return bool(news)

        self._change(edit)

    def fail(self, run: str, exit_code: int) -> None:
        """Tells all that a run failed and everybody must stop, unless another failure was told before."""

        def edit(board: Board) -> bool:
            if board.failure_for(self.member):
                return False
            board.failure = Failure(by=self.member, run=run, exit_code=exit_code, starts=dict(board.starts))
            return True

        self._change(edit)

    def refresh(self) -> None:
        """Reads the board anew."""
        with self._asked():
            self.board = self._shared.read()

    def trouble(self) -> MinformError | None:
        """Why this process must stop, as far as it was heard beside its own run; None if it need not."""
        if (failure := self.first_failure()) is not None:
            return failure
        if self._lost or time.monotonic() - self._beaten > self._pace.dead_after_s + self._pace.beat_s:
            return self._store_is_gone()
        return None

    def first_failure(self) -> MinformError | None:
        """What this process ends with because another told of a failure first; None if none did."""
        failure = self.board.failure_for(self.member)
        if failure is None or failure.by == self.member:
            return None
        kind = _KINDS.get(failure.exit_code, MinformError)
        return kind(f"stopped and saved, as {failure.run} failed: rank {failure.by.rank} says why")

    def reports(self) -> bool | None:
        """Whether this process is the one to report, which is the lowest rank alive; None if that is not clear yet."""

        def edit(board: Board) -> bool:
            if board.reporter is not None and not board.replaced(board.reporter):
                return False
            # A list: of each of them, so that their silence is counted from the same moment on.
            lower = [self._watch.is_gone(self._now_of(rank, board), board) for rank in range(self.member.rank)]
            if not all(lower):
                return False
            board.reporter = self.member
            return True

        self._change(edit)
        return None if self.board.reporter is None else self.board.reporter == self.member

    def others_are_gone(self) -> bool:
        """Whether every other process has left, died or never came: then the store may be closed."""
        self.refresh()
        others = [self._now_of(rank, self.board) for rank in range(self._launch.world_size)]
        gone = [self._watch.is_gone(other, self.board) for other in others if other != self.member]
        return all(gone)

    def _now_of(self, rank: int, board: Board) -> Member:
        """The process that has a rank; start 0 if there was none yet, which keeps it from being gone by the board."""
        return Member(rank=rank, start=board.starts.get(rank, 0))

    def _left(self, board: Board) -> bool:
        board.left[self.member.rank] = self.member.start
        for entry in board.entries:
            entry.holder = None if entry.holder == self.member else entry.holder
        return True

    def _change(self, edit: Callable[[Board], bool]) -> None:
        with self._asked():
            self.board = self._shared.change(edit)

    @contextmanager
    def _asked(self) -> Generator[None]:
        """Torch raises a `RuntimeError` for everything that can happen to a store."""
        try:
            yield
        except RuntimeError as error:
            raise self._store_is_gone() from error

    def _store_is_gone(self) -> MachineError:
        return MachineError(
            f"the launch's store at {self._launch.address}:{self._launch.port} is gone: rank 0 or torchrun's agent "
            "ended, or the network failed; progress is saved, the same command goes on"
        )

    def _beat(self) -> None:
        try:
            while not self._ended.wait(self._pace.beat_s):
                self._store.add(_beat_of(self.member.rank), 1)
                self.board = self._shared.read()
                self._beaten = time.monotonic()
        except RuntimeError:  # of every failure of the store
            self._lost = True


class _Watch:
    """Who is gone, by this process's own clock."""

    def __init__(self, store: Store, pace: Pace) -> None:
        self._store, self._pace = store, pace
        self._seen: dict[int, tuple[int, float, float]] = {}

    def is_gone(self, member: Member, board: Board) -> bool:
        """Whether `member` has left, was replaced or is silent for too long; the silence is what was looked at.

        A watcher that was itself suspended, with all the others perhaps, counts one look for the whole of that time.
        """
        if board.replaced(member) or (member.start and board.has_left(member)):
            return True
        beats, now = self._store.add(_beat_of(member.rank), 0), time.monotonic()
        before, silent_s, looked = self._seen.get(member.rank, (None, 0.0, now))
        silent_s = silent_s + min(now - looked, 2 * self._pace.poll_s) if beats == before else 0.0
        self._seen[member.rank] = beats, silent_s, now
        return silent_s > self._pace.dead_after_s


def _beat_of(rank: int) -> str:
    return f"beat/{rank}"
