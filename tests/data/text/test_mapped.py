"""What is kept of a text in the cache: made once, made again when anything changed, never needed."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from minform_cli.data.text import mapped as mapped_module
from minform_cli.data.text.mapped import HEADER_BYTES, Put, mapped
from minform_cli.errors import InputError, MachineError

CONTENT = np.random.default_rng(0).integers(256, size=5000, dtype=np.uint8).tobytes()


class Writer:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, put: Put) -> None:
        self.calls += 1
        put(CONTENT[:1000])
        put(CONTENT[1000:])


def entry(own_cache: Path) -> Path:
    return own_cache / "tokens" / "slot.bin"


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.suffix != ".lock")


def right(write: Writer, key: str = "key") -> bool:
    return mapped("slot", key, 10, write).content.tobytes() == CONTENT


def test_content_is_written_once_and_again_when_the_key_changes(own_cache: Path) -> None:
    write = Writer()
    for key, calls in (("k1", 1), ("k1", 1), ("k2", 2), ("k2", 2)):
        assert right(write, key)
        assert write.calls == calls
    assert files(own_cache / "tokens") == ["slot.bin"]
    assert mapped("slot", "k2", 10, write).sha256 == mapped("other", "k2", 10, write).sha256


def test_what_is_mapped_stays_when_its_file_is_replaced(own_cache: Path) -> None:
    first = mapped("slot", "k1", 10, Writer()).content
    mapped("slot", "k2", 10, lambda put: put(b"other"))
    assert first.tobytes() == CONTENT
    assert not first.flags.writeable


def test_a_damaged_or_foreign_file_is_made_again(own_cache: Path) -> None:
    write = Writer()
    mapped("slot", "key", 10, write)
    whole = entry(own_cache).read_bytes()
    random = np.random.default_rng(0)
    damaged = [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"[" * 100_000,
        whole[:HEADER_BYTES],
        whole[:100],
        whole + b"x",
        os.urandom(9),
    ]
    for _ in range(100):
        flipped = bytearray(whole)
        flipped[random.integers(len(whole))] ^= 1 << int(random.integers(8))
        damaged += [bytes(flipped), whole[: random.integers(len(whole))]]
    for number, content in enumerate(damaged):
        entry(own_cache).write_bytes(content)
        calls = write.calls
        assert right(write), number
        assert write.calls == calls + 1 or content.strip() == whole.strip(), number
        assert entry(own_cache).read_bytes() == whole


def test_nothing_at_all_can_be_kept(own_cache: Path) -> None:
    for _ in range(2):
        assert len(mapped("slot", "key", 0, lambda put: put(b"")).content) == 0


def fail(*args: object, **kwargs: object) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


@pytest.mark.parametrize("call", ["mkdir", "open", "replace"])
def test_a_cache_that_cannot_be_written_is_done_without(own_cache: Path, monkeypatch, call: str) -> None:
    write = Writer()
    with monkeypatch.context() as patch:
        patch.setattr(Path, call, fail)
        assert right(write)
    assert write.calls == 1
    assert not (own_cache / "tokens").exists() or files(own_cache / "tokens") == []


def test_a_nearly_full_disk_is_not_filled(own_cache: Path, monkeypatch) -> None:
    usage = mapped_module.shutil.disk_usage("/")
    monkeypatch.setattr(mapped_module.shutil, "disk_usage", lambda path: usage._replace(free=15))
    assert right(Writer())
    assert files(own_cache / "tokens") == []


def test_a_disk_that_fills_up_on_the_way_leaves_nothing_behind(own_cache: Path, monkeypatch, refused) -> None:
    monkeypatch.setattr(os, "fsync", fail)
    message = refused(MachineError, mapped, "slot", "key", 10, Writer())
    assert "Read-only file system; MINFORM_CACHE names another folder" in message
    assert files(own_cache / "tokens") == []


def test_no_place_at_all_is_told(own_cache: Path, monkeypatch, refused) -> None:
    monkeypatch.setattr(Path, "mkdir", fail)
    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    assert str(own_cache) in refused(MachineError, mapped, "slot", "key", 10, Writer())


def test_what_a_killed_process_left_is_cleared_away(own_cache: Path) -> None:
    entry(own_cache).parent.mkdir(parents=True)
    (own_cache / "tokens" / ".slot.bin.1.tmp").write_bytes(b"half")
    (own_cache / "tokens" / ".other.bin.1.tmp").write_bytes(b"of another slot")
    assert right(Writer())
    assert files(own_cache / "tokens") == [".other.bin.1.tmp", "slot.bin"]


def test_errors_of_the_writer_pass_and_leave_nothing_behind(own_cache: Path) -> None:
    def write(put: Put) -> None:
        put(b"half")
        raise InputError("from inside")

    with pytest.raises(InputError, match="from inside"):
        mapped("slot", "key", 10, write)
    assert files(own_cache / "tokens") == []


def test_two_at_once_write_once() -> None:
    write = Writer()

    def slowly(put: Put) -> None:
        threading.Event().wait(0.2)
        write(put)

    threads = [threading.Thread(target=mapped, args=("slot", "key", 10, slowly)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert write.calls == 1
