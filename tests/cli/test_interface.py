"""The interface as a whole: a change of any command or option is seen here, and completion offers what there is.

After an intended change: ``MINFORM_ACCEPT=1 pytest tests/cli/test_interface.py`` rewrites ``options.txt``.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main

from minform_cli.cli import app
from minform_cli.config.names import preset_names, variant_names
from minform_cli.config.schema import known_keys
from minform_cli.report.formats import FORMATS
from tests.cli.commands import Command

GOLDEN = Path(__file__).with_name("options.txt")


def interface() -> str:
    """Every command with every option or argument: its names, whether it takes a value or repeats, its default."""
    group = typer.main.get_command(app)
    commands = {"": group} | dict(group.commands)  # type: ignore[attr-defined]
    lines: list[str] = []
    for name, command in commands.items():
        for param in command.params:
            kind = "flag" if getattr(param, "is_flag", False) else "repeats" if param.multiple else "value"
            lines.append(f"{name or 'minform':9} {', '.join(param.opts):22} {kind:8} {param.default!r}".rstrip())
    return "\n".join(lines) + "\n"


def test_commands_and_options_are_those_on_the_list() -> None:
    found = interface()
    if os.environ.get("MINFORM_ACCEPT"):
        GOLDEN.write_text(found)
    assert found.splitlines() == GOLDEN.read_text().splitlines()


@pytest.mark.parametrize(
    "promised",
    [
        *(f"count {name}" for name in ("--preset", "--variant", "--set", "--format", "--examples", "--outputs")),
        *(f"train {name}" for name in ("--preset", "--variant", "--set", "--seed", "--device", "--out", "--resume")),
        *(f"train {name}" for name in ("--dry-run", "--quiet", "--format")),
        *(f"eval {name}" for name in ("run", "--split", "--format", "--plot")),
        *(f"export {name}" for name in ("run", "--format", "--normalise", "--checkpoint", "--out")),
        *(f"compare {name}" for name in ("--preset", "--variant", "--seeds", "--jobs", "--format", "--plot", "--out")),
    ],
)
def test_what_is_promised_is_on_the_list(promised: str) -> None:
    command, name = promised.split()
    assert any(
        line.split()[0] == command and name in line.replace(",", " ").split()
        for line in GOLDEN.read_text().splitlines()
    )


Complete = Callable[[str], list[str]]


@pytest.fixture
def offered(minform: Command, monkeypatch: pytest.MonkeyPatch) -> Complete:
    """What completion offers for the last word of a command line."""

    def complete(line: str) -> list[str]:
        monkeypatch.setenv("_MINFORM_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
        return minform().out.split()

    return complete


@pytest.mark.parametrize("command", ["count", "train", "compare"])
def test_completion_offers_presets_and_variants(command: str, offered: Complete) -> None:
    assert offered(f"minform {command} --preset mn") == ["mnist"]
    assert offered(f"minform {command} --preset ") == list(preset_names())
    assert offered(f"minform {command} --variant ") == list(variant_names())
    assert offered(f"minform {command} --variant sym") == [n for n in variant_names() if n.startswith("sym")]


def test_completion_goes_on_after_a_plus(offered: Complete) -> None:
    assert offered("minform train --variant no-mlp+symmetric-c") == ["no-mlp+symmetric-cholesky"]
    assert offered("minform train --variant no-mlp+no-vo+") == [f"no-mlp+no-vo+{name}" for name in variant_names()]


def test_completion_offers_commands_options_keys_and_formats(offered: Complete) -> None:
    assert offered("minform co") == ["count", "compare"]
    assert offered("minform count --va") == ["--variant"]
    assert offered("minform count --set train.e") == [f"{key}=" for key in known_keys() if key.startswith("train.e")]
    assert offered("minform count --format ") == list(FORMATS)
    assert offered("minform count --preset nothing-like-it") == []
