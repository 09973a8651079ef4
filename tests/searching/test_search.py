"""A search: its budget, its trials, what it never reads, what a stop costs, and what it ends with."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from minform_cli.api import SearchOptions, list_runs, search
from minform_cli.config.presets import resolve
from minform_cli.counting.count import count_config
from minform_cli.data.source import opened
from minform_cli.errors import InputError
from minform_cli.report.records import SearchRecord
from minform_cli.searching.options import seconds_of
from minform_cli.searching.run import plan_search
from minform_cli.searching.trial import read_trial
from minform_cli.training import run as run_module
from tests.cli.commands import Command, environment
from tests.waiting import HANGS_S, until

pytest.importorskip("optuna")

SETTINGS = ("data.limit=96", "model.depth=2", "train.epochs=3", "train.batch_size=32", "train.warmup_epochs=0")
AXES = ("similarity=separate,tied,identity-query", "mlp=gelu,none,swiglu", "order=sequential,shared")
SIZES = ("model.dim=8,16,32", "train.learning_rate=1e-3,1e-2")


def options(out: Path, **others: Any) -> SearchOptions:
    asked = {"budget": "8%", "trials": 5, "jobs": 1, "threads": 1, "axes": AXES, "sizes": SIZES, "settings": SETTINGS}
    return SearchOptions(**{**asked, "out": out, **others})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SearchRecord]:
    out = tmp_path_factory.mktemp("searched") / "search"
    return out, search(options(out))


def came_to(out: Path) -> list[Any]:
    """Of each trial: what was chosen, what it came to, and its metrics to the byte."""
    return [
        (json.loads(choice.read_text()), read_trial(choice.with_suffix("")), metrics.read_bytes())
        for choice in sorted((out / "trials").glob("*.json"))
        if (metrics := choice.with_suffix("") / "metrics.jsonl").is_file()
    ]


def test_every_trial_fits_the_budget_and_was_built_as_it_was_counted(done: tuple[Path, SearchRecord]) -> None:
    record = done[1]
    baseline = resolve("digits", "baseline", SETTINGS).config
    whole = count_config(baseline, opened(baseline.data).spec)["parameters"]
    assert record["baseline_parameters"] == whole
    assert record["limit"] == int(0.08 * whole)
    assert len(record["trials"]) == 5
    for trial in record["trials"]:
        assert trial["parameters"] <= record["limit"]
        chosen = [f"{key}={json.dumps(value)}" for key, value in trial["chosen"].items()]
        config = resolve("digits", "baseline", [*SETTINGS, *chosen]).config
        assert count_config(config, opened(config.data).spec)["parameters"] == trial["parameters"]


def test_trials_that_have_ended_are_listed_as_such_and_not_as_runs_to_go_on_with(
    done: tuple[Path, SearchRecord],
) -> None:
    assert {run["state"] for run in list_runs(done[0])} == {"trial"}


def test_no_two_trials_are_of_one_model(done: tuple[Path, SearchRecord]) -> None:
    chosen = [json.dumps(trial["chosen"], sort_keys=True) for trial in done[1]["trials"]]
    assert len(set(chosen)) == len(chosen)


def test_trials_are_stored_runs_whose_test_set_was_never_read(
    tmp_path: Path, done: tuple[Path, SearchRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    for trial in done[1]["trials"]:
        folder = Path(trial["folder"])
        assert (folder / "run.json").is_file()
        assert (folder / "checkpoint.json").is_file()
        assert not (folder / "result.json").exists()

    def read(*_: object) -> None:
        raise AssertionError("the test set was read")

    monkeypatch.setattr(run_module, "tested", read)
    search(options(tmp_path / "search", trials=1))


def test_only_some_go_on_to_the_last_epoch_and_the_others_are_saved_where_they_stopped(
    done: tuple[Path, SearchRecord],
) -> None:
    _, record = done
    trained = [trial for trial in record["trials"] if trial["state"] == "trained"]
    stopped = [trial for trial in record["trials"] if trial["state"] == "stopped"]
    assert trained and stopped
    assert {trial["epochs"] for trial in trained} == {3}
    assert {trial["epochs"] for trial in stopped} == {1}
    for trial in stopped:
        lines = (Path(trial["folder"]) / "metrics.jsonl").read_text().splitlines()
        assert len(lines) == 1


def test_the_front_is_of_trained_trials_that_none_beats(done: tuple[Path, SearchRecord]) -> None:
    front = sorted((trial for trial in done[1]["trials"] if trial["front"]), key=lambda trial: trial["parameters"])
    assert front
    for smaller, larger in pairwise(front):
        assert (larger["score"] or 0) > (smaller["score"] or 0) or larger["parameters"] == smaller["parameters"]
    assert max(trial["score"] or 0 for trial in done[1]["trials"] if trial["state"] == "trained") == front[-1]["score"]


def test_the_winner_is_a_variant_that_counts_and_the_proof_is_a_study_on_other_seeds(
    done: tuple[Path, SearchRecord], minform: Command, tmp_path: Path
) -> None:
    out, record = done
    won = next(trial for trial in record["trials"] if trial["trial"] == record["winner"])
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    counted = minform("count", "--variant", str(out / "winner.yaml"), *settings, "--format", "json")
    assert json.loads(counted.out)[-1]["parameters"] == won["parameters"]
    program, *words = shlex.split(record["proof"] or "")
    assert program == "minform"
    planned = minform(*words, "--out", str(tmp_path / "proof"), "--dry-run", "--format", "json")
    runs = json.loads(planned.out)
    assert {run["seed"] for run in runs} == set(range(5))
    assert record["seed"] not in range(5)
    assert {run["parameters"] for run in runs} == {won["parameters"], record["baseline_parameters"]}


@pytest.mark.slow
def test_a_search_that_was_killed_comes_to_what_an_undisturbed_one_does(
    tmp_path: Path, done: tuple[Path, SearchRecord]
) -> None:
    out = tmp_path / "search"
    command = [sys.executable, "-m", "minform_cli", *shlex.split(done[1]["command"])[1:]]
    command[command.index("--out") + 1] = str(out)
    command += ["--jobs", "1", "--threads", "1", "--quiet"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL) as process:
        until((out / "trials" / "0001" / "run.json").exists, "the second trial")
        process.send_signal(signal.SIGKILL)
        process.wait(HANGS_S)
    subprocess.run(command, env=environment(), check=True, stdout=subprocess.DEVNULL)
    assert came_to(out) == came_to(done[0])


@pytest.mark.slow
def test_two_commands_in_one_folder_share_the_trials_and_both_see_all(tmp_path: Path) -> None:
    out = tmp_path / "search"
    words = [word for option, texts in (("--axis", AXES), ("--size", SIZES), ("--set", SETTINGS)) for text in texts
             for word in (option, text)]  # fmt: skip
    command = [sys.executable, "-m", "minform_cli", "search", "--budget", "8%", "--trials", "5", *words]
    command += ["--jobs", "1", "--threads", "1", "--format", "json", "--out", str(out)]
    both = [subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=HANGS_S)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    for text in said:
        (record,) = json.loads(text)
        assert [trial["trial"] for trial in record["trials"]] == list(range(5))
        assert {trial["state"] for trial in record["trials"]} <= {"trained", "stopped"}


def test_processes_side_by_side_do_as_many_trials(tmp_path: Path) -> None:
    record = search(options(tmp_path / "search", jobs=2, trials=3))
    assert [trial["trial"] for trial in record["trials"]] == [0, 1, 2]


def test_more_trials_go_on_from_those_that_are_there(tmp_path: Path, done: tuple[Path, SearchRecord]) -> None:
    out = tmp_path / "search"
    search(options(out, trials=2))
    before = came_to(out)
    search(options(out, trials=5))
    assert came_to(out)[:2] == before
    assert came_to(out) == came_to(done[0])


def test_a_small_space_ends_when_all_of_it_was_tried(tmp_path: Path) -> None:
    asked = options(tmp_path / "search", axes=["similarity=tied,separate"], sizes=["model.dim=8,16"], trials=50)
    assert len(search(asked)["trials"]) == 4


def test_settings_that_make_no_run_together_are_not_tried_and_each_may_be_with_others(tmp_path: Path) -> None:
    """A momentum is for SGD, and the preset's optimiser has none."""
    sizes = ["train.optimizer=adamw,sgd", "train.momentum=0.8,0.9", "model.dim=8,16"]
    space = plan_search(options(tmp_path / "search", sizes=sizes)).space
    points = [point for point in space.all_points() if space.parameters(point) is not None]
    assert {p["train.optimizer"] for p in points} == {"adamw", "sgd"}
    assert {p["train.optimizer"] for p in points if space.fits(p)} == {"sgd"}


