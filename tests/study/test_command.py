"""The command that a study says makes it anew does: quoted, with every value of its grid, with its very seeds."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from minform_cli.study.comparison import plan_comparison
from minform_cli.study.options import StudyOptions
from minform_cli.study.plan import plan_study
from minform_cli.study.record import RunEntry, StudyRecord
from minform_cli.training import timing
from tests.cli.commands import Command

PAIRWISE = {"kind": "pairwise", "noise": 0.1}


@pytest.fixture(autouse=True)
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run lists the runs; how long they take is not asked here."""

    def at_once(*_: object, **__: object) -> timing.Speed:
        return timing.Speed(0.0, 0.0, 1, 1)

    monkeypatch.setattr(timing, "time_run", at_once)


Row = tuple[str, str, int]


def row(variant: str, grid: dict[str, Any], seed: int) -> Row:
    return variant, json.dumps(grid, sort_keys=True), seed


def done_by(command: str, minform: Command) -> list[Row]:
    """The runs that a command, or several, a line each, would do."""
    found: list[Row] = []
    for line in command.splitlines():
        program, *words = shlex.split(line)
        assert program == "minform"
        outcome = minform(*words, "--dry-run", "--format", "json")
        assert outcome.code == 0, f"{line}: {outcome.err}"
        found += [row(run["variant"], run["grid"], run["seed"]) for run in json.loads(outcome.out)]
    return found


def test_a_study_file_with_lists_mappings_paths_and_odd_seeds_is_done_again_by_its_command(
    minform: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "my studies; $HOME"
    place.mkdir()
    (place / "it's a variant.yaml").write_text("model:\n  mlp: none\n")
    (place / "study.yaml").write_text(
        'preset: debug\nvariants: [baseline, "it\'s a variant.yaml+no-vo"]\nseeds: [3, 5]\n'
        "set:\n  data.name: digits\n  model.depth: 2\n  model.similarity: {kind: pairwise, noise: 0.2}\n"
        "grid:\n  model.order: [sequential, [0, 0], [0, 1], {kind: shared}]\n  train.clip_norm: [null, 1.0e-5]\n"
    )
    plan = plan_comparison(StudyOptions(out=tmp_path / "out", study=str(place / "study.yaml")))
    assert len(plan.runs) == 2 * 4 * 2 * 2
    command = plan.record().command()
    assert "\n" not in command
    asked = [row(run.config.variant, run.grid, run.config.seed) for run in plan.runs]
    assert done_by(command, minform) == asked
    words = shlex.split(command)
    options = StudyOptions(
        preset="debug", variants=[f"{place}/it's a variant.yaml+no-vo"], seeds=[3, 5], out=tmp_path / "again",
        settings=[words[words.index("--set") + 1 + i] for i in (0, 2, 4)],
        grid=[words[words.index("--grid") + 1 + i] for i in (0, 2)],
    )  # fmt: skip
    again = plan_comparison(options)
    assert [run.config.identity() for run in again.runs] == [
        run.config.identity() for run in plan.runs if run.config.variant != "baseline"
    ]


def test_a_study_that_grew_unevenly_is_done_again_by_several_commands(minform: Command, tmp_path: Path) -> None:
    runs = [
        *(("baseline", {}, seed) for seed in (0, 1, 2)),
        *(("minimal", {}, seed) for seed in (0, 1)),
        *(("no-mlp", {"model.depth": depth, "model.heads": heads}, 0) for depth, heads in ((1, 1), (1, 2), (2, 1))),
        *(("minimal", {"model.similarity": kind}, seed) for kind in ("tied", PAIRWISE) for seed in (4, 7)),
        ("minimal", {"model.similarity": PAIRWISE}, 9),
    ]
    record = StudyRecord(
        preset="debug", variants=["baseline", "minimal", "no-mlp"], seeds=[0, 1, 2, 4, 7, 9], set={}, skipped={},
        grid={"model.depth": [1, 2], "model.heads": [1, 2], "model.similarity": ["tied", PAIRWISE]},
        runs=[RunEntry(variant=v, grid=g, seed=s, folder=str(i)) for i, (v, g, s) in enumerate(runs)],  # type: ignore[arg-type]
    )  # fmt: skip
    command = record.command()
    assert len(command.splitlines()) == 7
    assert sorted(done_by(command, minform)) == sorted(row(*run) for run in runs)  # type: ignore[arg-type]


def test_what_makes_no_model_is_asked_for_again_and_left_out_again(minform: Command, tmp_path: Path) -> None:
    plan = plan_comparison(
        StudyOptions(preset="debug", variants=["minimal"], seeds=1, out=tmp_path, grid=["model.heads=2,3"])
    )
    assert plan.skipped
    command = plan.record().command()
    assert "--grid model.heads=2,3" in command
    assert done_by(command, minform) == [row("minimal", {"model.heads": 2}, 0)]


def test_seeds_one_by_one_and_a_number_of_them_exclude_each_other(minform: Command) -> None:
    refusal = minform("compare", "--seed", "3", "--seeds", "2").refusal
    assert refusal == "--seed: names the seeds one by one, and --seeds says how many; accepted: one of them"


def test_text_that_looks_like_something_else_is_quoted_in_the_command(tmp_path: Path) -> None:
    plan = plan_study(tmp_path, "debug", ["baseline"], [0])
    record = plan.record().model_copy(update={"set": {"data.path": "3", "data.val_path": "a, b"}})
    words = shlex.split(record.command())
    assert words[words.index("--set") :][:4] == ["--set", "data.path='3'", "--set", "data.val_path='a, b'"]
