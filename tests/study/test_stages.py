"""Comparisons in two stages: every run starts from the run of its own variant and seed in another study."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from minform_cli.errors import InputError
from minform_cli.files import RunFolder, read_json
from minform_cli.runs.folder import read_meta
from minform_cli.runs.records import read_result
from minform_cli.study.comparison import check_plan, plan_comparison, run_comparison, stored_comparison, write_files
from minform_cli.study.options import StudyOptions
from minform_cli.study.plan import Plan
from minform_cli.study.record import read_record, write_record
from minform_cli.training.initial import weights_digest
from tests.training.test_initial import TUNING, sentences
from tests.training.test_text import corpus, settings

ALONE = StudyOptions(jobs=1, device="cpu")
VARIANTS = ("baseline", "symmetric-pairwise")
ROWS = [(variant, seed) for variant in VARIANTS for seed in (0, 1)]

Planned = Callable[..., Plan]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text and sentences."""
    folder = tmp_path_factory.mktemp("stages")
    corpus(folder)
    sentences(folder / "SST-2")
    return folder


@pytest.fixture(scope="module")
def planned(made: Path) -> Planned:
    """Plans the sentences over two variants and two seeds, pre-trained on the text unless `init` says otherwise."""

    def plan(out: Path, *variants: str, init: Path | None = None, seeds: int = 2, **more: object) -> Plan:
        before = settings(made / "train.txt", "train.epochs=1")
        pretrain: dict[str, object] = {"pretrain": "bert-tiny", "pretrain_settings": before}
        given: dict[str, object] = {"init": init} if init is not None else pretrain
        sets = [f"data.path={made / 'SST-2'}", *TUNING, "train.epochs=1"]
        asked: dict[str, object] = {"variants": variants or VARIANTS, "settings": sets, "seeds": seeds, "out": out}
        return plan_comparison(StudyOptions(preset="glue-sst2", **(asked | given | more)))  # type: ignore[arg-type]

    return plan


def done(plan: Plan) -> None:
    """Does all stages of `plan`, one run after another."""
    for stage in plan.stages():
        assert run_comparison(stage, ALONE) is not None
        write_files(stage.out, ALONE, tell=lambda _: None)


