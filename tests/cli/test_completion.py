"""Completion as the shells have it: their own functions, made of what `minform --show-completion` prints."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from minform_cli.config.names import preset_names, study_names, variant_names
from minform_cli.study.json_schema import KINDS
from tests.cli.commands import environment
from tests.waiting import HANGS_S

SCRIPTS = {
    # What the shell itself does at a tab: the words so far, and the function that was named for the command.
    "bash": """
        eval "$(_MINFORM_COMPLETE=source_bash minform)"
        read -r -a COMP_WORDS <<< "$LINE"; [[ "$LINE" == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
        named=$(complete -p minform); named=${named##*-F }; ${named% minform} minform
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "zsh": """
        compdef() { named=$1 }
        _files() { }
        _arguments() { print -r -- "$@" }
        eval "$(_MINFORM_COMPLETE=source_zsh minform)"
        words=(${(s: :)LINE}); [[ "$LINE" == *" " ]] && words+=("")
        CURRENT=${#words}
        $named
    """,
}


@pytest.fixture(params=SCRIPTS)
def shell(request: pytest.FixtureRequest) -> str:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


def offered(shell: str, line: str, folder: Path) -> str:
    """What the shell offers for the last word of `line`."""
    command = folder / "minform"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m minform_cli "$@"\n')
    command.chmod(0o755)
    done = subprocess.run(
        [shell, "-c", SCRIPTS[shell]],
        capture_output=True,
        text=True,
        env=environment(LINE=line, PATH=f"{folder}{os.pathsep}{os.environ['PATH']}"),
        cwd=folder,
        timeout=HANGS_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def names(shell: str, shown: str) -> list[str]:
    """The names in what a shell offers: one a line, or each in quotes, with its help behind a colon."""
    if shell == "bash":
        return shown.split()
    inside = shown.partition("((")[2].rpartition("))")[0]
    return re.findall(r'"([^"]*)"(?::"[^"]*")?', inside)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("minform co", ["count", "compare"]),
        ("minform do", ["doctor"]),
        ("minform count --va", ["--variant"]),
        ("minform runs --pr", ["--prune"]),
        ("minform count --preset mn", [name for name in preset_names() if name.startswith("mn")]),
        ("minform count --preset ", list(preset_names())),
        ("minform train --variant sym", [name for name in variant_names() if name.startswith("sym")]),
        ("minform train --variant no-mlp+no-v", ["no-mlp+no-vo"]),
        ("minform compare --study ", list(study_names())),
        ("minform schema ", list(KINDS)),
        ("minform count --preset nothing-like-it", []),
    ],
)
def test_a_shell_offers_commands_options_and_names(shell: str, line: str, expected: list[str], tmp_path: Path) -> None:
    shown = offered(shell, line, tmp_path)
    assert [name for name in names(shell, shown) if name] == expected


def test_the_script_that_is_shown_is_that_of_the_shell_that_asks(shell: str, tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m minform_cli --show-completion"
    done = subprocess.run(
        [shell, "-c", f"{command}; true"],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=tmp_path,
        timeout=HANGS_S,
        check=False,
    )
    assert done.stderr == ""
    assert "_minform_completion" in done.stdout
    assert {"bash": "complete -o default -F", "zsh": "#compdef minform"}[shell] in done.stdout
