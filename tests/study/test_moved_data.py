"""A study's data are what is in them: they may move or be spelled otherwise, and must not be exchanged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from minform_cli import StudyOptions, compare
from tests.cli.commands import Command
from tests.data.pictures import draw, make_folder

SHAPE = ["--preset", "debug", "--set", "data.name=image-folder", "--set", "data.limit=null"]
SHORT = ["--set", "train.epochs=1", "--set", "train.warmup_epochs=0", "--jobs", "1", "--device", "cpu"]
BASELINE = ["--variant", "baseline"]


def data(path: str) -> list[str]:
    return ["--set", f"data.path={path}"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, and with a finished study of one run on them, by their relative name."""
    home = tmp_path_factory.mktemp("made")
    make_folder(home / "plain", {split: {"ant": 6, "cat": 6} for split in ("train", "val")})
    settings = [word for word in (*SHAPE, *SHORT, *data("plain")) if "=" in word]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(home)
        options = StudyOptions(
            preset="debug", variants=["baseline"], settings=settings, seeds=1, out="study", jobs=1, device="cpu"
        )
        compare(options)
    return home


@pytest.fixture
def study(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the study, copied with its images; these are in the working directory."""
    shutil.copytree(made, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home" / "study"


def stamps(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("seed-*/*")}


def test_the_same_data_elsewhere_extend_a_study_and_drawing_it_needs_none(
    study: Path, tmp_path: Path, minform: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stamps(study)
    again = minform("compare", *SHAPE, *SHORT, *data("./plain"), *BASELINE, "--seeds", "2", "--out", str(study), "-q")
    assert again.code == 0, again.err

    monkeypatch.chdir(tmp_path)
    (tmp_path / "home" / "plain").rename(tmp_path / "moved")
    shutil.move(study, tmp_path / "elsewhere")
    given = [*SHAPE, *SHORT, *data("moved"), "--variant", "minimal", "--seeds", "1", "--out", "elsewhere"]
    listed = json.loads(minform("compare", *given, *BASELINE, "--dry-run", "--format", "json").out)
    assert [run["state"] for run in listed] == ["to do", "finished"]
    assert minform("compare", *given, "-q").code == 0
    after = stamps(tmp_path / "elsewhere")
    assert {path.replace(str(study), str(tmp_path / "elsewhere")): time for path, time in before.items()}.items() <= (
        after.items()
    )

    shutil.rmtree(tmp_path / "moved")
    monkeypatch.chdir("/")
    drawn = minform("compare", "--from", str(tmp_path / "elsewhere"), "--format", "json")
    assert [(row["variant"], row["num_seeds"]) for row in json.loads(drawn.out)] == [("baseline", 2), ("minimal", 1)]
    report = (tmp_path / "elsewhere" / "report.html").read_text()
    assert "data.path" in report and "are missing" not in report


@pytest.mark.parametrize("more", [[], ["--seeds", "2"], ["--variant", "minimal"]], ids=["done", "seed", "variant"])
def test_other_data_at_the_same_path_are_refused_whatever_is_left_to_do(
    more: list[str], study: Path, minform: Command
) -> None:
    before = stamps(study)
    draw(study.parent / "plain" / "train" / "ant" / "000.png", 77)
    given = [*SHAPE, *SHORT, *data("plain"), *BASELINE, "--seeds", "1", *more, "--out", "study", "-q"]
    refusals = {minform("compare", *given, *dry).refusal for dry in ([], ["--dry-run"])}
    assert len(refusals) == 1
    assert refusals.pop().startswith("study: the data differ from those the study was made with: fingerprint ")
    assert stamps(study) == before
