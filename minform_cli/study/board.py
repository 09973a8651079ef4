"""What the processes of a launch know in common: who does which run, what is done, what failed, who reports.

It is one value in the launch's store, changed by compare-and-set alone: every process reads it, decides, and writes
only if nobody wrote meanwhile. So no two processes can believe different things about who won a run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from torch.distributed import Store  # pyright: ignore[reportPrivateImportUsage]

_KEY = "board"


class Member(BaseModel, frozen=True):
    """One process: its rank, and how many processes have had that rank (a launcher may restart it)."""

    rank: int
    start: int


class Entry(BaseModel):
    """One run: whether it is done, who does it, and of how many processes it was the last thing they did."""

    done: bool = False
    holder: Member | None = None
    deaths: int = 0


class Failure(BaseModel):
    """A run that failed.

    Attributes:
        by: who did it, and says why.
        run: its name, for people.
        exit_code: what every process ends with.
        starts: of each rank the start that must stop; one that is started later begins anew.
    """

    by: Member
    run: str
    exit_code: int
    starts: dict[int, int]


class Board(BaseModel):
    """All of it.

    Attributes:
        entries: one a run.
        starts: how many processes each rank has had.
        left: of each rank the start that left in an orderly way, its run given back.
        failure: the first that was told.
        reporter: who returns the results.
    """

    entries: list[Entry]
    starts: dict[int, int] = {}
    left: dict[int, int] = {}
    failure: Failure | None = None
    reporter: Member | None = None

    def replaced(self, member: Member) -> bool:
        """Whether a later process has the rank, which none gets while the earlier one lives."""
        return self.starts.get(member.rank, 0) > member.start

    def has_left(self, member: Member) -> bool:
        """Whether the member, or a later one of its rank, has left."""
        return self.left.get(member.rank, 0) >= member.start

    def failure_for(self, member: Member) -> Failure | None:
        """The failure for which `member` must stop; one whose rank nobody had yet is in its first start."""
        failure = self.failure
        return failure if failure and member.start <= failure.starts.get(member.rank, 1) else None


class SharedBoard:
    """The board in a store."""

    def __init__(self, store: Store, num_runs: int) -> None:
        self._store = store
        store.compare_set(_KEY, "", Board(entries=[Entry() for _ in range(num_runs)]).model_dump_json())

    def read(self) -> Board:
        """The board as it is now."""
        return Board.model_validate_json(self._store.get(_KEY))

    def change(self, edit: Callable[[Board], bool]) -> Board:
        """Changes the board as if nobody else did meanwhile.

        Args:
            edit: changes the board it is given, and returns whether it did; called again with a newer board each time
                another process was faster.

        Returns:
            The board with the change, or as it was if there was none to make.
        """
        before = self._store.get(_KEY).decode()
        while True:
            board = Board.model_validate_json(before)
            if not edit(board):
                return board
            after = board.model_dump_json()
            found = self._store.compare_set(_KEY, before, after).decode()
            if found == after:
                return board
            before = found