def test_a_value_that_goes_with_nothing_is_refused_with_what_is_wrong_with_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--size: train\.batch_size"):
        plan_search(options(tmp_path / "search", sizes=["train.batch_size=-1,32"], settings=SETTINGS[:2]))


def test_no_trial_is_begun_after_the_time(tmp_path: Path) -> None:
    assert search(options(tmp_path / "search", time_s=1e-9))["trials"] == []


def test_the_report_needs_nothing_from_outside_and_names_front_losers_and_proof(
    done: tuple[Path, SearchRecord],
) -> None:
    out, record = done
    page = (out / "report.html").read_text()
    for part in ("The front", "Stopped before", "The proof", "<svg", "What mattered"):
        assert part in page
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page
    assert sum(record["importance"].values()) == pytest.approx(1)


def test_a_name_in_the_report_is_escaped(tmp_path: Path, done: tuple[Path, SearchRecord]) -> None:
    from minform_cli.report.search_html import search_html

    record = done[1].copy()
    record["preset"] = "<script>alert(1)</script>"
    assert "<script>alert" not in search_html(record)


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"budget": "0.01%"}, "no combination has"),
        ({"budget": "much"}, "--budget 'much'"),
        ({"axes": ["similarty=tied"]}, "did you mean 'similarity'"),
        ({"axes": ["similarity=tyed"]}, "did you mean 'tied'"),
        ({"axes": ["similarity=tied,tied"]}, "listed twice"),
        ({"sizes": ["data.limit=10,20"]}, "cannot be swept"),
        ({"sizes": ["model.dim"]}, "expected key=value,value"),
        ({"settings": ["model.dim=8"]}, "is searched, too"),
        ({"settings": ["data.validation=test"]}, "validates on its test set"),
        ({"seed": -1}, "--seed"),
        ({"trials": 0}, "--trials"),
        ({"engine": "slurm"}, "unknown engine"),
        ({"address": "auto"}, "has no meaning without --engine ray"),
        ({"engine": "ray", "jobs": 2}, "--jobs 2"),
    ],
)
def test_what_makes_no_search_is_refused_in_a_line_and_nothing_is_written(
    tmp_path: Path, others: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said.replace("(", r"\(")):
        plan_search(options(tmp_path / "search", **others))
    assert not (tmp_path / "search").exists()


