"""The commands on text: what they print and write, and what they refuse in one line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from minform_cli.files import RunFolder
from minform_cli.runs.records import read_result
from tests.cli.commands import Command
from tests.data.text.prose import prose, written
from tests.training.test_initial import TUNING, sentences
from tests.training.test_text import corpus, settings

SMALL = (
    "data.limit=40",
    "data.vocab_size=600",
    "data.seq_len=16",
    "model.dim=16",
    "model.position={kind: learned, rows: 16}",
    "train.epochs=1",
    "train.warmup_epochs=0",
)
ON_CPU = ("--device", "cpu", "--threads", "1")


def sets(*given: str) -> list[str]:
    """The options of these settings."""
    return [word for setting in given for word in ("--set", setting)]


PYDOC = ["--preset", "pydoc-tiny", *sets(*SMALL)]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("text"))


@pytest.fixture
def trained(minform: Command, text: Path, tmp_path: Path) -> Path:
    """The folder of a masked-token run of one epoch."""
    outcome = minform("train", *tuned(text), "--out", str(tmp_path / "run"), "-q", *ON_CPU)
    assert outcome.code == 0, outcome
    return tmp_path / "run"


def tuned(text: Path, *more: str) -> list[str]:
    """The options of such a run."""
    return ["--preset", "bert-tiny", *sets(*settings(text, "train.epochs=1", *more))]


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_training_on_pythons_own_text_prints_a_table_with_both_counts(minform: Command, tmp_path: Path) -> None:
    outcome = minform("train", *PYDOC, "--out", str(tmp_path / "run"), "--format", "plain", *ON_CPU)
    assert outcome.code == 0, outcome
    result = read_result(tmp_path / "run")
    rows = {line.split("  ")[0].strip(): line for line in outcome.out.splitlines() if line.strip()}
    assert f"{result['count']['parameters']:,} (100.00 % of the baseline)" in rows["parameters"]
    assert f"{result['trained_parameters']:,}: with the task's head, without what it" in rows["trained"]
    assert result["trained_parameters"] != result["count"]["parameters"]
    assert "pydoc topics, 40 training examples" in rows["data"]
    accuracy = 100 * (result["metrics"]["val_accuracy"] or 0)
    assert any(f"accuracy {accuracy:.2f} %" in row for row in rows.values())
    assert [line.split()[1] for line in outcome.err.splitlines() if line.startswith("epoch ")] == ["1/1"]


def test_eval_of_masked_tokens_has_one_table_in_every_format(minform: Command, trained: Path) -> None:
    (record,) = json.loads(minform("eval", str(trained), "--format", "json", *ON_CPU).out)
    assert (record["class_names"], record["per_class_accuracy"], record["confusion"]) == ([], [], [])
    assert record["accuracy_low"] is None  # tokens of one text are no independent examples
    metrics = read_result(trained)["metrics"]
    assert (record["measured"], record["loss"]) == ({"accuracy": metrics["val_accuracy"]}, metrics["val_loss"])
    (row,) = csv.DictReader(io.StringIO(minform("eval", str(trained), "--format", "csv", *ON_CPU).out))
    assert float(row["loss"]) == metrics["val_loss"] and not any("per_class" in key for key in row)
    for fmt in ("rich", "plain", "markdown", "latex"):
        outcome = minform("eval", str(trained), "--format", fmt, *ON_CPU)
        assert outcome.code == 0, outcome
        assert (
            f"{100 * (metrics['val_accuracy'] or 0):.2f}" in outcome.out and f"{record['num_examples']}" in outcome.out
        )
        assert "per class" not in outcome.out + outcome.err and "onfusion" not in outcome.out + outcome.err
        assert "Wilson" not in outcome.err


def test_eval_draws_no_confusion_of_tokens(minform: Command, trained: Path, tmp_path: Path) -> None:
    line = minform("eval", str(trained), "--plot", str(tmp_path / "picture.svg"), *ON_CPU).refusal
    assert line == "--plot: draws a confusion matrix, and this run predicts no classes"
    assert not (tmp_path / "picture.svg").exists()


@pytest.mark.parametrize("command", ["train", "compare"])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "data.path: is missing: the text to train on; accepted: a UTF-8 text file, or a folder of *.txt"),
        (["data.path=absent.txt"], "data.path: 'absent.txt': no such file or folder; did you mean 'present.txt'?"),
        (["data.path=binary.txt"], "data.path: 'binary.txt': line 2"),
        (["data.path=nul.txt"], "data.path: 'nul.txt': line 1 holds a NUL byte, so this is no text"),
        (["data.path=blank.txt"], "data.path: 'blank.txt': is empty or holds nothing but blanks"),
        (["data.path=short.txt"], "data.path: 'short.txt': its "),
        (["data.path=present.txt", "data.tokenizer=worldpiece"], "data.tokenizer: 'worldpiece': no such file; did you"),
        (["data.path=present.txt", "data.tokenizer=short.txt"], "data.tokenizer: 'short.txt': is no tokenizer, or dam"),
        (["data.path=present.txt", "data.vocab_size=10"], "data.vocab_size: 10 is too few for a wordpiece tokenizer"),
        (["data.path=present.txt", "data.test_path=absent"], "data.test_path: 'absent': no such file or folder"),
        (["data.path=present.txt", "data.seq_len=600"], "data.seq_len 600 of present is more than the 512 positions"),
    ],
)
def test_a_wrong_text_or_tokenizer_is_refused_in_one_line_and_nothing_is_written(
    minform: Command, command: str, given: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(Path("present.txt"), prose(60))
    written(Path("binary.txt"), b"good\nb\xffd\n")
    written(Path("nul.txt"), b"a\0b")
    written(Path("blank.txt"), " \n")
    written(Path("short.txt"), "only this")
    before = everything(tmp_path)
    seeds = ["--variant", "baseline", "--seeds", "1", "--jobs", "1"] if command == "compare" else []
    line = minform(command, "--preset", "bert-tiny", *sets(*given), *seeds, "--device", "cpu", "-q").refusal
    assert line.startswith(said)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("preset", ["glue-sst2", "bert-tiny", "gpt2"])
def test_the_dry_run_of_a_run_on_text_shows_its_parts_and_writes_nothing(
    minform: Command, text: Path, preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = sentences(tmp_path / "SST-2") if preset == "glue-sst2" else text
    before = everything(tmp_path)
    arguments = ["train", "--preset", preset, *sets(*settings(path)), "--dry-run", *ON_CPU]
    outcome = minform(*arguments)
    assert outcome.code == 0, outcome
    lines = {line.split()[0]: line for line in outcome.out.splitlines() if line.strip()}
    assert lines["data.vocab_size"].split()[1:] == ["300", "--set"]
    assert "First step: loss" in outcome.err
    (record,) = json.loads(minform(*arguments, "--format", "json").out)
    assert record["data"]["kind"] == "text"
    assert record["data"]["num_train"] == (33 if preset == "glue-sst2" else 114)
    assert everything(tmp_path) == before


def test_the_dry_run_of_a_comparison_on_text_times_its_runs_and_writes_nothing(
    minform: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["compare", *PYDOC, "--variant", "baseline", "--variant", "symmetric-pairwise", "--seeds", "1"]
    records = json.loads(minform(*arguments, "--dry-run", "--format", "json", *ON_CPU).out)
    assert [(record["variant"], record["state"]) for record in records] == [
        ("baseline", "to do"),
        ("symmetric-pairwise", "to do"),
    ]
    assert all(record["seconds"] > 0 for record in records)
    assert everything(tmp_path) == set()


def test_a_comparison_on_text_ends_with_tables_and_a_report_without_classes(
    minform: Command, text: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "study"
    given = [*tuned(text, "train.epochs=2"), "--variant", "baseline", "--variant", "symmetric-pairwise", "--seeds", "1"]
    outcome = minform("compare", *given, "--out", str(out), "--jobs", "1", "--format", "json", *ON_CPU)
    assert outcome.code == 0, outcome
    records = json.loads(outcome.out)
    assert [(record["variant"], record["metric"], record["kind"]) for record in records] == [
        ("baseline", "accuracy", "text"),
        ("symmetric-pairwise", "accuracy", "text"),
    ]
    assert all(record["val_score_low"] is None for record in records)
    assert {path.name for path in out.glob("table.*")} == {"table.md", "table.tex", "table.csv", "table.json"}
    assert json.loads((out / "table.json").read_text()) == records
    assert "steps to 95 %" in (out / "table.md").read_text()
    report = (out / "report.html").read_text()
    assert "curves0" in report
    assert "ccuracy by class" not in report and "ttention map" not in report
    assert report == minform_report_again(minform, out)


def minform_report_again(minform: Command, out: Path) -> str:
    """The report that `--from` draws anew."""
    (out / "report.html").unlink()
    outcome = minform("compare", "--from", str(out), "--format", "markdown")
    assert outcome.code == 0, outcome
    assert "Steps to 95 %" in outcome.err
    return (out / "report.html").read_text()


def test_counts_of_bert_tell_the_head_apart(minform: Command) -> None:
    outcome = minform("count", "--preset", "bert-base", "--variant", "baseline", "--format", "json")
    (record,) = json.loads(outcome.out)
    assert record["parameters"] == 109_482_240  # as published: embeddings, encoder, pooler
    assert record["task_head_parameters"] == 768**2 + 768 + 2 * 768 + 30522
    assert record["determination_ratio"] is None


def test_training_starts_from_a_run_and_says_so_in_its_config(minform: Command, trained: Path, tmp_path: Path) -> None:
    given = ["--preset", "glue-sst2", "--init", str(trained), *sets(f"data.path={sentences(tmp_path / 'SST-2')}")]
    arguments = ["train", *given, *sets(*TUNING), *ON_CPU]
    shown = minform(*arguments, "--dry-run").out
    lines = {line.split()[0]: line for line in shown.splitlines() if line.strip()}
    assert lines["model.dim"].split()[1:3] == ["16", "--init"]
    assert not (tmp_path / "tuned").exists()
    outcome = minform(*arguments, "--out", str(tmp_path / "tuned"), "--format", "json", "-q")
    (record,) = json.loads(outcome.out)
    assert (record["preset"], record["metric"], record["steps"]) == ("glue-sst2", "accuracy", 6)
    assert f"init: {trained}" in RunFolder(tmp_path / "tuned").config.read_text()
    again = minform(*arguments, "--out", str(tmp_path / "tuned"), "--resume")
    assert "is finished: nothing to do" in again.err


def test_both_stages_of_a_comparison_print_one_document_for_programs(
    minform: Command, text: Path, tmp_path: Path
) -> None:
    before = [word for given in settings(text, "train.epochs=1") for word in ("--pretrain-set", given)]
    second = sets(f"data.path={sentences(tmp_path / 'SST-2')}", *TUNING)
    names = ["--pretrain", "bert-tiny", *before, "--preset", "glue-sst2", *second, "--variant", "baseline"]
    arguments = ["compare", *names, "--seeds", "1", "--out", str(tmp_path / "study"), *ON_CPU]
    planned = json.loads(minform(*arguments, "--dry-run", "--format", "json").out)
    assert [record["preset"] for record in planned] == ["bert-tiny"]
    assert not (tmp_path / "study").exists()
    outcome = minform(*arguments, "--jobs", "1", "--format", "json")
    assert outcome.code == 0, outcome
    (record,) = json.loads(outcome.out)
    assert record["preset"] == "glue-sst2"
    planned = json.loads(minform(*arguments, "--dry-run", "--format", "json").out)
    assert [(each["preset"], each["state"]) for each in planned] == [("glue-sst2", "finished")]
    again = minform(*arguments, "--jobs", "1", "--format", "markdown")
    assert again.out.count("| variant ") == 2  # people see both
