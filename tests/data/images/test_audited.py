"""Hostile archives under strace: nothing is written but to the run's folder and the cache, and nothing is run."""

from __future__ import annotations

import codecs
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.commands import environment
from tests.data.images import test_archive_names as names
from tests.data.images.archives import png, tar_with, zip_with
from tests.data.images.test_bombs import BOMBS
from tests.data.images.test_hostile import ESCAPING, link_in_zip, special
from tests.soak.scale import reached
from tests.waiting import HANGS_S

STRACE = shutil.which("strace")

# Every archive is trained on and counted, as at the command line; what each command ended with is printed.
COMMANDS = """
import sys
from pathlib import Path
from minform_cli.cli import main

runs = Path(sys.argv[1])
for number, archive in enumerate(sys.argv[2:]):
    data = ["--set", "data.name=image-folder", "--set", "data.path=" + archive, "--set", "data.limit=4"]
    data += ["--set", "data.image_size=8", "--set", "train.epochs=1", "--set", "train.warmup_epochs=0"]
    train = ["train", "--device", "cpu", "--threads", "1", "--quiet", "--out", str(runs / str(number))]
    for words in (["count", "--quiet"], train):
        sys.argv = ["minform", *words, "--preset", "debug", *data]
        try:
            main()
        except SystemExit as ended:
            print("ended", words[0], ended.code, flush=True)
"""

CALL = re.compile(r"^\d+ +(\w+)\((.*)$")
TEXT = re.compile(r'(?:(?:AT_FDCWD|\d+)<((?:[^>\\]|\\.)*)>, )?"((?:[^"\\]|\\.)*)"')
CHANGES = {"mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat"}
CHANGES |= {"symlink", "symlinkat", "mknod", "mknodat", "chmod", "fchmodat", "chown", "lchown", "fchownat", "truncate"}
CHANGES |= {"creat", "utime", "utimes", "utimensat", "setxattr", "lsetxattr", "mount", "chroot"}


class Touched(NamedTuple):
    call: str
    path: str


def touched(trace: Path, cwd: Path) -> Iterator[Touched]:
    """What the processes tried to write, make, remove, rename or run, whether they could or not."""
    for line in trace.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        found = CALL.match(line)
        if found is None:
            continue
        call, rest = found.groups()
        opened = call in ("open", "openat", "openat2") and re.search(
            r"O_(WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)", rest
        )
        if not opened and call not in CHANGES and not call.startswith("execve"):
            continue
        texts = TEXT.findall(rest)
        for folder, text in texts[:1] if call.startswith("execve") else texts:
            path = codecs.escape_decode(text.encode())[0].decode("utf-8", "surrogateescape")
            yield Touched(call, os.path.normpath(os.path.join(folder or cwd, path)))  # noqa: PTH118  (links stay links)


