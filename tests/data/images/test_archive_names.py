"""Names in archives as the programs of other systems write them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from minform_cli.errors import InputError
from tests.data.images.archives import png
from tests.data.pictures import archived, load, make_folder

ESCAPING = [
    "..\\evil.png",
    "train\\..\\..\\evil.png",
    "train/a\\../..\\../evil.png",
    "\\evil.png",
    "\\\\host\\evil.png",
    "C:\\evil.png",
]
NAMES = [f"train/{c}/{n}.png" for c in "ab" for n in range(3)]


def packed(path: Path, names: list[str]) -> Path:
    """An archive whose members have exactly these names; on Windows alone zipfile would put forward slashes."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, b"" if name.endswith(("/", "\\")) else png())
    else:
        with tarfile.open(path, "w") as archive:
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = len(png())
                archive.addfile(info, io.BytesIO(png()))
    return path


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(
    "written",
    [
        lambda name: name.replace("/", "\\"),
        lambda name: "photos\\" + name.replace("/", "\\"),
        lambda name: name.replace("/", "\\", 1),
        lambda name: ".\\" + name.replace("/", "\\\\"),
    ],
    ids=["backslashes", "in a folder", "mixed", "doubled"],
)
def test_backslashes_of_windows_separate_folders(tmp_path: Path, kind: str, written) -> None:
    expected = load(packed(tmp_path / f"plain.{kind}", NAMES))
    data = load(packed(tmp_path / f"windows.{kind}", [written(name) for name in NAMES]))
    assert data.fingerprint == expected.fingerprint
    assert data.spec.class_names == ("a", "b")


def test_folders_in_a_zip_of_windows_are_no_files(tmp_path: Path, refused) -> None:
    names = [name.replace("/", "\\") for name in NAMES]
    assert "the class 'c' has no image: it is empty" in refused(
        InputError, load, packed(tmp_path / "x.zip", [*names, "train\\c\\"])
    )


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("name", ESCAPING)
def test_backslashes_are_judged_once_they_are_separators(tmp_path: Path, refused, kind: str, name: str) -> None:
    message = refused(InputError, load, packed(tmp_path / f"x.{kind}", [*NAMES, name]))
    assert "would leave the folder" in message


def test_one_name_in_two_spellings_comes_twice(tmp_path: Path, refused) -> None:
    assert "comes twice" in refused(InputError, load, packed(tmp_path / "x.zip", [*NAMES, "train\\a\\0.png"]))


@pytest.mark.parametrize("flagged", [True, False])
def test_names_in_utf_8_are_read_with_the_flag_and_without(tmp_path: Path, flagged: bool) -> None:
    folder = make_folder(tmp_path / "set", {"train": {"käfer": 2, "b": 2}})
    path = archived(folder, ".zip")
    if not flagged:  # as macOS writes it: the same bytes, bit 11 of the flags unset in both headers
        content = path.read_bytes()
        for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            parts = content.split(mark)
            content = mark.join([parts[0], *(p[: place - 4] + b"\0\0" + p[place - 2 :] for p in parts[1:])])
        path.write_bytes(content)
    assert load(path).spec.class_names == ("b", "käfer")


def test_names_in_code_page_437_stay_those(tmp_path: Path) -> None:
    path = archived(make_folder(tmp_path / "set", {"train": {"kXfer": 2, "b": 2}}), ".zip")
    path.write_bytes(path.read_bytes().replace(b"kXfer", b"k\x84fer"))
    assert load(path).spec.class_names == ("b", "käfer")
