"""`minform doctor`: whatever is wrong with a machine is a line, and the exit code says whether it can work."""

import errno
import importlib
import importlib.metadata
import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import minform_cli
from minform_cli.cli import console
from minform_cli.diagnosis import disk, hardware, software
from minform_cli.diagnosis.records import FindingRecord
from tests.cli.commands import ROOT, Command

SECTIONS = [
    "versions", "devices", "cores", "memory", "matrix product", "compiler", "folder", "cache", "data", "extras",
]  # fmt: skip
CHECKS = [
    (software, "versions"), (hardware, "devices"), (hardware, "cores"), (hardware, "memory"), (hardware, "matmul"),
    (software, "compiler"), (disk, "folder"), (disk, "cache"), (disk, "data"), (software, "extras"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _small_and_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is watched for long, and the cache is the test's own."""
    monkeypatch.setattr(hardware, "_WATCHED_S", 0.0)
    monkeypatch.setattr(hardware, "_SIDE", 8)
    monkeypatch.setenv("MINFORM_CACHE", str(tmp_path / "cache"))


def found(records: list[FindingRecord], section: str, name: str) -> FindingRecord:
    (record,) = [each for each in records if (each["section"], each["name"]) == (section, name)]
    return record


def test_a_machine_that_works_is_told_section_by_section_and_nothing_stays_behind(
    minform: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    outcome = minform("doctor", "--folder", str(folder), "--json")
    records = json.loads(outcome.out)
    assert (outcome.code, outcome.err) == (0, "")
    assert list(dict.fromkeys(record["section"] for record in records)) == SECTIONS
    assert not any(record["state"] == "fatal" for record in records)
    assert found(records, "versions", "torch")["value"] == torch.__version__
    assert found(records, "versions", "minform")["value"] == minform_cli.__version__
    assert found(records, "matrix product", "1 thread")["unit"] == "GFLOP/s"
    assert (found(records, "matrix product", "1 thread")["number"] or 0) > 0
    assert found(records, "folder", "write and lock")["state"] == "ok"
    assert list(folder.iterdir()) == []


def test_the_function_returns_what_the_command_prints(minform: Command, tmp_path: Path) -> None:
    printed = json.loads(minform("doctor", "--folder", str(tmp_path), "--json").out)
    returned = minform_cli.doctor(tmp_path)
    assert [(each["section"], each["name"]) for each in returned] == [
        (each["section"], each["name"]) for each in printed
    ]


def test_threads_are_afterwards_what_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: 3)
    torch.set_num_threads(1)
    found(minform_cli.doctor(tmp_path), "matrix product", "3 threads")
    assert torch.get_num_threads() == 1


def test_the_text_is_for_pasting(minform: Command, tmp_path: Path) -> None:
    outcome = minform("doctor", "--folder", str(tmp_path))
    assert outcome.code == 0
    assert "\x1b" not in outcome.out
    assert torch.__version__ in outcome.out
    assert "machine can work" in outcome.err or "No problem was found." in outcome.err


@pytest.mark.parametrize("where", ["fsync", "mkdtemp"])
def test_a_full_disk_is_a_line_and_exit_code_4(
    where: str, minform: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if where == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(disk, "mkdtemp", full)
    outcome = minform("doctor", "--folder", str(folder), "--json")
    records = json.loads(outcome.out)
    assert outcome.code == 4
    assert found(records, "folder", "write and lock")["state"] == "fatal"
    assert "No space left on device" in found(records, "folder", "write and lock")["value"]
    assert outcome.err.startswith("minform: folder, write and lock: ")
    assert outcome.err.count("\n") == 1
    assert list(dict.fromkeys(record["section"] for record in records)) == SECTIONS
    assert list(folder.iterdir()) == []


def test_a_folder_that_locks_no_files_is_exit_code_4(
    minform: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*args: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    outcome = minform("doctor", "--folder", str(tmp_path), "--json")
    assert outcome.code == 4
    assert found(json.loads(outcome.out), "folder", "write and lock")["state"] == "fatal"


@pytest.mark.parametrize("compiler", [None, "false", "nowhere"])
def test_without_a_compiler_that_works_it_can_work_but_not_compile(
    compiler: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minform: Command
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    if compiler is None:
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        monkeypatch.setenv("CXX", compiler)
    outcome = minform("doctor", "--folder", str(tmp_path), "--json")
    record = found(json.loads(outcome.out), "compiler", "C++")
    assert (outcome.code, record["state"]) == (0, "note")
    assert record["value"].endswith("train.compile=true will not work; all else does")


@pytest.fixture
def cached(tmp_path: Path) -> Path:
    """A cache with files of every kind, and a link out of it."""
    root, outside = tmp_path / "cache", tmp_path / "outside"
    for name in ("decoded/a.npz", "tokens/deep/b.bin", "data/mnist.gz", "tokens/deep/b.lock"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * 1000)
    outside.mkdir()
    (outside / "mine").write_bytes(b"x")
    (root / "decoded" / "link").symlink_to(outside)
    return root


def test_clean_removes_what_can_be_made_again_and_nothing_else(cached: Path, minform: Command, tmp_path: Path) -> None:
    sizes = {name: found(minform_cli.doctor(tmp_path), "cache", name)["number"] for name in ("decoded", "tokens")}
    assert sizes == {"decoded": 1000, "tokens": 2000}
    assert (cached / "decoded" / "a.npz").is_file(), "without --clean nothing goes"
    assert minform("doctor", "--folder", str(tmp_path), "--clean").code == 0
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["cache/data/mnist.gz", "cache/tokens/deep/b.lock", "outside/mine"]


def test_a_read_only_cache_is_a_line_and_the_machine_can_work(
    cached: Path, minform: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    access, unlink = os.access, Path.unlink

    def readable(path: Any, mode: int) -> bool:
        return access(path, mode) and not (mode == os.W_OK and Path(path) == cached)

    def kept(path: Path, missing_ok: bool = False) -> None:
        if path.is_relative_to(cached):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(os, "access", readable)
    monkeypatch.setattr(Path, "unlink", kept)
    outcome = minform("doctor", "--folder", str(tmp_path), "--clean", "--json")
    records = json.loads(outcome.out)
    assert outcome.code == 0
    assert found(records, "cache", "path")["state"] == "note"
    assert "cannot be written" in found(records, "cache", "path")["value"]
    assert found(records, "cache", "decoded")["state"] == "problem"
    assert "Read-only file system" in found(records, "cache", "decoded")["value"]
    assert (cached / "decoded" / "a.npz").is_file()


@pytest.mark.parametrize(("module", "name"), CHECKS, ids=[name for _, name in CHECKS])
def test_a_check_that_breaks_is_a_line_and_the_others_go_on(
    module: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> Iterator[FindingRecord]:
        raise RuntimeError("unheard of\nsecond line")

    monkeypatch.setattr(module, name, broken)
    records = minform_cli.doctor(tmp_path)
    assert list(dict.fromkeys(record["section"] for record in records)) == SECTIONS
    (line,) = [record for record in records if "unheard of" in record["value"]]
    assert line["value"] == "RuntimeError: unheard of"
    assert line["state"] != "ok"


def test_a_package_that_does_not_load_is_named_and_the_machine_cannot_work(
    minform: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
        return load(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    outcome = minform("doctor", "--folder", str(tmp_path))
    assert outcome.code == 4
    assert outcome.err.splitlines()[-1] == (
        "minform: versions, torchvision: cannot be loaded: RuntimeError: operator torchvision::nms does not exist"
    )
    assert "This machine cannot work as it is." in outcome.err


def test_a_package_that_is_not_installed_is_said_with_the_extra_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", none)
    records = minform_cli.doctor(tmp_path)
    assert found(records, "extras", "ray") == {
        "section": "extras", "name": "ray", "value": "without ray: pip install 'minform[ray]'", "state": "note",
        "number": None, "unit": None,
    }  # fmt: skip
    assert found(records, "versions", "pydantic")["state"] == "problem"


def test_the_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {
        extra: tuple(requirement.split(">=")[0] for requirement in requirements)
        for extra, requirements in project["optional-dependencies"].items()
        if extra not in ("test", "bench")
    }
    assert declared == software.EXTRAS


def test_a_data_folder_that_is_not_there_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINFORM_DATA", str(tmp_path / "nowhere"))
    assert found(minform_cli.doctor(tmp_path), "data", str(tmp_path / "nowhere"))["state"] == "problem"
    (tmp_path / "nowhere" / "mnist").mkdir(parents=True)
    assert found(minform_cli.doctor(tmp_path), "data", str(tmp_path / "nowhere"))["value"] == "mnist"


def test_what_is_no_folder_is_refused(minform: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "is not a folder" in minform("doctor", "--folder", str(tmp_path / "file")).refusal


def test_a_folder_that_may_not_be_entered_is_exit_code_4(
    minform: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK | os.X_OK)
    outcome = minform("doctor", "--folder", str(tmp_path))
    assert outcome.code == 4
    assert "may not be written" in console.one_line(outcome.err.splitlines()[-1])
