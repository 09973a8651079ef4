"""Studies whose seeds are trained as one model: which runs go together, and that the study ends as any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from minform_cli import api
from minform_cli.errors import InputError, NumericalError
from minform_cli.files import RunFolder
from minform_cli.runs.progress import Progress
from minform_cli.runs.records import read_result
from minform_cli.study.options import StudyOptions
from minform_cli.study.plan import Plan, PlannedRun, plan_study
from minform_cli.study.stacked import check_stacking, execute_stacked, groups
from minform_cli.training.run import train
from minform_cli.training.stacked import SeedStack

SETTINGS = ["train.epochs=2", "model.dropout=0"]


def planned(out: Path, seeds: tuple[int, ...] = (0, 1, 2), *settings: str) -> Plan:
    return plan_study(out, "debug", ["no-mlp", "minimal"], seeds, [*SETTINGS, *settings])


def seeds_of(plan: Plan) -> list[tuple[str, list[int]]]:
    return [(group[0].config.variant, [run.config.seed for run in group]) for group in groups(plan.runs)]


def test_the_seeds_of_a_variant_are_a_group(tmp_path: Path) -> None:
    assert seeds_of(planned(tmp_path)) == [("no-mlp", [0, 1, 2]), ("minimal", [0, 1, 2])]


def test_seeds_at_another_step_are_a_group_of_their_own_and_finished_ones_are_in_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plan = planned(tmp_path)
    at = {"seed-1": 4}
    monkeypatch.setattr("minform_cli.study.stacked.steps_done", lambda run: at.get(run.folder.name, 0))
    assert seeds_of(plan) == [("no-mlp", [0, 2]), ("no-mlp", [1]), ("minimal", [0, 2]), ("minimal", [1])]
    finished = tuple(replace(run, finished=run.config.variant == "minimal") for run in plan.runs)
    assert seeds_of(replace(plan, runs=finished)) == [("no-mlp", [0, 2]), ("no-mlp", [1])]


def test_a_stacked_study_ends_as_any_other_and_says_that_it_was_stacked(tmp_path: Path) -> None:
    options = StudyOptions(
        preset="debug", variants=["minimal"], settings=SETTINGS, seeds=2, out=tmp_path, device="cpu", stack_anyway=True
    )
    api.compare(options)
    for seed in (0, 1):
        result = read_result(tmp_path / "minimal" / f"seed-{seed}")
        assert result["environment"]["stacked"] == 2
    assert "2 seeds stacked" in (tmp_path / "report.html").read_text()
    plan = planned(tmp_path / "alone", (0, 1))
    for run in plan.runs[2:]:
        alone = train(run.config, run.folder, threads=1, device="cpu")
        stacked = read_result(tmp_path / "minimal" / run.folder.name)
        assert stacked["metrics"]["val_loss"] == pytest.approx(alone["metrics"]["val_loss"], rel=1e-3)  # float32


def test_a_stacked_study_is_extended_and_finished_seeds_are_taken_as_they_are(tmp_path: Path) -> None:
    execute_stacked(planned(tmp_path, (0, 1)), device="cpu")
    before = (tmp_path / "minimal" / "seed-0" / "result.json").read_bytes()
    news: list[tuple[str, str]] = []

    def tell(run: PlannedRun, each: Progress) -> None:
        if each.kind == "note":
            news.append((str(run), each.text))

    results = execute_stacked(planned(tmp_path, (0, 1, 2, 3)), device="cpu", on_progress=tell)
    assert [result["seed"] for result in results] == [0, 1, 2, 3] * 2
    assert (tmp_path / "minimal" / "seed-0" / "result.json").read_bytes() == before
    assert ("minimal, seed 0", "finished before, taken as it is") in news
    assert ("minimal, seed 2", "its 2 seeds are trained as one model") in news


def test_a_seed_that_fails_is_named_once_the_others_are_finished(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    take = SeedStack.take

    def poisoned(self: SeedStack, step: int, batches: Any) -> Any:
        if step == 2:
            batches[1].inputs[0].fill_(float("nan"))
        return take(self, step, batches)

    monkeypatch.setattr(SeedStack, "take", poisoned)
    with pytest.raises(NumericalError, match=r"^no-mlp, seed 1: input image is not finite at step 3 of .*$"):
        execute_stacked(planned(tmp_path), device="cpu")
    done = [RunFolder(tmp_path / "no-mlp" / f"seed-{seed}").is_finished() for seed in (0, 1, 2)]
    assert done == [True, False, True]
    assert not (tmp_path / "minimal").exists()
    monkeypatch.undo()
    news: list[str] = []
    execute_stacked(planned(tmp_path), device="cpu", on_progress=lambda _run, each: news.append(each.text))
    assert RunFolder(tmp_path / "no-mlp" / "seed-1").is_finished()
    assert any("going on from step" in text or "no checkpoint yet" in text for text in news)


@pytest.mark.parametrize(
    ("settings", "options", "said"),
    [
        ((), {"jobs": 2}, "--stack-seeds: one group of seeds is trained at a time; accepted: --jobs 1, not 2"),
        ((), {"stack_anyway": False}, "--stack-seeds: on a CPU it does not pay (0 to 20 % of the time saved"),
    ],
)
def test_what_cannot_be_stacked_is_refused_in_one_line(
    settings: tuple[str, ...], options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    plan = planned(tmp_path, (0, 1), *settings)
    asked = {"device": "cpu", "stack_seeds": True, "stack_anyway": True, **options}
    with pytest.raises(InputError) as caught:
        check_stacking(plan, StudyOptions(**asked))
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
