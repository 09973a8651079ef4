"""A grid is a cross product whose points keep their own folders, baselines and differences."""

from __future__ import annotations

from pathlib import Path

import pytest

from minform_cli.config.presets import resolve
from minform_cli.counting.records import CountRecord
from minform_cli.errors import IllegalModelError, InputError
from minform_cli.files import RunFolder
from minform_cli.runs import folder as run_folder
from minform_cli.runs.records import ResultRecord
from minform_cli.study.execute import execute
from minform_cli.study.folders import point_folder
from minform_cli.study.grid import parse_grid, points
from minform_cli.study.plan import plan_study
from minform_cli.study.summary import count_plan, summarise
from tests.report.records import NAMES, count_record, result_record
from tests.runs.made_up import data_of
from tests.study import trainers


def test_points_are_the_cross_product_in_the_order_given() -> None:
    grid = parse_grid(["model.heads=1,4", "train.learning_rate=1e-3,0.5"])
    found = [{key: setting.value for key, setting in point.items()} for point in points(grid)]
    assert found == [{"model.heads": heads, "train.learning_rate": rate} for heads in (1, 4) for rate in (0.001, 0.5)]
    assert points({}) == [{}]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("model.order=[0,0],[0,1]", [[0, 0], [0, 1]]),
        ("model.order=sequential, [0, [1, 2]]", ["sequential", [0, [1, 2]]]),
        (
            "model.similarity={kind: pairwise, noise: 0.1},tied,{kind: tied}",
            [{"kind": "pairwise", "noise": 0.1}, "tied", {"kind": "tied"}],
        ),
        ("model.similarity=kind: pairwise,tied", [{"kind": "pairwise"}, "tied"]),
        ("train.optimizer='a,b',\"c,d\",it's,e's", ["a,b", "c,d", "it's", "e's"]),
        ("train.clip_norm=null,1e-3", [None, 0.001]),
    ],
)
def test_a_comma_inside_brackets_braces_or_quotes_parts_no_values(text: str, values: list[object]) -> None:
    ((found),) = parse_grid([text]).values()
    assert [setting.value for setting in found] == values


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["model.heads"], "--grid 'model.heads': expected key=value,value, for example --grid model.heads=1,4"),
        (["model.haeds=1"], "--grid: unknown key 'model.haeds'; did you mean 'model.heads'?"),
        (["model.heads=1,4", "model.heads=2"], "--grid model.heads: given twice"),
        (["model.heads=1,"], "--grid model.heads: a value is missing in '1,'"),
        (["model.heads="], "--grid model.heads: a value is missing in ''"),
        (["model.heads=1,2,1"], "--grid: model.heads: 1 is listed twice"),
        (["model.heads=[1"], "--grid model.heads: not valid YAML"),
        (["model.order=[0,0],"], "--grid model.order: a value is missing in '[0,0],'"),
        (["model.order=[0,0],'x"], "--grid model.order: not valid YAML"),
        (["model.order=[0,0],[0,0]"], "--grid: model.order: [0, 0] is listed twice"),
        (["data.limit=10,20"], "--grid: data.limit cannot be swept"),
    ],
)
def test_a_wrong_grid_is_refused_in_one_line(texts: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_grid(texts)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_every_point_has_its_folders_and_wins_over_variant_and_settings(tmp_path: Path) -> None:
    grid = parse_grid(["model.heads=4,2", "model.depth=1,3"])
    plan = plan_study(tmp_path, "debug", ["baseline", "minimal"], [0, 5], ["model.depth=2"], grid)
    assert len(plan.runs) == 2 * 2 * 2 * 2
    assert len({run.folder for run in plan.runs}) == 16
    assert [str(run) for run in plan.runs[:4]] == [
        "baseline, heads=4, depth=1, seed 0",
        "baseline, heads=4, depth=1, seed 5",
        "minimal, heads=4, depth=1, seed 0",
        "minimal, heads=4, depth=1, seed 5",
    ]
    assert plan.runs[3].folder == tmp_path / "minimal" / "model.depth=1,model.heads=4" / "seed-5"
    for run in plan.runs:
        assert run.grid == {"model.heads": run.config.model.heads, "model.depth": run.config.model.depth}
    assert resolve("debug", "minimal").config.model.heads == 1  # the variant's own value, over which the grid goes
    assert list(tmp_path.iterdir()) == []


def test_the_order_of_the_keys_does_not_move_a_run(tmp_path: Path) -> None:
    one = plan_study(tmp_path, "debug", ["minimal"], [0], grid=parse_grid(["model.heads=1,2", "model.depth=1,2"]))
    other = plan_study(tmp_path, "debug", ["minimal"], [0], grid=parse_grid(["model.depth=1,2", "model.heads=1,2"]))
    assert {run.folder for run in one.runs} == {run.folder for run in other.runs}


def test_combinations_that_make_no_model_are_left_out_and_named(tmp_path: Path) -> None:
    plan = plan_study(tmp_path, "debug", ["baseline", "minimal"], [0], grid=parse_grid(["model.heads=2,3"]))
    assert [run.grid for run in plan.runs] == [{"model.heads": 2}] * 2
    assert set(plan.skipped) == {"baseline, heads=3", "minimal, heads=3"}
    assert "model.heads from --grid" in plan.skipped["minimal, heads=3"]
    plan = plan_study(tmp_path, "debug", ["baseline"], [0], grid=parse_grid(["model.patch_size=2,3"]))
    assert "model.patch_size 3 does not divide" in plan.skipped["baseline, patch_size=3"]


def test_a_grid_of_which_nothing_is_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IllegalModelError, match=r"model\.heads 3 does not divide"):
        plan_study(tmp_path, "debug", ["baseline"], [0], grid=parse_grid(["model.heads=3,5"]))


