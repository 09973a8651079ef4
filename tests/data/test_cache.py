"""Where data lies, and the cache of decoded arrays: it may be damaged, read-only or absent, and nothing is lost."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from minform_cli.data import cache

ARRAYS = {"a": np.arange(5000, dtype=np.int64), "b": np.arange(3000, dtype=np.uint8).reshape(10, 3, 10, 10)}


class Builder:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> cache.Arrays:
        self.calls += 1
        return {name: array.copy() for name, array in ARRAYS.items()}


def right(found: cache.Arrays) -> bool:
    return set(found) == set(ARRAYS) and all(np.array_equal(found[name], array) for name, array in ARRAYS.items())


def entry(own_cache: Path) -> Path:
    return own_cache / "decoded" / "slot.npz"


def test_arrays_are_built_once_and_again_when_the_key_changes(own_cache: Path) -> None:
    build = Builder()
    for key, calls in (("k1", 1), ("k1", 1), ("k2", 2), ("k2", 2)):
        assert right(cache.cached_arrays("slot", key, build))
        assert build.calls == calls
    assert [p.name for p in entry(own_cache).parent.iterdir() if p.suffix != ".lock"] == ["slot.npz"]


def test_a_damaged_entry_is_never_taken_for_good(own_cache: Path) -> None:
    build = Builder()
    cache.cached_arrays("slot", "key", build)
    whole = entry(own_cache).read_bytes()
    random = np.random.default_rng(0)
    for number in range(300):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] ^= 1 << int(random.integers(8))
        if number % 3 == 0:
            damaged = damaged[: random.integers(len(whole))]
        entry(own_cache).write_bytes(damaged)
        assert right(cache.cached_arrays("slot", "key", build)), number
    assert build.calls > 250


def test_an_entry_is_never_unpickled(own_cache: Path) -> None:
    build = Builder()
    cache.cached_arrays("slot", "key", build)
    np.savez(entry(own_cache), key=np.array("key"), a=np.array([object()], dtype=object))
    assert right(cache.cached_arrays("slot", "key", build))
    assert build.calls == 2


@pytest.mark.parametrize("call", ["mkdir", "open", "replace", "fsync"])
def test_a_cache_that_cannot_be_written_is_done_without(own_cache: Path, monkeypatch, call: str) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    build = Builder()
    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if call == "fsync" else (Path, call)), fail)
        assert right(cache.cached_arrays("slot", "key", build))
    assert build.calls == 1
    folder = own_cache / "decoded"
    assert not folder.exists() or not [p for p in folder.iterdir() if p.suffix != ".lock"]


def test_a_nearly_full_disk_is_not_filled(own_cache: Path, monkeypatch) -> None:
    usage = cache.shutil.disk_usage("/")
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    assert right(cache.cached_arrays("slot", "key", Builder()))
    assert not entry(own_cache).exists()


def test_errors_of_the_builder_are_not_swallowed() -> None:
    def build() -> cache.Arrays:
        raise OSError("from inside")

    with pytest.raises(OSError, match="from inside"):
        cache.cached_arrays("slot", "key", build)


def test_two_at_once_build_once() -> None:
    build = Builder()
    entered = threading.Event()

    def slowly() -> cache.Arrays:
        entered.set()
        threading.Event().wait(0.2)
        return build()

    threads = [threading.Thread(target=cache.cached_arrays, args=("slot", "key", slowly)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert entered.is_set()
    assert build.calls == 1


def test_downloads_go_to_the_chosen_folder_or_to_the_cache_where_that_is_read_only(
    own_cache: Path, tmp_path: Path, monkeypatch
) -> None:
    assert cache.download_root() == own_cache / "data"
    monkeypatch.setenv("MINFORM_DATA", str(tmp_path / "mine" / "not there yet"))
    assert cache.download_root() == tmp_path / "mine" / "not there yet"
    assert cache.data_roots() == [tmp_path / "mine" / "not there yet", own_cache / "data"]
    # Root may write anywhere whatever the mode bits say, so the refusal is put in by hand.
    may = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: str(own_cache.parent / "ro") not in str(path) and may(path, mode)
    )
    (tmp_path / "ro").mkdir()
    monkeypatch.setenv("MINFORM_DATA", str(tmp_path / "ro"))
    assert cache.download_root() == own_cache / "data"