@pytest.fixture(scope="module")
def study(planned: Planned, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both stages, done."""
    out = tmp_path_factory.mktemp("study") / "study"
    done(planned(out))
    return out


def content(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of a folder: when it was written, and what is in it."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_both_stages_are_planned_before_anything_exists(planned: Planned, tmp_path: Path) -> None:
    plan = planned(tmp_path / "study")
    before, after = plan.stages()
    assert after is plan and plan.before is before and before.before is None
    assert (before.out, before.preset, before.init) == (tmp_path / "study" / "pretrain", "bert-tiny", None)
    assert plan.init == str(before.out)
    for stage in (before, after):
        assert [(run.config.variant, run.config.seed) for run in stage.runs] == ROWS
        assert not any(run.begun or run.finished for run in stage.runs)
    for first, second in zip(before.runs, after.runs, strict=True):
        assert second.config.init == str(first.folder)
        assert second.config.data.tokenizer == str(first.folder / "tokenizer.json")
        assert second.config.model == first.config.model.model_copy(
            update={"dropout": second.config.model.dropout, "readout": second.config.model.readout}
        )
    assert list(tmp_path.iterdir()) == []


def test_every_run_started_from_that_of_its_own_variant_and_seed(study: Path) -> None:
    digests = [weights_digest(study / "pretrain" / variant / f"seed-{seed}") for variant, seed in ROWS]
    assert len(set(digests)) == len(ROWS)
    found = [read_meta(RunFolder(study / variant / f"seed-{seed}"))["initial"] for variant, seed in ROWS]
    assert found == digests


def test_both_studies_end_with_their_tables(study: Path) -> None:
    for folder, preset, title in ((study / "pretrain", "bert-tiny", "train"), (study, "glue-sst2", "SST-2 (GLUE)")):
        records = json.loads((folder / "table.json").read_text())
        assert [(record["variant"], record["num_seeds"]) for record in records] == [(v, 2) for v in VARIANTS]
        assert {record["preset"] for record in records} == {preset}
        assert read_result(folder / "baseline" / "seed-0")["data"]["title"] == title
        assert (folder / "report.html").is_file()


def test_the_same_command_again_reuses_every_run_of_both_stages(planned: Planned, study: Path) -> None:
    before = content(study)
    again = planned(study)
    assert [run.finished for stage in again.stages() for run in stage.runs] == [True] * 8
    done(again)
    assert content(study) == before


def test_more_seeds_extend_both_stages(planned: Planned, study: Path, tmp_path: Path) -> None:
    shutil.copytree(study, tmp_path / "study")
    done(planned(tmp_path / "study", "baseline", seeds=3))
    digest = weights_digest(tmp_path / "study" / "pretrain" / "baseline" / "seed-2")
    assert read_meta(RunFolder(tmp_path / "study" / "baseline" / "seed-2"))["initial"] == digest
    assert read_record(tmp_path / "study").seeds == [0, 1, 2]


def test_a_finished_study_can_be_started_from(planned: Planned, study: Path, tmp_path: Path) -> None:
    plan = planned(tmp_path / "other", init=study / "pretrain")
    assert plan.stages() == (plan,) and plan.init == str(study / "pretrain")
    done(plan)
    for variant, seed in ROWS:
        one, other = (read_result(folder / variant / f"seed-{seed}") for folder in (study, tmp_path / "other"))
        assert one["weights_sha256"] == other["weights_sha256"]  # wherever what they started from lies


def test_one_run_can_be_what_all_seeds_start_from(planned: Planned, study: Path, tmp_path: Path) -> None:
    run = study / "pretrain" / "baseline" / "seed-1"
    plan = planned(tmp_path / "other", "baseline", init=run)
    assert [planned_run.config.init for planned_run in plan.runs] == [str(run)] * 2
    with pytest.raises(InputError, match="accepted: --variant baseline and no other sizes"):
        planned(tmp_path / "other", init=run)


def test_the_command_of_a_study_says_where_it_started(planned: Planned, study: Path, tmp_path: Path) -> None:
    words = shlex.split(read_record(study).command())
    assert words[words.index("--init") + 1] == str(study / "pretrain")
    assert words[words.index("--seeds") + 1] == "2"
    assert "--init" not in read_record(study / "pretrain").command()
    assert read_json(study / "study.json", "study")["init"] == str(study / "pretrain")


def test_a_study_of_two_stages_is_drawn_again_from_its_folder(study: Path) -> None:
    comparison, stored = stored_comparison(study)
    assert [record["variant"] for record in comparison.records] == list(VARIANTS)
    assert len(stored.results) == 4 and comparison.notes == []
    assert comparison.records == json.loads((study / "table.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"seeds": 3},
            "has no finished run of variant 'baseline' with seed 2; accepted: baseline, symmetric-pairwise; ",
        ),
        ({"variants": ["no-mlp"]}, "has no finished run of variant 'no-mlp' with seed 0; accepted: baseline, symm"),
    ],
)
def test_a_run_that_the_study_lacks_is_refused(
    planned: Planned, study: Path, arguments: dict[str, object], said: str, tmp_path: Path
) -> None:
    variants = arguments.pop("variants", VARIANTS)
    with pytest.raises(InputError) as caught:
        planned(tmp_path / "other", *variants, init=study / "pretrain", **arguments)  # type: ignore[misc]
    assert str(caught.value).startswith(f"--init {study / 'pretrain'}: {said}")
    assert "seeds 0, 1" in str(caught.value) and str(caught.value).isprintable()


def test_a_run_of_the_study_that_is_not_finished_is_refused(planned: Planned, study: Path, tmp_path: Path) -> None:
    shutil.copytree(study / "pretrain", tmp_path / "half")
    RunFolder(tmp_path / "half" / "symmetric-pairwise" / "seed-1").result.unlink()
    said = "half: has no finished run of variant 'symmetric-pairwise' with seed 1; accepted: baseline, symm"
    with pytest.raises(InputError, match=said):
        planned(tmp_path / "other", init=tmp_path / "half")
    for result in (tmp_path / "half").rglob("result.json"):
        result.unlink()
    with pytest.raises(InputError, match="none of its runs is finished; accepted: a study with finished runs"):
        planned(tmp_path / "other", init=tmp_path / "half")


def test_a_study_with_a_grid_is_refused(planned: Planned, study: Path, tmp_path: Path) -> None:
    record = read_record(study / "pretrain").model_copy(update={"grid": {"train.epochs": [1, 2]}})
    write_record(tmp_path / "swept", record)
    with pytest.raises(
        InputError, match=r"sweeps train\.epochs: a variant has several runs; accepted: a study without"
    ):
        planned(tmp_path / "other", init=tmp_path / "swept")


def test_runs_that_started_from_other_weights_are_not_taken_as_they_are(
    planned: Planned, study: Path, tmp_path: Path
) -> None:
    shutil.copytree(study / "pretrain", tmp_path / "source")
    done(planned(tmp_path / "other", "baseline", init=tmp_path / "source", seeds=1))
    shutil.rmtree(tmp_path / "source" / "baseline" / "seed-0")
    shutil.copytree(tmp_path / "source" / "baseline" / "seed-1", tmp_path / "source" / "baseline" / "seed-0")
    with pytest.raises(InputError, match=r"other/baseline/seed-0: was started from other weights than those in .*sour"):
        planned(tmp_path / "other", "baseline", init=tmp_path / "source", seeds=1)


def test_a_study_whose_start_is_gone_is_done_again_but_not_extended(
    planned: Planned, study: Path, tmp_path: Path
) -> None:
    shutil.copytree(study / "pretrain", tmp_path / "source")
    done(planned(tmp_path / "other", "baseline", init=tmp_path / "source", seeds=1))
    shutil.rmtree(tmp_path / "source")
    before = content(tmp_path / "other")
    plan = planned(tmp_path / "other", "baseline", init=tmp_path / "source", seeds=1)
    assert [run.finished for run in plan.runs] == [True]
    done(plan)
    assert content(tmp_path / "other") == before
    with pytest.raises(InputError, match="source: has no finished run of variant 'baseline' with seed 1; accepted: ba"):
        planned(tmp_path / "other", "baseline", init=tmp_path / "source", seeds=2)
    with pytest.raises(InputError, match="source: is no run folder; accepted: the folder of a finished run"):
        planned(tmp_path / "another", "baseline", init=tmp_path / "source", seeds=1)


def test_damaged_weights_to_start_from_are_found_before_the_first_run_and_by_a_dry_run(
    planned: Planned, study: Path, tmp_path: Path
) -> None:
    shutil.copytree(study / "pretrain", tmp_path / "source")
    (weights,) = (tmp_path / "source" / "symmetric-pairwise" / "seed-1").glob("*weights*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    plan = planned(tmp_path / "other", init=tmp_path / "source")
    with pytest.raises(InputError) as tried:
        check_plan(plan)
    with pytest.raises(InputError) as done_:
        run_comparison(plan, ALONE)
    assert str(weights.name) in str(tried.value) and str(tried.value) == str(done_.value)
    assert not (tmp_path / "other").exists()


def test_a_start_and_a_first_stage_exclude_each_other(planned: Planned, study: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--pretrain: trains what the runs start from, and --init names it; accepted:"):
        planned(tmp_path / "other", init=study / "pretrain", pretrain="bert-tiny")
    with pytest.raises(InputError, match="--pretrain-set: has no meaning without --pretrain"):
        planned(tmp_path / "other", init=study / "pretrain", pretrain_settings=["train.epochs=1"])
    with pytest.raises(InputError, match="--pretrain-set: has no meaning without --pretrain"):
        planned(tmp_path / "other", pretrain=None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pretrain": "bert-tyni"}, "--pretrain bert-tyni: .*unknown preset 'bert-tyni'; did you mean 'bert-tiny'"),
        ({"pretrain_settings": ["model.dmi=3"]}, "--pretrain-set: unknown key 'model.dmi'; did you mean 'model.dim'"),
        ({"pretrain": "debug", "pretrain_settings": []}, "model.embedding 'patches' takes images, and SST-2"),
        ({"pretrain": "gpt2"}, "model.mask 'causal' does not go with model.readout 'pooler'"),
        ({"pretrain": "glue-cola", "pretrain_settings": ["model.heads=3"]}, "--pretrain glue-cola: model.heads 3 does"),
    ],
)
def test_what_is_wrong_with_the_first_stage_is_found_before_anything_is_done(
    planned: Planned, given: dict[str, object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        planned(tmp_path / "study", **given)
    assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_other_settings_of_the_first_stage_are_another_study(planned: Planned, study: Path, made: Path) -> None:
    before = content(study)
    with pytest.raises(InputError, match=r"pretrain.*train\.epochs is 1 there and 2 here"):
        planned(study, pretrain_settings=settings(made / "train.txt", "train.epochs=2"))
    assert content(study) == before
