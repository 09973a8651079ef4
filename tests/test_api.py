"""The Python API returns the records that the commands print."""

import dataclasses
import inspect
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

import minform_cli
from minform_cli import api
from minform_cli.errors import InputError
from minform_cli.study import folders
from tests.cli.commands import TINY, Command

SETTINGS = [TINY[i + 1] for i, word in enumerate(TINY) if word == "--set"]


def printed(outcome_of: Command, *arguments: str) -> list[dict[str, object]]:
    return json.loads(outcome_of(*arguments, "--format", "json").out)


def without_times(record: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in record.items() if key != "timing"}


def test_count_returns_what_the_command_prints(minform: Command) -> None:
    assert printed(minform, "count") == minform_cli.count()
    given = [
        "count",
        *TINY,
        "--variant",
        "minimal",
        "--variant",
        "no-mlp+symmetric",
        "--examples",
        "7",
        "--outputs",
        "3",
    ]
    assert printed(minform, *given) == minform_cli.count(
        "debug", ["minimal", "no-mlp+symmetric"], SETTINGS, examples=7, outputs=3
    )


def test_train_and_evaluate_return_what_the_commands_print(minform: Command, tmp_path: Path) -> None:
    arguments = ["--variant", "minimal", "--seed", "3", "--device", "cpu", "--threads", "1"]
    (by_command,) = printed(minform, "train", *TINY, *arguments, "--out", str(tmp_path / "command"))
    run = minform_cli.prepare("debug", "minimal", SETTINGS, seed=3)
    by_function = minform_cli.train(run, tmp_path / "function", device="cpu", threads=1)
    assert without_times(by_command) == without_times(by_function) | {"folder": str(tmp_path / "command")}

    evaluation = minform_cli.evaluate(tmp_path / "function", "test", checkpoint="best", device="cpu", threads=1)
    given = ["eval", str(tmp_path / "function"), "--split", "test", "--checkpoint", "best", "--device", "cpu"]
    (with_interval,) = printed(minform, *given, "--threads", "1")
    assert {key: with_interval[key] for key in evaluation} == evaluation
    assert set(with_interval) - set(evaluation) == {"accuracy_low", "accuracy_high", "confidence"}
    assert minform_cli.evaluate(str(tmp_path / "function"), threads=1)["split"] == "val"


def test_compare_returns_what_the_command_prints(minform: Command, tmp_path: Path) -> None:
    options = minform_cli.StudyOptions(
        preset="debug", variants=["baseline", "minimal"], settings=SETTINGS, seeds=1, out=tmp_path, jobs=1,
        device="cpu", threads=1,
    )  # fmt: skip
    records = minform_cli.compare(options)
    given = ["compare", *TINY, "--variant", "baseline", "--variant", "minimal", "--seeds", "1", "--out", str(tmp_path)]
    assert printed(minform, *given) == records  # the same runs, taken as they are