def traced(trace: Path, cwd: Path, code: str, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    assert STRACE is not None
    words = [STRACE, "-f", "-y", "-s", "100000", "-e", "trace=%file", "-o", str(trace), sys.executable, "-c", code]
    variables = environment(PYTHONDONTWRITEBYTECODE="1", **changes)
    return subprocess.run(
        [*words, *arguments], env=variables, cwd=cwd, capture_output=True, text=True, timeout=HANGS_S, check=False
    )


def archives(folder: Path) -> list[Path]:
    """The hostile ones of the other tests, each in a place of its own; the last one is as it should be."""

    def place(name: str) -> Path:
        number = sum(1 for _ in folder.iterdir())
        (folder / str(number)).mkdir(parents=True)
        return folder / str(number) / name

    folder.mkdir()
    made: list[Path] = []
    for name in ESCAPING:
        made += [tar_with(place(f"x{end}"), (name, png()), packed=end == ".tar.gz") for end in (".tar", ".tar.gz")]
        made.append(zip_with(place("x.zip"), (name, png())))
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
        for name in ("train/a/9.png", "train/link"):
            made.append(tar_with(place("x.tar"), special(name, kind, "/etc/passwd")))
    made.append(tar_with(place("x.tar"), special("train/a/up", tarfile.SYMTYPE, "../.."), ("train/a/up/e.png", png())))
    made.append(zip_with(place("x.zip"), (link_in_zip("train/a/9.png"), b"/etc/passwd")))
    for name in ("\x1b]0;owned\x07", "line\nbreak", "$(touch owned)", "`touch owned`", "; touch owned"):
        made.append(tar_with(place("x.tar"), (f"train/{name}/1.png", png())))
    for name in names.ESCAPING:
        made += [names.packed(place(f"x.{kind}"), [*names.NAMES, name]) for kind in ("zip", "tar")]
    made += [bomb(place("x").parent) for bomb in BOMBS]
    return [*made, tar_with(place("fine.tar"))]


@pytest.mark.soak
@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
def test_hostile_archives_write_nothing_elsewhere_and_run_nothing(tmp_path: Path) -> None:
    made = archives(tmp_path / "archives")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "archives").rglob("*")}
    for name in ("cwd", "home", "tmp", "runs"):
        (tmp_path / name).mkdir()
    folders = {
        "MINFORM_CACHE": "cache",
        "HOME": "home",
        "TMPDIR": "tmp",
        "TORCHINDUCTOR_CACHE_DIR": "tmp/torchinductor_",
    }
    changes = {name: str(tmp_path / folder) for name, folder in folders.items()}
    cwd, trace = tmp_path / "cwd", tmp_path / "trace"
    assert traced(trace, cwd, COMMANDS, str(tmp_path / "runs" / "usual"), str(made[-1]), **changes).returncode == 0
    usual = {each.path for each in touched(trace, cwd) if each.call.startswith("execve")}
    done = traced(trace, cwd, COMMANDS, str(tmp_path / "runs"), *map(str, made), **changes)
    ends = [line.split() for line in done.stdout.splitlines() if line.startswith("ended")]
    assert len(ends) == 2 * len(made), done.stderr[-2000:]
    assert ends[-2:] == [["ended", "count", "0"], ["ended", "train", "0"]], done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    assert {code for _, _, code in ends} == {"0", "2"}
    calls = list(touched(trace, cwd))
    run = [each for each in calls if each.call.startswith("execve")]
    assert {each.path for each in run} <= usual, run  # Python, and what torch asks for the system's libraries
    assert len(run) <= 3, run
    ours = tuple(f"{tmp_path}/{name}/" for name in ("cache", "runs", "tmp"))
    written = [each for each in calls if each not in run]
    assert sum(each.path.startswith(ours) for each in written) > 20, "the trace shows nothing"
    allowed = ("/dev/null", "/dev/tty", str(tmp_path / "cache"))
    assert [each for each in written if not each.path.startswith(ours) and each.path not in allowed] == []
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "archives").rglob("*")} == before
    assert [*cwd.iterdir(), *(tmp_path / "home").iterdir()] == []
    left = [path for path in (tmp_path / "tmp").rglob("*") if not path.name.startswith("torchinductor_")]
    assert left == []  # of what torch makes as it is imported there is an empty folder
    reached("R6", len(made))


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
def test_the_audit_sees_what_is_written_run_renamed_and_linked(tmp_path: Path) -> None:
    code = """
import os, subprocess
open("evil", "w").close()
os.rename("evil", "worse")
os.symlink("/etc/passwd", "link")
descriptor = os.open("/", os.O_RDONLY)
try:
    os.mkdir("proc/evil\\x1b[2J", dir_fd=descriptor)
except OSError:
    pass
subprocess.run(["/bin/true"])
"""
    assert traced(tmp_path / "trace", tmp_path, code).returncode == 0
    seen = {each.path for each in touched(tmp_path / "trace", tmp_path)}
    assert seen >= {str(tmp_path / name) for name in ("evil", "worse", "link")} | {"/proc/evil\x1b[2J", "/bin/true"}
