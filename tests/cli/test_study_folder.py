"""A study's folder from the command line: drawn again, extended, timed beforehand, logged while it trains."""

from __future__ import annotations

import csv
import errno
import html
import io
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from scipy import stats

from tests.cli.commands import TINY, Command, process
from tests.training.launching import alone

STUDY = ["compare", *TINY, "--variant", "baseline", "--variant", "minimal", "--jobs", "1", "--device", "cpu"]
FILES = {".lock", "study.json", "details.json", "table.md", "table.tex", "table.csv", "table.json", "report.html"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of two variants and two seeds; tests that change it copy it."""
    out = tmp_path_factory.mktemp("studies") / "study"
    done = alone(out.with_name("process"), [*STUDY, "--seeds", "2", "--out", str(out), "--format", "json"])
    assert done.codes() == [0], done.printed()
    (out / "printed.json").write_text(done.printed("stdout")[0])
    assert "Written to" not in done.printed()[0]  # programs get no captions
    return out


def stamps(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("seed-*/*")}


def test_a_study_ends_with_its_tables_and_its_report(folder: Path) -> None:
    assert {path.name for path in folder.iterdir() if path.is_file()} == FILES | {"printed.json"}
    assert json.loads((folder / "table.json").read_text()) == json.loads((folder / "printed.json").read_text())
    assert (folder / "table.md").read_text().startswith("| variant")
    assert (folder / "table.tex").read_text().startswith(r"\begin{tabular}")
    assert len(list(csv.DictReader(io.StringIO((folder / "table.csv").read_text())))) == 2
    report = (folder / "report.html").read_text()
    assert "minform compare --preset debug" in report
    assert not re.search(r"(src|href)=[\"'](?!data:|#)|@import|url\((?!#)", report), (
        "something is loaded from elsewhere"
    )


def test_the_command_in_the_report_finds_every_run_of_the_study_done(folder: Path, minform: Command) -> None:
    (command,) = re.findall("<pre><code>(.*?)</code></pre>", (folder / "report.html").read_text(), re.DOTALL)
    program, *words = shlex.split(html.unescape(command))
    assert program == "minform"
    outcome = minform(*words, "--out", str(folder), "--dry-run", "--format", "json")
    assert [run["state"] for run in json.loads(outcome.out)] == ["finished"] * 4


def test_from_prints_the_same_records_and_touches_no_run(folder: Path, minform: Command) -> None:
    before = stamps(folder)
    again = minform("compare", "--from", str(folder), "--format", "json")
    assert json.loads(again.out) == json.loads((folder / "printed.json").read_text())
    assert stamps(folder) == before
    other = json.loads(minform("compare", "--from", str(folder), "--against", "minimal", "--format", "json").out)
    assert [record["difference_mean"] for record in other] == [-json.loads(again.out)[1]["difference_mean"], None]
    assert "difference to minimal in" in minform("compare", "--from", str(folder), "--against", "minimal").err
    assert "did you mean 'minimal'" in minform("compare", "--from", str(folder), "--against", "minimla").refusal
    table = minform("compare", "--from", str(folder), "--margin", "50")
    assert table.code == 0 and "not worse" in table.out.splitlines()[0]
    assert "Written to" in table.err and "report.html" in table.err


def test_power_takes_the_deviation_of_a_studys_own_paired_differences(folder: Path, minform: Command) -> None:
    low, mean = (
        json.loads(minform("compare", "--from", str(folder), "--format", "json").out)[1][f"difference_{end}"]
        for end in ("low", "mean")
    )
    outcome = minform("power", "--from", str(folder), "--difference", "5", "--format", "json")
    # Of two pairs: the half of the interval is t times the deviation over the root of 2.
    expected = 100 * (mean - low) / stats.t.ppf(0.975, 1) * 2**0.5
    assert json.loads(outcome.out)[0]["std"] == pytest.approx(expected, rel=1e-9)
    told = minform("power", "--from", str(folder), "--difference", "5").err
    assert f"minimal: 2 pairs, deviation {expected:.3g} [" in told
    refusal = minform("power", "--from", str(folder), "--difference", "5", "--against", "minimla").refusal
    assert refusal.startswith("--against: unknown variant 'minimla'; did you mean 'minimal'?")


def test_what_is_written_is_what_is_printed_whatever_differences_refer_to(
    folder: Path, minform: Command, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    asked = ["--against", "minimal", "--margin", "2.5"]
    for command in (["compare", "--from", str(copy)], [*STUDY, "--seeds", "2", "--out", str(copy)]):
        for name in ("table.md", "table.tex", "table.csv", "table.json", "report.html"):
            (copy / name).unlink()
        printed = minform(*command, *asked, "--format", "json").out
        assert (copy / "table.json").read_text() == printed
        assert {record["reference"] for record in json.loads(printed)} == {"minimal"}
        for suffix, fmt in (("md", "markdown"), ("tex", "latex"), ("csv", "csv")):
            assert (copy / f"table.{suffix}").read_text() == minform(*command, *asked, "--format", fmt).out
        report = html.unescape((copy / "report.html").read_text())
        assert "differs from minimal's by" in report and "Differences to minimal" in report
        assert "than minimal by more than 2.5 points" in report and "the baseline by more" not in report
        assert "--seeds 2 --margin 2.5 --against minimal</code>" in report


@pytest.mark.parametrize("quiet", [[], ["--quiet"]], ids=["", "quiet"])
def test_pictures_that_fail_cost_neither_tables_nor_report_nor_exit_code(
    quiet: list[str], folder: Path, minform: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for name in ("table.md", "report.html"):
        (copy / name).unlink()
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    picture = tmp_path / "picture.png"
    outcome = minform("compare", "--from", str(copy), "--format", "markdown", "--plot", str(picture), *quiet)
    assert outcome.code == 0 and not picture.exists()
    assert (copy / "table.md").read_text() == outcome.out
    assert "Pictures are missing: " in (copy / "report.html").read_text()
    said = [line for line in outcome.err.splitlines() if "No space left" in line]
    assert said[0] == f"minform: {picture} cannot be drawn: [Errno 28] No space left on device"
    assert len(said) == (1 if quiet else 2) and "Drawn to" not in outcome.err  # the other one is of the report's


def test_a_notebook_s_variables_cost_nothing(folder: Path, tmp_path: Path) -> None:
    copy, picture = tmp_path / "copy", tmp_path / "picture.png"
    shutil.copytree(folder, copy)
    (copy / "report.html").unlink()
    backend = "module://matplotlib_inline_that_is_missing.backend_inline"
    done = process("compare", "--from", str(copy), "--plot", str(picture), MPLBACKEND=backend, MPLCONFIGDIR="/proc/x")
    assert done.code == 0, done.err
    assert picture.is_file() and (copy / "report.html").read_text().count("<svg") == 4
    assert "matplotlib" not in done.err.lower()


def test_a_log_that_fails_costs_the_log_and_is_said_once(
    minform: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter.add_scalar", fail)
    outcome = minform("train", *TINY, "--out", str(tmp_path / "run"), "--log", "tensorboard", "-q")
    assert outcome.code == 0
    assert outcome.err == "minform: --log tensorboard ends here: [Errno 28] No space left on device\n"


def test_a_study_is_extended_and_from_shows_all_of_it(folder: Path, minform: Command, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    before = stamps(copy)
    more = minform("compare", *TINY, "--variant", "no-mlp", "--seeds", "1", "--jobs", "1", "--out", str(copy))
    assert more.code == 0, more.err
    assert {path: time for path, time in stamps(copy).items() if path in before} == before
    shown = json.loads(minform("compare", "--from", str(copy), "--format", "json").out)
    assert [(record["variant"], record["num_seeds"]) for record in shown] == [
        ("baseline", 2),
        ("minimal", 2),
        ("no-mlp", 1),
    ]
    assert shown[2]["difference_mean"] is not None  # over the seed that both have
    other = minform(*STUDY, "--set", "train.batch_size=20", "--out", str(copy))
    assert "train.batch_size is" in other.refusal


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "2"], "--from: reads what is there, and --seeds has no use beside it"),
        (["--dry-run"], "--from: reads what is there, and --dry-run has no use beside it"),
        (["--variant", "minimal"], "--variant has no use beside it"),
        (["--set", "model.dim=32"], "--set has no use beside it"),
        (["--log", "tensorboard"], "--log has no use beside it"),
    ],
)
def test_from_refuses_what_would_need_training(
    arguments: list[str], message: str, folder: Path, minform: Command
) -> None:
    assert message in minform("compare", "--from", str(folder), *arguments).refusal


def test_from_refuses_what_is_no_study(minform: Command, tmp_path: Path) -> None:
    assert "is not a study's folder: it has no study.json" in minform("compare", "--from", str(tmp_path)).refusal
    assert "is not a study's folder" in minform("compare", "--from", str(tmp_path / "none")).refusal


def test_a_dry_run_says_how_long_each_run_will_take(folder: Path, minform: Command) -> None:
    given = [*STUDY, "--seeds", "3", "--out", str(folder), "--dry-run"]
    records = json.loads(minform(*given, "--format", "json").out)
    assert [record["seconds"] > 0 for record in records] == [False, False, True, False, False, True]
    outcome = minform(*given)
    assert "time left" in outcome.out.splitlines()[0]
    assert "one after another" in outcome.err and "timing baseline, seed 2" in outcome.err


def test_runs_are_logged_for_tensorboard(minform: Command, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "run"
    trained = minform("train", *TINY, "--out", str(out), "--log", "tensorboard", "--format", "json")
    (result,) = json.loads(trained.out)
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    (last,) = events.Scalars("val_accuracy")
    assert last.step == result["steps"]
    assert last.value == pytest.approx(result["metrics"]["val_accuracy"], rel=1e-6)  # kept as float32
    assert minform("train", *TINY, "--out", str(out), "--resume").code == 0

    study = tmp_path / "study"
    assert minform(*STUDY, "--seeds", "1", "--out", str(study), "--log", "tensorboard").code == 0
    assert len(list(study.glob("*/seed-0/tensorboard"))) == 2


def test_an_unknown_log_is_refused(minform: Command, tmp_path: Path) -> None:
    refusal = minform("train", *TINY, "--out", str(tmp_path / "run"), "--log", "tensorbord").refusal
    assert "--log" in refusal and "tensorboard" in refusal
    assert not (tmp_path / "run").exists()
