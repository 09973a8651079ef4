"""The commands that train: what they write, what they refuse, and how they go on."""

import json
import os
import signal
from pathlib import Path

import pytest

from minform_cli.files import RunFolder
from tests.cli.commands import TINY, Command, on_terminal, plain
from tests.training.launching import alone
from tests.waiting import until

RESULT_KEYS = {
    "format", "minform", "preset", "variant", "seed", "epochs", "steps", "heads", "count", "data", "metrics", "timing",
    "metric", "trained_parameters", "curve", "weights_sha256", "environment",
    "measured_by",
}  # fmt: skip
COMPARE_KEYS = {
    "preset", "variant", "parameters", "share_of_baseline", "determination_ratio", "macs", "groups", "num_seeds",
    "val_score_mean", "val_score_std", "train_loss_mean", "difference_mean", "difference_low", "difference_high",
    "seconds_per_epoch_mean",
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run, made by the command in a process of its own."""
    made = tmp_path_factory.mktemp("trained")
    fixed = ["--threads", "1", "--device", "cpu"]
    running = alone(made / "process", ["train", *TINY, "--variant", "minimal", "--out", str(made / "run"), *fixed])
    assert running.codes() == [0], running.printed()
    return made / "run"


def test_train_prints_its_table_to_stdout_and_one_line_an_epoch_to_stderr(minform: Command, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = [*TINY, "--set", "train.epochs=2", "--out", str(folder), "--device", "cpu", "--threads", "1"]
    outcome = minform("train", *arguments)
    assert outcome.code == 0
    epochs = [line for line in outcome.err.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in epochs] == ["1/2", "2/2"]
    assert all("loss" in line and "val" in line and "/s" in line for line in epochs)
    assert "device: cpu" in outcome.err
    assert "epoch 1/2" not in outcome.out
    assert str(folder) in outcome.out
    assert "\x1b" not in outcome.out + outcome.err


def test_train_json_is_the_record_in_the_folder_and_quiet_says_nothing_else(minform: Command, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    outcome = minform("train", *TINY, "--seed", "5", "--out", str(folder), "--format", "json", "-q", "--threads", "1")
    (record,) = json.loads(outcome.out)
    assert set(record) >= RESULT_KEYS
    assert {key: record[key] for key in RESULT_KEYS} == json.loads(RunFolder(folder).result.read_text())
    assert (record["preset"], record["variant"], record["seed"], record["epochs"]) == ("debug", "baseline", 5, 1)
    assert outcome.err == ""


def test_train_without_out_names_the_folder_after_preset_variant_and_seed(
    minform: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = minform("train", *TINY, "--variant", "no-mlp+symmetric", "--seed", "2", "-q", "--threads", "1")
    assert outcome.code == 0
    assert RunFolder(tmp_path / "runs" / "debug-no-mlp+symmetric-seed2").is_finished()


def test_a_second_run_in_the_same_folder_is_refused_and_touches_nothing(minform: Command, trained: Path) -> None:
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    line = minform("train", *TINY, "--variant", "minimal", "--out", str(trained), "--threads", "1").refusal
    assert line == f"{trained} is not empty: --resume goes on with the run in it, --out names another folder"
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


def test_resuming_a_finished_run_says_so_and_prints_its_table_again(minform: Command, trained: Path) -> None:
    outcome = minform("train", *TINY, "--variant", "minimal", "--out", str(trained), "--resume", "--threads", "1")
    assert outcome.code == 0
    assert f"{trained} is finished: nothing to do" in outcome.err
    assert str(trained) in outcome.out


def test_resuming_another_run_is_refused_naming_the_setting(minform: Command, trained: Path) -> None:
    arguments = [*TINY, "--variant", "minimal", "--out", str(trained), "--set", "train.batch_size=7", "--resume"]
    assert "train.batch_size is 50 there and 7 here" in minform("train", *arguments).refusal


def test_out_is_a_file(minform: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    line = minform("train", *TINY, "--out", str(tmp_path / "file")).refusal
    assert "is not a folder" in line
    assert (tmp_path / "file").read_text() == "mine"


def test_a_wrong_setting_leaves_no_folder_behind(minform: Command, tmp_path: Path) -> None:
    assert minform("train", *TINY, "--out", str(tmp_path / "run"), "--set", "model.heads=3").refusal
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_shows_origins_and_one_step_and_writes_nothing(
    minform: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--preset", "debug", "--variant", "minimal", "--set", "data.limit=60", "--dry-run", "--threads", "1"]
    outcome = minform("train", *arguments)
    assert outcome.code == 0
    assert list(tmp_path.iterdir()) == []
    lines = {line.split()[0]: line for line in outcome.out.splitlines() if line.strip()}
    assert lines["data.limit"].split()[1:] == ["60", "--set"]
    assert lines["model.heads"].split()[1] == "1"
    assert lines["model.heads"].split()[2].startswith("presets/variants/collapsed-qk.yaml:")
    assert lines["model.dropout"].split()[1:] == ["0.0", "default"]
    assert "First step: loss" in outcome.err
    (record,) = json.loads(minform("train", *arguments, "--format", "json").out)
    assert {row["key"]: row["origin"] for row in record["settings"]}["data.limit"] == "--set"
    assert record["data"]["num_train"] == 60
    assert record["count"]["variant"] == "minimal"


def test_eval_measures_what_training_reported(minform: Command, trained: Path) -> None:
    outcome = minform("eval", str(trained), "--format", "json", "--threads", "1", "--device", "cpu")
    (record,) = json.loads(outcome.out)
    result = json.loads(RunFolder(trained).result.read_text())
    assert record["measured"]["accuracy"] == result["metrics"]["val_accuracy"]
    assert record["loss"] == pytest.approx(result["metrics"]["val_loss"], rel=1e-6)  # float32 sums over other batches
    assert (record["split"], record["checkpoint"], record["variant"]) == ("val", "last", "minimal")
    assert sum(map(sum, record["confusion"])) == record["num_examples"]
    assert len(record["per_class_accuracy"]) == len(record["class_names"]) == 10


def test_eval_takes_every_split_and_checkpoint_and_draws(minform: Command, trained: Path, tmp_path: Path) -> None:
    sizes = {}
    for split in ("train", "val", "test"):
        (record,) = json.loads(
            minform("eval", str(trained), "--split", split, "--format", "json", "--threads", "1").out
        )
        sizes[split] = record["num_examples"]
    result = json.loads(RunFolder(trained).result.read_text())
    assert sizes == {split: result["data"][f"num_{split}"] for split in sizes}
    picture = tmp_path / "confusion.png"
    outcome = minform("eval", str(trained), "--checkpoint", "best", "--plot", str(picture), "--threads", "1")
    assert outcome.code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"Drawn to {picture}." in outcome.err


@pytest.mark.parametrize("damage", ["config.yaml", "run.json", "checkpoint.json"])
def test_eval_of_a_damaged_folder_is_refused_in_one_line(
    damage: str, minform: Command, trained: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for path in trained.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / damage).unlink()
    assert str(folder) in minform("eval", str(folder)).refusal
    (folder / damage).write_text('{"format": 1}')
    if damage != "config.yaml":  # a copy for people; run.json decides
        assert str(folder) in minform("eval", str(folder)).refusal


def test_compare_trains_once_and_takes_finished_runs_as_they_are(minform: Command, tmp_path: Path) -> None:
    arguments = [*TINY, "--seeds", "1", "--jobs", "1", "--out", str(tmp_path / "study"), "--device", "cpu"]
    arguments += ["--variant", "baseline", "--variant", "minimal"]
    first = minform("compare", *arguments, "--format", "json")
    records = json.loads(first.out)
    assert [record["variant"] for record in records] == ["baseline", "minimal"]
    assert set(records[0]) >= COMPARE_KEYS
    assert [record["num_seeds"] for record in records] == [1, 1]
    assert records[0]["val_score_std"] is None
    assert records[0]["difference_mean"] is None
    assert records[1]["difference_mean"] == records[1]["val_score_mean"] - records[0]["val_score_mean"]

    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "study").rglob("*")}
    picture = tmp_path / "plot.svg"
    second = minform("compare", *arguments, "--plot", str(picture))
    assert second.code == 0
    assert "2 of 2 runs were finished before" in second.err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "study").rglob("*")} == files
    assert "<svg" in picture.read_text()
    assert "minimal" in second.out
    again = minform("compare", *arguments, "--format", "json", "-q")
    assert json.loads(again.out) == records
    assert again.err == ""

    csv = minform("compare", *arguments, "--format", "csv", "-q").out.splitlines()
    assert len(csv) == 3
    assert {"variant", "groups.query_key", "val_score_mean"} <= set(csv[0].split(","))


@pytest.mark.slow
def test_training_on_an_80_column_terminal_shows_bars_and_no_line_is_too_long(minform: Command, tmp_path: Path) -> None:
    arguments = [*TINY, "--set", "train.epochs=3", "--seeds", "1", "--jobs", "1", "--out", str(tmp_path)]
    arguments += ["--device", "cpu", "--variant", "baseline", "--variant", "no-mlp+symmetric-cholesky"]
    shown = on_terminal("compare", *arguments)
    assert shown.code == 0
    assert "all runs" in shown.out
    drawn = [part for line in plain(shown.out).splitlines() for part in line.split("\r")]
    assert max(map(len, drawn)) <= 80
    for record in json.loads(minform("compare", *arguments, "--format", "json").out):
        assert f"{record['parameters']:,}" in plain(shown.out)
        assert f"{100 * record['val_score_mean']:.2f}" in plain(shown.out)


def test_compare_in_a_folder_of_other_settings_is_refused(minform: Command, tmp_path: Path) -> None:
    arguments = [*TINY, "--seeds", "1", "--jobs", "1", "--out", str(tmp_path), "--variant", "minimal", "-q"]
    assert minform("compare", *arguments).code == 0
    assert (
        "train.batch_size is 50 there and 9 here"
        in minform("compare", *arguments, "--set", "train.batch_size=9").refusal
    )


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_go_on_and_resume_ends_with_the_same_weights(
    minform: Command, tmp_path: Path
) -> None:
    arguments = [
        "--preset",
        "debug",
        "--set",
        "train.epochs=10",
        "--threads",
        "1",
        "--device",
        "cpu",
        "--format",
        "json",
    ]
    folder = tmp_path / "stopped"
    running = alone(tmp_path / "process", ["train", *arguments, "--out", str(folder)], held_at=20)
    until(lambda: "epoch 1/" in "".join(running.printed()) or not running.processes[0].is_alive(), "an epoch")
    assert running.processes[0].pid is not None
    os.kill(running.processes[0].pid, signal.SIGINT)
    assert (running.codes(), running.printed("stdout")) == ([130], [""])
    (last,) = [line for line in running.printed()[0].splitlines() if line.startswith("minform: ")]
    assert "--resume" in last
    assert not RunFolder(folder).is_finished()

    resumed = minform("train", *arguments, "--out", str(folder), "--resume")
    undisturbed = minform("train", *arguments, "--out", str(tmp_path / "undisturbed"), "-q")
    assert resumed.code == undisturbed.code == 0
    assert "going on from step" in resumed.err
    digests = [json.loads(outcome.out)[0]["weights_sha256"] for outcome in (resumed, undisturbed)]
    assert digests[0] == digests[1]
