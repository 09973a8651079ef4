"""A plan names every run and its folder, and refuses what would mix runs of different settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from minform_cli.errors import InputError
from minform_cli.files import RunFolder, write_json
from minform_cli.runs import folder as run_folder
from minform_cli.study.folders import folder_name
from minform_cli.study.plan import DEFAULT_VARIANTS, plan_study
from tests.report.records import result_record
from tests.runs.made_up import data_of


def begin(path: Path, variant: str, settings: list[str], *, finished: bool) -> None:
    """Makes `path` the folder of a run that was begun, or finished."""
    (run,) = plan_study(path.parent / "elsewhere", "debug", [variant], [0], settings).runs
    path.mkdir(parents=True)
    run_folder.begin(RunFolder(path), run.config, data_of(run.config), {})
    if finished:
        write_json(RunFolder(path).result, result_record(variant))


def test_the_default_study_is_five_variants_over_three_seeds(tmp_path: Path) -> None:
    plan = plan_study(tmp_path, "debug")
    assert plan.variants == DEFAULT_VARIANTS
    assert [(run.config.variant, run.config.seed) for run in plan.runs] == [
        (variant, seed) for variant in DEFAULT_VARIANTS for seed in (0, 1, 2)
    ]
    assert plan.runs[4].folder == tmp_path / "no-mlp" / "seed-1"
    assert not any(run.finished for run in plan.runs)
    assert list(tmp_path.iterdir()) == []


def test_defaults_that_are_no_model_with_the_settings_are_left_out_and_named(tmp_path: Path) -> None:
    plan = plan_study(tmp_path, "debug", settings=["model.value=key"])
    assert "no-mlp+collapsed-qk" in plan.skipped
    assert "key" in plan.skipped["no-mlp+collapsed-qk"]
    assert set(plan.variants) | set(plan.skipped) == set(DEFAULT_VARIANTS)
    with pytest.raises(InputError, match="key"):
        plan_study(tmp_path, "debug", ["no-mlp+collapsed-qk"], settings=["model.value=key"])


def test_variants_without_the_baseline_leave_it_untrained_but_shares_refer_to_it(tmp_path: Path) -> None:
    plan = plan_study(tmp_path, "debug", ["minimal"], [3], ["model.dim=32"])
    assert [str(run) for run in plan.runs] == ["minimal, seed 3"]
    baseline = plan.runs[0].config.baseline
    assert baseline is not None and (baseline.dim, baseline.mlp.kind) == (32, "gelu")


@pytest.mark.parametrize(
    ("variants", "seeds", "message"),
    [
        (["minimal", "no-mlp", "minimal"], [0], "--variant minimal: listed twice"),
        (["minimal"], [0, 1, 0], "--seeds 0: listed twice"),
        (["minimal"], [], "--seeds: a study needs at least one"),
        (["minimum"], [0], "did you mean 'minimal'"),
    ],
)
def test_wrong_lists_are_refused(variants: list[str], seeds: list[int], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        plan_study(tmp_path, "debug", variants, seeds)


def test_a_patch_that_does_not_fit_is_found_before_any_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.patch_size 3"):
        plan_study(tmp_path, "debug", settings=["model.patch_size=3"])


def test_finished_runs_of_the_same_settings_are_taken(tmp_path: Path) -> None:
    begin(tmp_path / "minimal" / "seed-0", "minimal", [], finished=True)
    begin(tmp_path / "no-mlp" / "seed-0", "no-mlp", [], finished=False)
    plan = plan_study(tmp_path, "debug", ["minimal", "no-mlp"], [0])
    assert [run.finished for run in plan.runs] == [True, False]


@pytest.mark.parametrize("finished", [True, False])
def test_a_folder_with_another_run_is_refused_naming_key_and_values(finished: bool, tmp_path: Path) -> None:
    begin(tmp_path / "minimal" / "seed-0", "minimal", ["train.epochs=7"], finished=finished)
    with pytest.raises(InputError, match=r"seed-0.*train\.epochs is 7 there and 2 here.*--out"):
        plan_study(tmp_path, "debug", ["minimal"], [0])


def test_a_damaged_result_is_found_before_any_run(tmp_path: Path) -> None:
    begin(tmp_path / "minimal" / "seed-0", "minimal", [], finished=True)
    (tmp_path / "minimal" / "seed-0" / "result.json").write_text("{")
    with pytest.raises(InputError, match=r"result .*damaged"):
        plan_study(tmp_path, "debug", ["minimal"], [0])


def test_folder_names_are_safe_and_different_for_different_variants() -> None:
    variants = ["a/b.yaml", "a-b.yaml", "../b", "..", ".", "a b", "a\tb", "x" * 300, "x" * 301, "é", "", "-v"]
    names = [folder_name(variant) for variant in variants]
    assert len(set(names)) == len(variants)
    for name in names:
        assert 0 < len(name) <= 80
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-")
        assert name not in (".", "..") and not name.startswith("-")
    assert folder_name("no-mlp+symmetric") == "no-mlp+symmetric"


def test_planning_imports_no_torch() -> None:
    code = "import sys, minform_cli.study.plan, minform_cli.study.execute; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
