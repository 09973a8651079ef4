"""Successive halving for two goals: which trials go on, by ranks worked out another way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minform_cli.errors import MachineError
from minform_cli.searching.halving import Standing, fronts, goes_on, rungs, scores

STANDINGS = st.lists(
    st.builds(Standing, st.integers(0, 20).map(lambda k: k / 20), st.integers(1, 8)), min_size=1, max_size=12
)


@pytest.mark.parametrize(("epochs", "expected"), [(1, []), (2, []), (3, [1]), (9, [1, 3]), (26, [2, 8]), (80, [8, 26])])
def test_rungs_are_a_ninth_of_the_epochs_and_a_third(epochs: int, expected: list[int]) -> None:
    assert rungs(epochs) == expected


def test_the_first_at_a_rung_goes_on_and_a_worse_and_larger_one_after_it_does_not() -> None:
    first = Standing(0.5, 100)
    assert goes_on(first, [])
    assert not goes_on(Standing(0.4, 200), [first])
    assert goes_on(Standing(0.6, 100), [first])


def test_in_a_front_the_higher_score_goes_on() -> None:
    """Three that no other beats: a third of them is one, the most accurate, and not the smallest."""
    small, middle, accurate = Standing(0.1, 1), Standing(0.5, 10), Standing(0.9, 100)
    assert goes_on(accurate, [small, middle])
    assert not goes_on(middle, [small, accurate])
    assert not goes_on(small, [middle, accurate])


@given(STANDINGS)
def test_a_front_is_what_only_earlier_fronts_beat(standings: list[Standing]) -> None:
    found = fronts(standings)
    for own, number in zip(standings, found, strict=True):
        beaten_by = [
            other_number
            for other, other_number in zip(standings, found, strict=True)
            if other != own and other.score >= own.score and other.parameters <= own.parameters
        ]
        assert number == (max(beaten_by) + 1 if beaten_by else 0)


@given(STANDINGS)
def test_of_those_at_a_rung_a_third_would_go_on_or_as_many_as_are_equal(standings: list[Standing]) -> None:
    going = [own for place, own in enumerate(standings) if goes_on(own, [*standings[:place], *standings[place + 1 :]])]
    assert len(set(going)) <= -(-len(standings) // 3) <= len(going)


def test_scores_are_read_while_the_last_line_is_being_written(tmp_path: Path) -> None:
    lines = [json.dumps({"epoch": epoch, "val_accuracy": epoch / 10}) for epoch in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines)[:-5])
    assert scores(tmp_path, "accuracy") == {1: 0.1, 2: 0.2}
    assert scores(tmp_path / "nothing", "accuracy") == {}


def test_scores_that_the_disk_does_not_give_are_the_machines_and_not_absent(tmp_path: Path) -> None:
    assert scores(tmp_path, "accuracy") == {}
    (tmp_path / "metrics.jsonl").mkdir()  # which cannot be read
    with pytest.raises(MachineError, match=r"metrics\.jsonl cannot be read: Is a directory"):
        scores(tmp_path, "accuracy")
