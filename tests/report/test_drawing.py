"""Whatever the environment says of matplotlib, pictures are the same files; what fails is one line."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure

from minform_cli.errors import InputError, MachineError
from minform_cli.report import drawing
from minform_cli.report.curves import plot_counts
from minform_cli.report.plots import plot_compare, plot_confusion
from tests.cli.commands import environment
from tests.report.records import compare_record, count_record, evaluation_record
from tests.waiting import HANGS_S

DRAW = """
import sys
from pathlib import Path
from minform_cli.report.plots import plot_compare
from tests.report.records import compare_record
plot_compare([compare_record(i) for i in range(3)], Path(sys.argv[1]), "caption")
"""
PLAIN = {"MPLBACKEND": "", "MATPLOTLIBRC": "", "MPLCONFIGDIR": ""}


@pytest.mark.parametrize(
    ("changes", "settings"),
    [
        (
            {"MPLBACKEND": "module://matplotlib_inline_that_is_missing", "MPLCONFIGDIR": "/proc/absent"},
            b"text.usetex: True\nfont.family: no such font\naxes.linewidth: thick\nno colon\nbackend: nonsense\n",
        ),
        ({"MPLBACKEND": "nonsense"}, b"\xff\xfe no text"),
        ({"MPLBACKEND": "qtagg"}, b"figure.dpi: 7\nsvg.fonttype: none\n"),
    ],
    ids=["a notebook's backend, LaTeX, an unknown font", "undecodable settings", "a window's backend, another style"],
)
def test_the_environment_changes_neither_the_picture_nor_what_is_said(
    changes: dict[str, str], settings: bytes, tmp_path: Path
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "matplotlibrc").write_bytes(settings)
    variables = environment(**PLAIN | {"MATPLOTLIBRC": str(tmp_path / "config")} | changes)
    command = [sys.executable, "-c", DRAW, str(tmp_path / "a.svg")]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=HANGS_S, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    plot_compare([compare_record(i) for i in range(3)], tmp_path / "b.svg", "caption")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_user_s_own_style_neither_changes_the_picture_nor_is_lost(tmp_path: Path) -> None:
    plot_counts([count_record(0)], tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 33, "text.usetex": True, "axes.facecolor": "black"}):
        plot_counts([count_record(0)], tmp_path / "b.png")
        assert (matplotlib.rcParams["font.size"], matplotlib.rcParams["text.usetex"]) == (33, True)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (RuntimeError("first line\nsecond line"), "cannot be drawn: first line"),
        (MemoryError(), "cannot be drawn: MemoryError"),
    ],
)
def test_a_picture_that_fails_is_one_line_and_leaves_no_file(
    failure: Exception, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(Figure, "savefig", fail)
    path = tmp_path / "a.png"
    for draw in (
        lambda: plot_compare([compare_record(0)], path),
        lambda: plot_counts([count_record(0)], path),
        lambda: plot_confusion(evaluation_record(2), path),
    ):
        with pytest.raises(MachineError) as caught:
            draw()
        assert str(caught.value).startswith(f"{path} cannot be drawn: ") and str(caught.value).endswith(reason)
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_of_the_user_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="wrong"), drawing.drawing("a picture"):
        raise InputError("wrong")