def test_the_functions_hear_of_progress(tmp_path: Path) -> None:
    heard: list[str] = []
    run = minform_cli.prepare("debug", settings=SETTINGS)
    minform_cli.train(run, tmp_path, threads=1, on_progress=lambda news: heard.append(news.kind))
    assert set(heard) >= {"note", "epoch", "done"}
    assert heard[-1] == "done"


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    minform_cli.train(minform_cli.prepare("debug", settings=SETTINGS), tmp_path / "run", threads=1)
    minform_cli.evaluate(tmp_path / "run", threads=1)
    minform_cli.count("debug")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: minform_cli.count("mnits"), "--preset: unknown preset 'mnits'; did you mean 'mnist'?"),
        (
            lambda: minform_cli.count(variants=["minimul"]),
            "--variant: unknown variant 'minimul'; did you mean 'minimal'?",
        ),
        (lambda: minform_cli.count(settings=["model.dim=0"]), "--set: model.dim: should be greater than or equal to 1"),
        (
            lambda: minform_cli.train(minform_cli.prepare(), device="gpu"),
            "--device: unknown device 'gpu'; did you mean 'cpu'?",
        ),
        (lambda: minform_cli.train("debug"), "train takes what prepare(...) makes, not 'debug'"),  # type: ignore[arg-type]
        (lambda: minform_cli.compare("debug"), "compare takes what StudyOptions(...) makes, not 'debug'"),  # type: ignore[arg-type]
        (
            lambda: minform_cli.train(minform_cli.prepare(), threads=100_000),
            "--threads: expected 1 to 1,024, not 100,000",
        ),
        (lambda: minform_cli.prepare(seed=-1), "--seed: should be greater than or equal to 0, not -1"),
        (lambda: minform_cli.evaluate("nowhere"), "nowhere is not a run folder"),
        (lambda: minform_cli.evaluate("nowhere", "tset"), "--split: unknown split 'tset'; did you mean 'test'?"),
        (lambda: minform_cli.StudyOptions(seeds=0), "--seeds: expected 1 or more, not 0"),
        (lambda: minform_cli.StudyOptions(margin=1.5), "--margin: expected 0 to 100 points, not 150"),
        (lambda: minform_cli.SearchOptions(trials=0), "--trials: expected 1 or more, not 0"),
        (lambda: minform_cli.TableOptions(path="x", columns={"sede": "a"}), "--columns: unknown role 'sede'; did you"),
        (lambda: minform_cli.compare_table("x.csv"), "compare_table takes what TableOptions(...) makes, not"),  # type: ignore[arg-type]
        (lambda: minform_cli.ReduceOptions(), "reduce: nothing says how much; accepted: --budget 50%"),
        (lambda: minform_cli.ReduceOptions(exact=True, budgets=["5%"]), "--exact and --budget: a run is reduced in"),
        (
            lambda: minform_cli.reduce("nowhere", "x", minform_cli.ReduceOptions(exact=True)),
            "reduce nowhere: is no run folder",
        ),
        (
            lambda: minform_cli.compare(minform_cli.StudyOptions(device="tpu", out="nowhere")),
            "--device: unknown device 'tpu'",
        ),
    ],
)
def test_a_mistake_raises_our_error_with_the_same_line(call: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        call()  # type: ignore[operator]
    assert str(caught.value).startswith(message)


def test_what_is_public_is_named_and_explained() -> None:
    assert set(minform_cli.__all__) == {
        "PowerOptions",
        "ReduceOptions",
        "SearchOptions",
        "StudyOptions",
        "TableOptions",
        "__version__",
        "count",
        "count_model",
        "doctor",
        "layers",
        "prepare",
        "train",
        "evaluate",
        "export",
        "import_model",
        "load",
        "power",
        "compare",
        "compare_table",
        "redraw",
        "reduce",
        "list_runs",
        "remove_run",
        "schema",
        "search",
    }
    for name in (
        "count",
        "prepare",
        "train",
        "evaluate",
        "export",
        "load",
        "compare",
        "compare_table",
        "power",
        "reduce",
        "list_runs",
        "remove_run",
        "schema",
        "doctor",
        "search",
    ):
        function = getattr(minform_cli, name)
        assert function is getattr(api, name)
        doc = inspect.getdoc(function) or ""
        for parameter in inspect.signature(function).parameters:
            assert parameter in doc, (name, parameter)
    for asked in (
        minform_cli.StudyOptions,
        minform_cli.SearchOptions,
        minform_cli.PowerOptions,
        minform_cli.TableOptions,
    ):
        for option in dataclasses.fields(asked):
            assert option.name in (inspect.getdoc(asked) or ""), option.name


@pytest.mark.parametrize(
    ("name", "file_name"),
    [
        ("minimal", "minimal"),
        ("no-mlp+symmetric", "no-mlp+symmetric"),
        ("a/b/mine.yaml", "mine"),
        ("no-mlp+./x y.yaml", "x_y"),
        ("ü\x1b[31m", "ü__31m"),
    ],
)
def test_a_name_is_made_fit_for_a_file_name(name: str, file_name: str) -> None:
    assert folders.file_name(name) == file_name
