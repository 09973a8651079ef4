"""A run is what its data are, not where they lie: read from elsewhere, with data that have moved, and on other data."""

import shutil
from pathlib import Path

import pytest

from minform_cli.config.presets import resolve
from minform_cli.data.load import load_data
from minform_cli.errors import InputError
from minform_cli.files import read_json
from minform_cli.runs.folder import places_of
from minform_cli.runs.measured import data_for
from minform_cli.runs.records import read_result
from minform_cli.runs.stored import read_run
from minform_cli.training.evaluate import evaluate_run
from minform_cli.training.run import train
from tests.cli.commands import Command
from tests.data.pictures import draw, make_folder
from tests.runs.conftest import FORMAT2

HERE = ("--device", "cpu", "--threads", "1")
RECIPE = [
    *("model.dim=8", "model.depth=1", "model.heads=1", "model.mlp_multiple=1"),
    *("train.epochs=1", "train.batch_size=8", "train.warmup_epochs=0"),
]
PICTURES = ["data.name=image-folder", *RECIPE]


def words(settings: list[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def trained(folder: Path, *settings: str, preset: str = "digits") -> Path:
    """A run in ``run`` in `folder`, which is the working directory meanwhile."""
    train(resolve(preset, "baseline", [*settings]).config, folder / "run", device="cpu", threads=1)
    return folder / "run"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: with pictures of two classes in ``plain``, and a run on them in ``run``."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(FORMAT2 / "data" / "pictures", "plain")
    return trained(tmp_path, "data.path=plain", *PICTURES).parent


@pytest.mark.parametrize("spelled", ["./plain", "plain/", "../here/plain", "absolute"])
def test_how_the_path_of_the_data_is_written_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minform: Command, spelled: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    shutil.copytree(FORMAT2 / "data" / "pictures", "plain")
    out = trained(tmp_path / "here", "data.path=plain", *PICTURES)
    before = read_result(out)
    (out / "result.json").unlink()  # as if stopped at the very end
    path = str(tmp_path / "here" / "plain") if spelled == "absolute" else spelled
    done = minform("train", *words([f"data.path={path}", *PICTURES]), "--out", "run", "--resume", *HERE)
    assert done.code == 0, done.err
    assert read_result(out)["metrics"] == before["metrics"]


def test_a_run_goes_on_from_another_folder_with_data_that_have_moved(
    here: Path, monkeypatch: pytest.MonkeyPatch, minform: Command
) -> None:
    (here / "run" / "result.json").unlink()
    (here / "elsewhere").mkdir()
    (here / "plain").rename(here / "elsewhere" / "moved")
    monkeypatch.chdir(here / "elsewhere")
    given = words(["data.path=moved", *PICTURES])
    done = minform("train", *given, "--out", "../run", "--resume", *HERE)
    assert done.code == 0, done.err


@pytest.mark.parametrize("finished", [True, False])
def test_other_data_at_the_same_path_or_at_another_are_refused(here: Path, minform: Command, finished: bool) -> None:
    if not finished:
        (here / "run" / "result.json").unlink()
    shutil.copytree(here / "plain", here / "other")
    draw(here / "other" / "train" / "left" / "00.png", 1, mode="L")
    done = minform("train", *words(["data.path=other", *PICTURES]), "--out", "run", "--resume", *HERE)
    assert done.code == 2 and "the data differ from those the run was made with: fingerprint" in done.err
    (here / "plain").rename(here / "first")
    (here / "other").rename(here / "plain")
    done = minform("train", *words(["data.path=plain", *PICTURES]), "--out", "run", "--resume", *HERE)
    if finished:  # nothing is trained or measured
        assert done.code == 0
    else:
        assert done.code == 2 and "the data differ from those the run was made with: fingerprint" in done.err


def test_eval_reads_a_run_from_another_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    record = evaluate_run(Path("../run"), device="cpu", threads=1)
    assert record["loss"] == read_result(here / "run")["metrics"]["val_loss"]
    assert record["notes"] == []


def test_what_was_written_then_is_tried_where_the_old_place_is_gone(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run and data are copied together to another place or machine."""
    here.rename(here.with_name("copied"))
    monkeypatch.chdir(here.with_name("copied"))
    assert read_run(Path("run")).data().path == "plain"
    evaluate_run(Path("run"), device="cpu", threads=1)


def test_data_that_have_moved_are_missed_in_one_line_and_named_by_a_setting(here: Path, minform: Command) -> None:
    (here / "plain").rename(here / "moved")
    done = minform("eval", "run", *HERE)
    assert done.code == 2
    assert done.err == (
        f"minform: run: its data are no longer at data.path {str(here / 'plain')!r}; "
        "minform eval --set data.path=... says where they are now\n"
    )
    found = evaluate_run(Path("run"), "test", ["data.path=moved"], device="cpu", threads=1)
    assert found["loss"] == read_result(here / "run")["metrics"]["test_loss"]
    assert found["notes"] == []  # they are the run's own


def test_what_no_setting_names_is_where_it_was_whatever_the_working_directory(
    here: Path, monkeypatch: pytest.MonkeyPatch, minform: Command
) -> None:
    shutil.copytree(FORMAT2 / "data", "data")
    pairs = {"source": "train.en", "target": "train.de", "val_source": "val.en", "val_target": "val.de"}
    given = [f"data.{key}=data/{name}" for key, name in pairs.items()]
    sizes = ["data.vocab_size=300", "data.seq_len=32", "train.batch_tokens=400", "model.decoder_depth=1"]
    out = trained(here / "pairs", "data.name=parallel-text", *given, *sizes, *RECIPE[:-2], preset="multi30k-tiny")
    (here / "data" / "val.de").rename(here / "data" / "moved.de")
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    settings = ["data.val_target=../data/moved.de", "data.limit=20"]
    assert data_for(read_run(out), settings).config.data.source == str(here / "data" / "train.en")
    done = minform("eval", str(out), "--set", "data.limit=20", *HERE)
    assert done.code == 2 and "are no longer at data.val_target" in done.err


def test_other_data_of_the_same_shape_are_normalised_as_the_run_was(here: Path) -> None:
    for number in range(8):
        for name in ("left", "right"):
            draw(here / "other" / "train" / name / f"{number}.png", number, mode="L")
    stored = read_run(Path("run"))
    measured = data_for(stored, ["data.path=other"])
    own, other = load_data(stored.data()), load_data(stored.config.data.model_copy(update={"path": "other"}))
    assert measured.data.mean == own.mean != other.mean  # type: ignore[attr-defined]
    assert measured.data.std == own.std != other.std  # type: ignore[attr-defined]
    record = evaluate_run(Path("run"), "val", ["data.path=other"], device="cpu", threads=1)
    assert record["data"] == "other (image-folder, 8x8 grey)"
    assert record["notes"][0].startswith(
        "measured on other data than those of the run: other (image-folder, 8x8 grey), 14 "
    )


def test_another_data_set_may_be_named(here: Path) -> None:
    out = trained(here / "digits", "data.limit=20", "train.eval_batch_size=300", *RECIPE)
    for name in "0123456789":
        for number in range(2):
            draw(here / "tens" / "train" / name / f"{number}.png", number, size=(9, 9), mode="L")
    given = ["data.name=image-folder", "data.path=tens", "data.image_size=8"]
    record = evaluate_run(out, "train", given, device="cpu", threads=1)
    assert (record["num_examples"], record["class_names"]) == (10, list("0123456789"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            ["data.path=three"],
            "whose classes are left, right, and those of three (image-folder, 8x8 gr",
        ),
        (
            ["data.path=colour"],
            "whose images are 1x8x8 (channels, height, width), and those of colo",
        ),
        (["data.image_size=4"], "are 1x4x4; accepted: 1x8x8, of a folder by --set data.image_size=8 --set "),
        (["data.name=text", "data.path=plain"], "which is images, and plain is text; accepted: images"),
        (["data.name=digits"], "whose classes are left, right, and those of digits are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9;"),
        (["data.name=digitz"], "unknown data set 'digitz'; did you mean 'digits'?"),
        (["model.dim=9"], "--set model.dim: the run is what it is; accepted: data.name, data.path, "),
        (["data.seq_len=9"], "--set data.seq_len: the run is what it is; accepted: data.name, data.path, "),
        (["data.pat=plain"], "unknown key 'data.pat'; did you mean 'data.path'?"),
        (["data.limit=x"], "--set: data.limit: expected a whole number, not 'x'"),
        (["data.source=plain"], "data.source: 'plain' has no use for image-folder"),
        (["data.path=absent"], "data.path: 'absent'"),
    ],
)
def test_data_that_do_not_fit_are_refused_in_one_line(
    here: Path, minform: Command, settings: list[str], said: str
) -> None:
    make_folder(here / "three", {"train": {"left": 2, "right": 2, "up": 2}}, mode="L")
    make_folder(here / "colour", {"train": {"left": 2, "right": 2}}, mode="RGB")
    done = minform("eval", "run", *words(settings), *HERE)
    assert done.code == 2, done
    assert said in done.err and done.err.count("\n") == 1


def test_a_run_on_text_takes_its_tokenizer_to_other_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (FORMAT2 / "data" / "text.txt").read_text()
    Path("one.txt").write_text(text)
    Path("two.txt").write_text(text.replace("fish", "whale"))
    given = ["data.name=text", "data.path=one.txt", "data.vocab_size=64", "data.seq_len=16", *RECIPE]
    out = trained(tmp_path, *given, preset="pydoc-tiny")
    stored, measured = read_run(out), data_for(read_run(out), ["data.path=two.txt"])
    assert measured.data.tokenizer == (out / "tokenizer.json").read_bytes()
    assert measured.spec == stored.spec != measured.data.spec
    assert evaluate_run(out, "val", ["data.path=two.txt"], device="cpu", threads=1)["data"] == "two"
    Path("one.txt").rename("moved.txt")
    found = evaluate_run(out, "val", ["data.path=moved.txt"], device="cpu", threads=1)
    assert found["loss"] == read_result(out)["metrics"]["val_loss"]
    assert not any("other data" in note for note in found["notes"])


def test_a_folder_of_format_2_on_other_pictures_is_refused_for_want_of_their_normalisation(format2: Path) -> None:
    draw(format2 / "data" / "pictures" / "train" / "left" / "00.png", 1, mode="L")
    with pytest.raises(InputError, match=r"image: its run.json is of format 2, without classes and normalisation, whi"):
        evaluate_run(Path("image"), "val", ["data.path=data/pictures"], device="cpu", threads=1)


def test_a_folder_of_format_2_whose_pictures_have_moved_is_measured(format2: Path, minform: Command) -> None:
    (format2 / "data" / "pictures").rename(format2 / "moved")
    done = minform("eval", "image", *HERE)
    assert done.code == 2 and "--set data.path=... says where they are now" in done.err
    found = evaluate_run(Path("image"), "val", ["data.path=moved"], device="cpu", threads=1)
    assert found["loss"] == pytest.approx(read_result(format2 / "image")["metrics"]["val_loss"], rel=1e-5)


def test_run_json_says_what_the_data_are(here: Path) -> None:
    meta, data = read_json(here / "run" / "run.json", "run"), load_data(read_run(here / "run").data())
    assert meta["format"] == 3
    assert meta["spec"] == {
        "kind": "images",
        "name": "image-folder",
        "title": data.spec.title,
        "class_names": ["left", "right"],
        "channels": 1,
        "height": 8,
        "width": 8,
        "num_train": 24,
        "num_val": 8,
        "num_test": 8,
        "own_val": True,
        "source": data.spec.source,
    }
    assert meta["normalisation"] == {"mean": list(data.mean), "std": list(data.std)}  # type: ignore[attr-defined]
    assert meta["places"] == {"path": str(here / "plain")} == places_of(read_run(here / "run").config.data)
    assert (meta["tokenizer"], meta["fingerprint"]) == (None, data.fingerprint)
    stored = read_run(here / "run")
    assert stored.spec == data.spec


def test_a_run_needs_neither_the_data_of_the_one_it_starts_from_nor_its_folder_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minform: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(FORMAT2 / "data" / "pictures", "first")
    trained(tmp_path, "data.path=first", *PICTURES).rename("before")
    Path("first").rename("second")
    given = [*words(["data.path=second", *PICTURES]), "--init", "before", "--out", "run", *HERE]
    done = minform("train", *given)
    assert done.code == 0, done.err
    whole = read_result(tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    Path("before").rename("gone")
    done = minform("train", *given, "--resume")
    assert done.code == 0, done.err
    assert read_result(tmp_path / "run")["metrics"] == whole["metrics"]
    again = minform("train", *given[:-6], "--out", "new", *HERE)
    assert again.code == 2, again