@pytest.mark.parametrize("values", ["two", "0", "1.5", "null", "true"])
def test_a_value_that_is_wrong_by_itself_is_refused_not_left_out(values: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--grid: model\.heads: ") as caught:
        plan_study(tmp_path, "debug", ["baseline"], [0], grid=parse_grid([f"model.heads=2,{values}"]))
    assert not isinstance(caught.value, IllegalModelError)


def test_runs_of_a_point_are_found_again(tmp_path: Path) -> None:
    grid = parse_grid(["model.heads=1,2"])
    plan = plan_study(tmp_path, "debug", ["minimal"], [0], grid=grid)
    plan.runs[1].folder.mkdir(parents=True)
    run_folder.begin(RunFolder(plan.runs[1].folder), plan.runs[1].config, data_of(plan.runs[1].config), {})
    again = plan_study(tmp_path, "debug", ["minimal"], [0], grid=grid)
    assert [(run.begun, run.finished) for run in again.runs] == [(False, False), (True, False)]


def test_folders_of_points_are_safe_and_different() -> None:
    grids = [
        {"model.heads": 1},
        {"model.heads": 10},
        {"model.heads": 1, "model.depth": 6},
        {"model.similarity": {"kind": "pairwise", "noise": 0.1}},
        {"model.similarity": {"kind": "pairwise", "noise": 0.2}},
        {"train.optimizer": "a,b=c"},
        {"train.optimizer": "../a"},
        {"train.clip_norm": None},
        {"train.optimizer": "x" * 300},
    ]
    names = [point_folder(grid) for grid in grids]
    assert len(set(names)) == len(grids)
    for name in names:
        assert 0 < len(name) <= 120
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+=,-")
    assert names[2] == "model.depth=6,model.heads=1"


def test_shares_refer_to_the_baseline_at_the_same_point(tmp_path: Path) -> None:
    grid = parse_grid(["model.depth=1,3"])
    counts = count_plan(plan_study(tmp_path, "debug", ["minimal", "baseline"], [0, 1], grid=grid))
    assert [(c["variant"], c["grid"]) for c in counts if "grid" in c] == [
        (variant, {"model.depth": depth}) for depth in (1, 3) for variant in ("minimal", "baseline")
    ]
    assert counts[0]["share_of_baseline"] == counts[0]["parameters"] / counts[1]["parameters"]
    assert counts[2]["share_of_baseline"] == counts[2]["parameters"] / counts[3]["parameters"]
    assert counts[0]["share_of_baseline"] != counts[2]["share_of_baseline"]


def test_differences_are_taken_within_a_point() -> None:
    def count(variant: str, heads: int) -> CountRecord:
        return {**count_record(NAMES.index(variant)), "grid": {"model.heads": heads}}

    def result(variant: str, heads: int, accuracy: float) -> ResultRecord:
        return {**result_record(variant, 0, accuracy), "grid": {"model.heads": heads}}

    results = [
        result("baseline", 1, 0.9), result("minimal", 1, 0.8), result("baseline", 4, 0.5), result("minimal", 4, 0.6),
        result("minimal", 2, 0.7),
    ]  # fmt: skip
    counts = [count("baseline", 1), count("minimal", 1), count("baseline", 4), count("minimal", 4), count("minimal", 2)]
    differences = [record["difference_mean"] for record in summarise(counts, results)]
    # Rounding of float64; at two heads no baseline was trained.
    assert differences == [None, pytest.approx(-0.1, rel=1e-12), None, pytest.approx(0.1, rel=1e-12), None]


def test_results_carry_their_point(tmp_path: Path) -> None:
    plan = plan_study(tmp_path, "debug", ["minimal"], [0, 1], grid=parse_grid(["model.heads=1,2"]))
    results = execute(plan, jobs=1, trainer=trainers.quick)
    assert [result.get("grid") for result in results] == [{"model.heads": heads} for heads in (1, 1, 2, 2)]
    assert all("grid" not in (run.folder / "result.json").read_text() for run in plan.runs)
