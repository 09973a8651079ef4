"""The journal of a search: whatever call fails, and wherever a process ends, the search goes on as it would have."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from minform_cli.errors import MachineError
from minform_cli.searching.asking import JOURNAL, Asked, Trials
from minform_cli.searching.options import SearchOptions
from minform_cli.searching.run import Search, _begin, plan_search
from minform_cli.searching.space import Space
from tests.searching.test_search import options
from tests.soak.scale import reached, tries
from tests.training.faults import WAYS, Died, EveryCall, another_process, sampled

pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Space:
    return plan_search(options(tmp_path_factory.mktemp("planned") / "search")).space


def three(out: Path, space: Space) -> list[Asked]:
    """The trials of a search of three; what is under way goes on first, as a search does it."""
    trials = Trials(out, space, 0)
    for asked in trials.under_way():
        trials.tell(asked.number, asked.number / 10, 1000 + asked.number)
    while (asked := trials.ask(3)) is not None:
        trials.tell(asked.number, asked.number / 10, 1000 + asked.number)
    return trials.all()


@pytest.mark.parametrize(("how", "lasting"), WAYS)
def test_whatever_call_fails_the_same_trials_are_asked_for_in_the_end(
    tmp_path: Path, space: Space, how: int | str, lasting: bool
) -> None:
    (tmp_path / "right").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        disk = EveryCall(tmp_path / "right", patch)
        right = three(tmp_path / "right", space)
    assert [asked.number for asked in right] == [0, 1, 2]
    points = sampled(range(1, disk.calls + 1), tries(7))
    for call in points:
        out = tmp_path / str(call)
        out.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            another_process(patch)
            disk = EveryCall(out, patch, call, how, lasting)
            try:
                assert three(out, space) == right
            except MachineError as error:
                assert str(error).isprintable() and error.exit_code == 4, disk.names
            except Died:
                assert how == "die"
        assert three(out, space) == right, disk.names
        assert {path.name for path in out.iterdir()} <= {JOURNAL, f".{JOURNAL}.lock"}, disk.names
        shutil.rmtree(out)
    assert disk.calls > 40
    reached("R2", len(points))


def torn(out: Path, space: Space, lines: int) -> Asked:
    """A trial whose process ended before so many lines of its journal were written; what it would have been."""
    asked = Trials(out, space, 0).ask(5)
    assert asked is not None
    whole = (out / JOURNAL).read_bytes().splitlines(keepends=True)
    (out / JOURNAL).write_bytes(b"".join(whole[:-lines]) + whole[-lines][:9])
    return asked


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_a_trial_that_was_half_asked_for_is_none_until_it_gets_the_rest_of_its_point(
    tmp_path: Path, space: Space, lines: int
) -> None:
    asked = torn(tmp_path, space, lines)
    again = Trials(tmp_path, space, 0)
    assert again.all() == again.under_way() == []
    assert again.ask(5) == asked


def test_a_trial_that_was_half_asked_for_is_given_up_where_nothing_goes_with_the_half(
    tmp_path: Path, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = torn(tmp_path, space, 2)
    can_draw = Trials._can_draw
    monkeypatch.setattr(Trials, "_can_draw", lambda self, trials, known: not known and can_draw(self, trials, known))
    again = Trials(tmp_path, space, 0)
    instead = again.ask(5)
    assert instead == Asked(1, asked.point)
    assert again.all() == again.under_way() == [instead]


def test_a_folder_that_a_search_was_begun_in_is_its_own_wherever_it_ended(tmp_path: Path) -> None:
    def planned(out: Path) -> Search:
        asked: SearchOptions = options(out)
        return plan_search(asked)

    with pytest.MonkeyPatch.context() as patch:
        disk = EveryCall(tmp_path, patch)
        _begin(planned(tmp_path / "right"))
    for call in range(1, disk.calls + 1):
        search = planned(tmp_path / str(call))
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Died):
            another_process(patch)
            EveryCall(tmp_path, patch, call, "die")
            _begin(search)
        _begin(planned(tmp_path / str(call)))
        assert {path.name for path in search.out.iterdir()} <= {".lock", "search.json", "trials"}
    reached("R2", disk.calls)
