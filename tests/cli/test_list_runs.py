"""`minform runs`: what lies in a folder, whatever else lies there; and what `--prune` may remove."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import minform_cli
from minform_cli.errors import InputError, MachineError
from minform_cli.files import RunFolder, read_json, write_json
from minform_cli.runs import removal
from minform_cli.runs.folder import RUN
from minform_cli.runs.seal import sealed
from tests.cli.commands import TINY, Command, on_terminal, plain

SETTINGS = [TINY[i + 1] for i, word in enumerate(TINY) if word == "--set"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    minform_cli.train(minform_cli.prepare("debug", "minimal", SETTINGS, seed=3), folder, threads=1)
    return folder


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Iterator[Path]:
    """One run of each kind, one of them held, and what is none."""
    runs = tmp_path / "runs"
    for name in ("damaged", "finished", "nested/deep/interrupted", "running"):
        shutil.copytree(trained, runs / name)
    for name in ("nested/deep/interrupted", "running"):
        RunFolder(runs / name).result.unlink()
    RunFolder(runs / "damaged").result.write_text("{")
    (runs / "link").symlink_to(runs / "nested")
    (runs / "empty").mkdir()
    (runs / "notes.txt").write_text("mine")
    (runs / ".hidden").mkdir()
    shutil.copy(RunFolder(trained).meta, runs / ".hidden")
    with FileLock(runs / "running" / ".lock", timeout=0):
        yield runs


def by_name(records: list[Any], folder: Path) -> dict[str, dict[str, Any]]:
    return {str(Path(record["folder"]).relative_to(folder)): record for record in records}


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_every_run_is_listed_with_its_state_and_what_it_is(place: Path, minform: Command, trained: Path) -> None:
    outcome = minform("runs", str(place), "--json")
    assert (outcome.code, outcome.err) == (0, "")
    records = by_name(json.loads(outcome.out), place)
    states = {name: record["state"] for name, record in records.items()}
    assert states == {
        "damaged": "damaged",
        "finished": "finished",
        "nested/deep/interrupted": "interrupted",
        "running": "running",
    }
    result = read_json(RunFolder(trained).result, "result")
    for name in ("finished", "nested/deep/interrupted", "running"):
        record = records[name]
        assert (record["preset"], record["variant"], record["seed"]) == ("debug", "minimal", 3)
        assert (record["metric"], record["score"]) == ("accuracy", result["metrics"]["val_accuracy"])
        assert record["epochs"] == record["epochs_planned"] == 1
        assert record["size_bytes"] == sum(each.stat().st_size for each in (place / name).iterdir())
        assert record["age_s"] >= 0
        assert record["problem"] is None
    assert "is damaged" in records["damaged"]["problem"]


def test_the_function_returns_what_the_command_prints(place: Path, minform: Command) -> None:
    printed = json.loads(minform("runs", str(place), "--json").out)
    returned = minform_cli.list_runs(place)
    for record in (*printed, *returned):
        del record["age_s"]
    assert returned == printed


@pytest.mark.parametrize("fmt", ["plain", "markdown", "latex", "csv", "rich"])
def test_every_format_has_a_line_for_each(fmt: str, place: Path, minform: Command, monkeypatch: Any) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "200")
    outcome = minform("runs", ".", "--format", fmt)
    assert outcome.code == 0
    for name in ("finished", "interrupted", "running", "damaged"):
        assert name in outcome.out
    assert (": 1 finished, 1 running, 1 interrupted, 1 damaged" in outcome.err) == (fmt != "csv")


def test_on_a_terminal_no_line_is_too_long(place: Path) -> None:
    shown = on_terminal("runs", ".", cwd=place)
    assert shown.code == 0
    table = plain(shown.out).split("4 runs: ")[0]
    assert "interrupted" in table
    assert max(map(len, table.splitlines())) <= 80


def test_a_study_says_how_many_of_its_runs_are_finished(minform: Command, tmp_path: Path) -> None:
    out = tmp_path / "study"
    asked = ["--variant", "baseline", "--variant", "minimal", "--seeds", "1", "--jobs", "1", "--out", str(out)]
    assert minform("compare", *TINY, *asked, "-q").code == 0
    whole = by_name(minform_cli.list_runs(tmp_path), tmp_path)
    assert {name: record["kind"] for name, record in whole.items()} == {
        "study": "study", "study/baseline/seed-0": "run", "study/minimal/seed-0": "run",
    }  # fmt: skip
    assert [whole["study"][key] for key in ("state", "runs_finished", "runs")] == ["finished", 2, 2]

    RunFolder(out / "minimal" / "seed-0").result.unlink()
    half = by_name(minform_cli.list_runs(tmp_path), tmp_path)
    assert [half["study"][key] for key in ("state", "runs_finished", "runs")] == ["interrupted", 1, 2]
    with FileLock(out / "minimal" / "seed-0" / ".lock", timeout=0):
        assert by_name(minform_cli.list_runs(tmp_path), tmp_path)["study"]["state"] == "running"

    assert minform("runs", str(tmp_path), "--prune", "--yes").code == 0
    assert (out / "study.json").is_file(), "the study itself stays"
    assert not (out / "minimal" / "seed-0").exists()
    assert RunFolder(out / "baseline" / "seed-0").is_finished()

    (out / "study.json").write_text("[1]")
    broken = by_name(minform_cli.list_runs(tmp_path), tmp_path)
    assert broken["study"]["state"] == "damaged"
    assert broken["study/baseline/seed-0"]["state"] == "finished"


@pytest.mark.parametrize("content", ["", "[]", '{"format": 3}', "\0", '{"format": 3, "metrics": 7}', "[" * 100_000])
@pytest.mark.parametrize("name", ["run.json", "checkpoint.json", "result.json"])
def test_no_damage_stops_the_listing(name: str, content: str, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "a")
    shutil.copytree(trained, tmp_path / "b")
    if name != "result.json":
        RunFolder(tmp_path / "a").result.unlink()
    (tmp_path / "a" / name).write_text(content)
    states = {name: record["state"] for name, record in by_name(minform_cli.list_runs(tmp_path), tmp_path).items()}
    assert states == {"a": "damaged", "b": "finished"}


def test_a_folder_that_may_not_be_entered_costs_a_line(
    place: Path, minform: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minform_cli.study import listing

    entries = listing._entries

    def shut(folder: Path) -> Any:
        if folder.name == "nested":
            raise PermissionError(13, "Permission denied", str(folder))
        return entries(folder)

    monkeypatch.setattr(listing, "_entries", shut)
    outcome = minform("runs", str(place))
    assert outcome.code == 0
    assert f"{place / 'nested'}: cannot be looked into: Permission denied" in outcome.err
    assert "finished" in outcome.out


def test_where_nothing_lies_that_is_said_and_where_no_folder_is_it_is_refused(minform: Command, tmp_path: Path) -> None:
    outcome = minform("runs", str(tmp_path))
    assert outcome.code == 0
    assert "No run lies here." in outcome.err
    assert json.loads(minform("runs", str(tmp_path), "--json").out) == []
    refusal = minform("runs", str(tmp_path / "nowhere")).refusal
    assert refusal.endswith("nowhere: cannot be looked into: No such file or directory; accepted: a folder with runs")


def test_prune_removes_the_interrupted_run_and_nothing_else(place: Path, minform: Command) -> None:
    before, gone = everything(place), place / "nested" / "deep" / "interrupted"
    outcome = minform("runs", str(place), "--prune", "--yes", "--json")
    assert outcome.code == 0
    assert [(Path(record["folder"]), record["state"]) for record in json.loads(outcome.out)] == [(gone, "removed")]
    assert before - everything(place) == {gone, *(each for each in before if each.parent == gone)}
    again = minform("runs", str(place), "--prune", "--yes")
    assert (again.code, "Nothing to remove" in again.err) == (0, True)


def test_without_a_terminal_and_without_yes_nothing_is_removed(place: Path, minform: Command) -> None:
    before = everything(place)
    line = minform("runs", str(place), "--prune").refusal
    assert line == "--prune: nothing was removed, as there is no terminal to ask on; accepted: --prune --yes"
    assert minform("runs", str(place), "--yes").refusal.startswith("--yes: answers what --prune asks")
    assert everything(place) == before


@pytest.mark.parametrize(("answer", "removed"), [(True, True), (False, False)])
def test_on_a_terminal_it_asks_first(
    answer: bool, removed: bool, place: Path, minform: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda text, err: asked.append(text) or answer)
    before = everything(place)
    outcome = minform("runs", str(place), "--prune")
    assert outcome.code == 0
    assert asked[0].startswith("Remove 1 interrupted run, ")
    assert str(place / "nested" / "deep" / "interrupted") in outcome.err
    assert (everything(place) != before) == removed


@pytest.mark.parametrize("foreign", ["mine.txt", "link", "original", "tensorboard/mine.txt"])
def test_a_run_beside_which_something_else_lies_stays_whole(foreign: str, place: Path, minform: Command) -> None:
    run = place / "nested" / "deep" / "interrupted"
    if foreign == "link":
        (run / foreign).symlink_to(place / "notes.txt")
    elif foreign == "original":
        (run / foreign).mkdir()
    else:
        (run / foreign).parent.mkdir(exist_ok=True)
        (run / foreign).write_text("mine")
    before = everything(place)
    outcome = minform("runs", str(place), "--prune", "--yes")
    assert outcome.code == 0
    assert f"holds what no training wrote ({foreign.partition('/')[0]}); not removed" in outcome.err
    assert everything(place) == before


def test_what_training_wrote_beside_the_weights_goes_too(place: Path) -> None:
    run = place / "nested" / "deep" / "interrupted"
    (run / "tensorboard").mkdir()
    (run / "tensorboard" / "events.out.tfevents.1.host").write_bytes(b"x")
    (run / ".run.json.99.tmp").write_bytes(b"x")
    minform_cli.remove_run(run)
    assert not run.exists()


@pytest.mark.parametrize("name", ["finished", "running", "empty", "link", "link/deep/interrupted"])
def test_only_an_interrupted_run_is_removed_whatever_the_caller_asks(name: str, place: Path) -> None:
    if name == "link/deep/interrupted":
        (place / "nested" / "deep" / "interrupted").rename(place / "moved")
        (place / "nested" / "deep" / "interrupted").symlink_to(place / "moved")
    before = everything(place)
    with pytest.raises(InputError, match="not removed"):
        minform_cli.remove_run(place / name)
    assert everything(place) == before


def test_a_run_that_ends_or_begins_between_look_and_removal_stays(
    place: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = place / "nested" / "deep" / "interrupted"

    class Late(FileLock):
        def acquire(self, *args: Any, **kwargs: Any) -> Any:
            shutil.copy(RunFolder(trained).result, run)
            return super().acquire(*args, **kwargs)

    monkeypatch.setattr(removal, "FileLock", Late)
    with pytest.raises(InputError, match="its run is finished; not removed"):
        minform_cli.remove_run(run)
    assert RunFolder(run).is_finished()


def test_a_removal_that_fails_halfway_leaves_a_run_that_begins_from_its_start(
    place: Path, minform: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = place / "nested" / "deep" / "interrupted"
    unlink = Path.unlink

    def full(path: Path, missing_ok: bool = False) -> None:
        if path.name == "timings.jsonl":
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", full)
    outcome = minform("runs", str(place), "--prune", "--yes")
    assert outcome.code == 4
    assert outcome.err.endswith(f"minform: cannot remove {run}: Permission denied\n")
    left = by_name(minform_cli.list_runs(place), place)["nested/deep/interrupted"]
    assert (left["state"], left["epochs"]) == ("interrupted", 0)
    with pytest.raises(MachineError):
        minform_cli.remove_run(run)
    monkeypatch.undo()
    resumed = minform_cli.prepare("debug", "minimal", SETTINGS, seed=3)
    assert minform_cli.train(resumed, run, resume=True, threads=1)["epochs"] == 1


def test_a_run_of_steps_plans_no_epochs(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    RunFolder(run).result.unlink()
    RunFolder(run).checkpoint.unlink()
    (record,) = minform_cli.list_runs(run)
    assert (record["epochs"], record["epochs_planned"], record["score"]) == (0, 1, None)
    meta = read_json(RunFolder(run).meta, "run")
    meta["config"]["train"]["steps"] = 7
    write_json(
        RunFolder(run).meta, sealed(RUN, {key: meta[key] for key in meta if key not in ("sha256", "kind", "format")})
    )
    (record,) = minform_cli.list_runs(run)
    assert (record["state"], record["epochs"], record["epochs_planned"]) == ("interrupted", 0, None)
