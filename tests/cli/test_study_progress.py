"""The time left of a study is told from the pace of this process, not from what an earlier one had done."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from minform_cli.cli.study_progress import StudyProgress
from minform_cli.runs.progress import Progress
from minform_cli.study.plan import plan_study


def test_what_was_done_before_does_not_count_as_fast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0] + [10.0] * 10)
    monkeypatch.setattr("minform_cli.cli.study_progress.time.monotonic", lambda: next(clock))
    plan = plan_study(tmp_path, "debug", ["baseline", "minimal"], [0])
    first, second = dataclasses.replace(plan.runs[0], begun=True), plan.runs[1]
    with StudyProgress(plan, quiet=False) as progress:
        progress.listen(first, Progress("step", step=91, steps=100))  # 90 steps were there already
        progress.listen(first, Progress("epoch", step=100, steps=100, metrics={"val_accuracy": 0.5}))
        progress.listen(first, Progress("done", step=100, steps=100))
        progress.listen(second, Progress("step", step=1, steps=100))
    # A tenth of a run took 10 s, so the other run takes 100 s.
    assert "baseline, seed 0: val 50.00 %, about 1 min 40 s left" in capsys.readouterr().err
