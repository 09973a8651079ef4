"""`--json`: the short form of `--format json`, wherever there is a table."""

import json
from pathlib import Path

import pytest
import typer.main

from minform_cli.cli import app
from tests.cli.commands import TINY, Command

COMMANDS = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
TABLES = {"export": "--table"}
"""Where the format of the table is another option than `--format`."""


def options(command: str) -> set[str]:
    return {name for param in COMMANDS[command].params for name in param.opts}


WITH_TABLE = [command for command in COMMANDS if {"--format", "--table"} & options(command)]


def test_every_command_with_a_format_has_the_short_form() -> None:
    assert len(WITH_TABLE) >= 11
    assert [command for command in WITH_TABLE if "--json" not in options(command)] == []
    assert [command for command in COMMANDS if "--json" in options(command) and command not in WITH_TABLE] == []


@pytest.mark.parametrize("command", ["variants", "presets", "studies", "datasets"])
def test_a_list_is_the_same_json_either_way(command: str, minform: Command) -> None:
    short = minform(command, "--json")
    assert short == minform(command, "--format", "json") == minform(command, "--format", "json", "--json")
    assert short.code == 0
    assert json.loads(short.out)


def test_so_are_a_count_of_a_preset_and_the_table_of_a_run_and_of_a_study(minform: Command, tmp_path: Path) -> None:
    assert minform("count", "--json") == minform("count", "--format", "json")
    minform("train", *TINY, "--out", str(tmp_path / "run"), "-q")
    for again in (["eval", str(tmp_path / "run")], ["train", *TINY, "--out", str(tmp_path / "run"), "--resume"]):
        short = minform(*again, "--json")
        assert short.code == 0
        assert json.loads(short.out) == json.loads(minform(*again, "--format", "json").out)


@pytest.mark.parametrize("command", WITH_TABLE)
def test_another_format_beside_it_is_refused_in_one_line(command: str, minform: Command) -> None:
    where = TABLES.get(command, "--format")
    words = [param.name for param in COMMANDS[command].params if param.param_type_name == "argument" and param.required]
    out = ["--out", "x"] if any(param.required and "--out" in param.opts for param in COMMANDS[command].params) else []
    line = minform(command, *words, *out, "--json", where, "csv").refusal
    assert line == f"--json: is {where} json, and {where} says 'csv'; accepted: one of them"


def test_it_stands_beside_the_options_that_take_no_others(minform: Command) -> None:
    assert "has no use beside it" not in minform("count", "--model", "timm", "--json").refusal
    assert "is not a study's folder" in minform("compare", "--from", "nowhere", "--json").refusal
