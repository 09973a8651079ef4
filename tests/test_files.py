"""Files written whole or not at all, whatever call fails, and what processes that were killed left is cleared away."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minform_cli.errors import InputError, MachineError
from minform_cli.files import clear_leftovers, json_value, temporary_name, write_atomic
from tests.soak.scale import reached
from tests.training.faults import WAYS, Died, EveryCall, another_process

OLD, NEW, LAST = b"old" * 100, b"new" * 1000, b"last"


@pytest.mark.parametrize(("how", "lasting"), WAYS)
def test_whatever_call_fails_the_old_or_the_new_content_is_there_and_the_next_write_clears_up(
    tmp_path: Path, how: int | str, lasting: bool
) -> None:
    path = tmp_path / "table.[1].tex"
    with pytest.MonkeyPatch.context() as patch:
        disk = EveryCall(tmp_path, patch)
        write_atomic(path, OLD)
    for call in range(1, disk.calls + 1):
        write_atomic(path, OLD)
        with pytest.MonkeyPatch.context() as patch:
            another_process(patch)
            EveryCall(tmp_path, patch, call, how, lasting)
            try:
                write_atomic(path, NEW)
                assert path.read_bytes() == NEW
            except MachineError as error:
                assert str(error).isprintable()
                assert lasting or list(tmp_path.iterdir()) == [path]
            except Died:
                assert how == "die"
        assert path.read_bytes() in (OLD, NEW)
        write_atomic(path, LAST)
        assert path.read_bytes() == LAST
        assert list(tmp_path.iterdir()) == [path], call
    assert disk.calls > 7
    reached("R2", disk.calls)


def test_what_another_process_is_writing_is_left_to_it_until_it_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "getpid", lambda: other.pid)
            theirs = temporary_name(path)
        elsewhere = path.with_name(f".{path.name}.12345678-{other.pid}.tmp")  # of another machine
        for place in (theirs, elsewhere):
            place.write_bytes(b"half")
        write_atomic(path, NEW)
        assert {*tmp_path.iterdir()} == {path, theirs, elsewhere}
    clear_leftovers(path)
    assert {*tmp_path.iterdir()} == {path, elsewhere}
    clear_leftovers(path, alone=True)
    assert {*tmp_path.iterdir()} == {path}


@pytest.mark.parametrize(("number", "error"), [(errno.EIO, MachineError), (errno.EACCES, InputError)])
def test_a_file_that_cannot_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    (tmp_path / "a.json").write_text("{}")
    EveryCall(tmp_path, monkeypatch, 1, number)
    with pytest.raises(error, match=f"the file cannot be read: {os.strerror(number)}"):
        json_value(tmp_path / "a.json", "the file")