def test_another_search_or_other_files_in_the_folder_are_left_alone(
    tmp_path: Path, done: tuple[Path, SearchRecord]
) -> None:
    with pytest.raises(InputError, match="is another search: seed is 1000000 there and 7 here"):
        plan_search(options(done[0], seed=7))
    with pytest.raises(InputError, match=r"is another search: train\.epochs"):
        plan_search(options(done[0], settings=[*SETTINGS[:2], "train.epochs=4", *SETTINGS[3:]]))
    (tmp_path / "thesis.txt").write_text("a year's work")
    with pytest.raises(InputError, match="is not empty and holds no search"):
        plan_search(options(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_damaged_trial_is_named(tmp_path: Path) -> None:
    out = tmp_path / "search"
    search(options(out, trials=1))
    path = out / "trials" / "0000" / "trial.json"
    path.write_text(path.read_text().replace('"epochs": 3', '"epochs": 2'))
    with pytest.raises(InputError, match=r"trial\.json is damaged"):
        search(options(out, trials=2))


def test_without_optuna_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minform_cli.searching.options.importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'minform\[search\]'"):
        plan_search(options(tmp_path / "search"))


@pytest.mark.parametrize(
    ("text", "seconds"), [("3h", 10800), ("1h30m", 5400), ("45m", 2700), ("90s", 90), ("20", 20), ("2d", 172800)]
)
def test_times_are_read(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "three hours", "-3h", "0s", "1.5h", "3h 2"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected a length of time"):
        seconds_of(text)
