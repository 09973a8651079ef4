"""A study file says what `compare` is told otherwise, and is refused with file and line where it says it wrongly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minform_cli.config.names import study_names
from minform_cli.errors import InputError, MachineError
from minform_cli.study.comparison import plan_comparison
from minform_cli.study.extension import extended
from minform_cli.study.options import StudyOptions
from minform_cli.study.plan import Plan
from minform_cli.study.preview import preview
from minform_cli.study.record import write_record
from minform_cli.study.study_file import Study, read_study

GOOD = """\
summary: a small one
source: my own
preset: debug
variants: [baseline, minimal]
seeds: [0, 4]
set:
  train.epochs: 1
  train.warmup_epochs: 0
grid:
  model.heads: [1, 2]
  model.similarity: [separate, {kind: pairwise, noise: 0.1}]
"""


def planned(study: str, tmp_path: Path, preset: str | None = None, **options: object) -> Plan:
    given: dict[str, object] = {"out": tmp_path / "out"} | options
    return plan_comparison(StudyOptions(preset=preset, study=study, **given))  # type: ignore[arg-type]


@pytest.fixture
def good(tmp_path: Path) -> str:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    return str(path)


def test_a_study_file_says_preset_variants_seeds_settings_and_grid(good: str) -> None:
    study = read_study(good)
    assert (study.preset, study.variants, study.seeds) == ("debug", ("baseline", "minimal"), (0, 4))
    assert {key: setting.value for key, setting in study.settings.items()} == {
        "train.epochs": 1,
        "train.warmup_epochs": 0,
    }
    assert [setting.value for setting in study.grid["model.similarity"]] == [
        "separate",
        {"kind": "pairwise", "noise": 0.1},
    ]
    assert study.settings["train.epochs"].origin == f"{good}:7"


def test_seeds_may_be_a_number_and_what_is_missing_is_as_without_a_file(tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    path.write_text("preset: debug\n")
    assert read_study(str(path)) == Study("debug", (), (0, 1, 2), {}, {})
    path.write_text("preset: debug\nseeds: 2\nset:\ngrid:\n")
    assert read_study(str(path)).seeds == (0, 1)


def test_paths_in_a_study_are_meant_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("summary: x\nextends: debug\n")
    (tmp_path / "v.yaml").write_text("model:\n  mlp: none\n")
    path = tmp_path / "study.yaml"
    path.write_text("preset: mine.yaml\nvariants: [v.yaml+symmetric]\nseeds: 1\n")
    (run,) = planned(str(path), tmp_path).runs
    assert run.config.preset == str(tmp_path / "mine.yaml")
    assert run.config.model.mlp.kind == "none"


def test_options_go_over_the_file_key_by_key(good: str, tmp_path: Path) -> None:
    plan = planned(
        good, tmp_path, "digits", variants=["no-mlp"], seeds=1, settings=["train.epochs=2", "model.similarity=tied"],
        grid=["model.heads=4", "train.warmup_epochs=0.5"],
    )  # fmt: skip
    (run,) = plan.runs
    assert (run.config.preset, run.config.variant, run.config.seed) == ("digits", "no-mlp", 0)
    assert run.grid == {"model.heads": 4, "train.warmup_epochs": 0.5}
    assert (run.config.train.epochs, run.config.model.similarity.kind) == (2, "tied")
    assert plan.settings == {"train.epochs": 2, "model.similarity": "tied"}  # what is swept is not set, too
    with pytest.raises(InputError, match=r"--grid model\.heads: is set by --set, too"):
        planned(good, tmp_path, settings=["model.heads=1"], grid=["model.heads=1,2"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("preset: debug\n", "", ": preset is missing"),
        ("preset: debug", "preset: 3", ":3: preset: expected a name or a path"),
        ("preset: debug", "preset: debgu", "unknown preset 'debgu'; did you mean 'debug'?"),
        ("variants:", "variant:", ":4: unknown key 'variant'; did you mean 'variants'?"),
        ("[baseline, minimal]", "minimal", ":4: variants: expected a list of names or paths"),
        ("[baseline, minimal]", "[]", ":4: variants: expected a list of names or paths, at least one"),
        ("[baseline, minimal]", "[minimum]", "unknown variant 'minimum'; did you mean 'minimal'?"),
        ("[0, 4]", "0", ":5: seeds: expected how many, or a list of whole numbers from 0 on"),
        ("[0, 4]", "true", ":5: seeds: expected how many"),
        ("[0, 4]", "[0, -1]", ":5: seeds: expected how many"),
        ("[0, 4]", "[0, 0]", "--seeds 0: listed twice"),
        ("train.epochs: 1", "train.epocs: 1", ":7: unknown key 'train.epocs'; did you mean 'train.epochs'?"),
        ("train.epochs: 1", "train.epochs: one", ":7: train.epochs: expected a whole number, not 'one'"),
        ("train.epochs: 1", "model.heads: 1", ":10: model.heads is in set, too"),
        ("[1, 2]", "1", ":10: model.heads: expected a list of values, for example [1, 4]"),
        ("[1, 2]", "[]", ":10: model.heads: expected at least one value"),
        ("[1, 2]", "[1, 1]", ":10: model.heads: 1 is listed twice"),
        ("[1, 2]", "[1, two]", ":10: model.heads: expected a whole number, not 'two'"),
        ("model.heads: [1, 2]", "data.limit: [1, 2]", ":10: data.limit cannot be swept"),
        ("model.heads: [1, 2]", "model.haeds: [1, 2]", ":10: unknown key 'model.haeds'; did you mean 'model.heads'?"),
        ("grid:\n", "grid: [1]\nx:\n", ": unknown key 'x'"),
        ("summary: a small one", "summary: [1]", ":1: summary: expected text"),
    ],
)
def test_a_wrong_study_file_is_refused_in_one_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        planned(str(path), tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    if message.startswith(":"):
        assert str(path) in str(caught.value)


def test_a_set_or_grid_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    for key in ("set", "grid"):
        path.write_text(f"preset: debug\n{key}: [1]\n")
        with pytest.raises(InputError, match=f":2: {key}: expected a mapping"):
            read_study(str(path))


def test_unknown_and_missing_studies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--study: unknown study 'paper-table1-mnits'; did you mean 'paper-table1-mni"):
        read_study("paper-table1-mnits")
    with pytest.raises(InputError, match=r"absent\.yaml: cannot be read"):
        read_study(str(tmp_path / "absent.yaml"))


def test_the_shipped_studies_are_the_papers_tables(tmp_path: Path) -> None:
    assert set(study_names()) >= {
        "paper-table1-mnist", "paper-table1-cifar10", "paper-reductions-mnist", "paper-reductions-cifar10",
    }  # fmt: skip
    for data in ("mnist", "cifar10"):
        table = planned(f"paper-table1-{data}", tmp_path, seeds=1)
        models = [run.config.model for run in table.runs]
        assert {(m.depth, m.heads, m.mlp.kind) for m in models} == {
            (depth, heads, mlp) for depth in (6, 12) for heads in (1, 4) for mlp in ("gelu", "none")
        }
        assert len(models) == 8
        reductions = planned(f"paper-reductions-{data}", tmp_path)
        assert {run.config.model.depth for run in reductions.runs} == {6}
        assert {"baseline", "no-mlp", "no-mlp+symmetric", "minimal"} <= set(reductions.variants)
        for plan in (table, reductions):
            assert plan.skipped == {}
            assert {run.config.data.name for run in plan.runs} == {data}


@pytest.mark.parametrize("name", study_names())
def test_every_shipped_study_makes_only_legal_models(name: str, tmp_path: Path) -> None:
    assert planned(name, tmp_path, seeds=1).skipped == {}


def test_the_default_folder_is_named_after_the_study(good: str) -> None:
    assert plan_comparison(StudyOptions(study=good)).out == Path("runs/study-good")
    assert plan_comparison(StudyOptions(seeds=1, study="paper-table1-mnist")).out == Path(
        "runs/study-paper-table1-mnist"
    )
    assert plan_comparison(StudyOptions(preset="debug", seeds=1)).out == Path("runs/compare-debug")


def write_plan(plan: Plan) -> None:
    write_record(plan.out, extended(plan.out, plan.record()))


def test_study_json_is_the_plan_and_the_same_plan_again_touches_nothing(good: str, tmp_path: Path) -> None:
    plan = planned(good, tmp_path)
    write_plan(plan)
    path = tmp_path / "out" / "study.json"
    told = json.loads(path.read_text())
    assert (told["preset"], told["variants"], told["seeds"]) == ("debug", ["baseline", "minimal"], [0, 4])
    assert told["set"] == {"train.epochs": 1, "train.warmup_epochs": 0}
    assert told["grid"]["model.heads"] == [1, 2]
    assert [tmp_path / "out" / run["folder"] for run in told["runs"]] == [run.folder for run in plan.runs]
    before = path.stat().st_mtime_ns
    write_plan(planned(good, tmp_path))
    assert path.stat().st_mtime_ns == before
    write_plan(planned(good, tmp_path, seeds=3))
    assert json.loads(path.read_text())["seeds"] == [0, 1, 2]
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["study.json"]


def test_a_study_folder_that_cannot_be_made_is_said_in_one_line(good: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match="cannot write to"):
        write_plan(planned(good, tmp_path, out=tmp_path / "file" / "out"))


def test_the_record_of_a_planned_run_has_its_own_parameters(good: str, tmp_path: Path) -> None:
    plan = planned(good, tmp_path, grid=["model.depth=1,2"], settings=["model.heads=1", "model.similarity=tied"])
    records = preview(plan)
    assert [record["state"] for record in records] == ["to do"] * 8
    sizes = {(record["variant"], record["grid"]["model.depth"]): record["parameters"] for record in records}
    assert len(set(sizes.values())) == 4
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("preset: debg\n", "bad.yaml:1: preset: unknown preset 'debg'; did you mean 'debug'?"),
        (
            "preset: debug\nvariants: [no-mpl]\n",
            "bad.yaml:2: variants: unknown variant 'no-mpl'; did you mean 'no-mlp'?",
        ),
        ("preset: ./debug.yml\n", "bad.yaml:1: preset: there is no file '"),
    ],
)
def test_what_a_study_names_and_is_not_there_is_refused_where_it_is_named(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(InputError) as refused:
        read_study(str(tmp_path / "bad.yaml"))
    assert message in str(refused.value)
