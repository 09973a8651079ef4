"""``minform export``: its table, its model card, what it refuses, and that a folder comes into being whole or not."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import minform_cli
from minform_cli.errors import MachineError, NumericalError
from minform_cli.exporting import weights
from minform_cli.files import RunFolder
from tests.cli.commands import Command
from tests.exporting.made import IMAGES, VIT, stored
from tests.training.faults import Disk, EveryCall


def test_the_table_says_what_was_written_in_80_columns(finished: Path, tmp_path: Path, minform: Command) -> None:
    done = minform("export", str(finished), "--out", str(tmp_path / "out"))
    assert done.code == 0, done.err
    assert re.search(r"^format +safetensors$", done.out, flags=re.MULTILINE)
    assert "minform_cli.load" in done.out
    rows = [line.split() for line in done.out.splitlines()]
    assert [row[0] for row in rows if row and row[0] in ("1", "2", "7", "64")] == ["1", "2", "7", "64"]
    assert max(len(line) for line in done.out.splitlines() if str(tmp_path) not in line and "symmetric" in line) <= 80


@pytest.mark.parametrize("fmt", ["plain", "markdown", "latex", "csv", "json"])
def test_every_format_of_table_has_the_parity(fmt: str, finished: Path, tmp_path: Path, minform: Command) -> None:
    done = minform("export", str(finished), "--out", str(tmp_path / "out"), "--table", fmt, "--quiet")
    assert (done.code, done.err) == (0, "")
    if fmt == "json":
        (record,) = json.loads(done.out)
        assert [each["batch"] for each in record["parity"]] == [1, 2, 7, 64]
    elif fmt == "csv":
        assert [line.split(",")[0] for line in done.out.splitlines()[1:]] == [str(finished)] * 4
    else:
        assert "relative" in done.out


def test_the_card_tells_the_metric_with_its_interval_and_the_command(finished: Path, tmp_path: Path) -> None:
    record = minform_cli.export(finished, "safetensors", tmp_path / "out")
    card = (tmp_path / "out/README.md").read_text()
    result = json.loads(RunFolder(finished).result.read_text())
    assert f"{100 * result['metrics']['val_accuracy']:.2f} %" in card
    assert "% Wilson" in card
    assert f"{result['count']['parameters']:,} parameters" in card
    assert result["data"]["fingerprint"] in card
    assert "| similarity | separate   | tied   |" in card
    for group, number in result["count"]["groups"].items():
        assert group.replace("_", "\\_") in card
        assert f"{number:,}" in card
    assert record["command"] in card
    classes = json.loads((tmp_path / "out/classes.json").read_text())
    assert classes == [str(digit) for digit in range(10)]


def test_the_command_of_the_card_is_the_same_run(finished: Path, tmp_path: Path) -> None:
    import shlex

    from minform_cli.config.presets import resolve
    from minform_cli.runs.stored import read_run

    words = shlex.split(minform_cli.export(finished, "safetensors", tmp_path / "out")["command"])
    options: dict[str, list[str]] = {}
    for key, value in zip(words[2::2], words[3::2], strict=True):
        options.setdefault(key, []).append(value)
    again = resolve(options["--preset"][0], options["--variant"][0], options["--set"], int(options["--seed"][0])).config
    assert again.identity() == read_run(finished).config.identity()


def test_the_best_weights_are_others_than_the_last(finished: Path, tmp_path: Path) -> None:
    best = minform_cli.export(finished, "safetensors", tmp_path / "best", checkpoint="best")
    assert best["checkpoint"] == "best"
    result = json.loads(RunFolder(finished).result.read_text())
    assert f"{100 * result['metrics']['best_val_score']:.2f} %" in (tmp_path / "best/README.md").read_text()


def test_a_run_that_is_not_finished_is_exported_with_a_note(runs: dict[str, Path], tmp_path: Path) -> None:
    record = minform_cli.export(runs["images"], "safetensors", tmp_path / "out")
    assert any("not finished" in note for note in record["notes"])
    assert "Not measured." in (tmp_path / "out/README.md").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "onx"], "unknown format 'onx'; did you mean 'onnx'?"),
        (["--format", "safetensor"], "did you mean 'safetensors'?"),
        (["--checkpoint", "bset"], "did you mean 'best'?"),
        (["--table", "jsn"], "--table: unknown format 'jsn'; did you mean 'json'?"),
        (
            ["--normalise"],
            "safetensors holds numbers and no graph to normalise in; accepted: with hf, onnx, torch-export",
        ),
        (["--expand"], "--expand: is for classes of transformers, and safetensors keeps every part; accepted: with hf"),
        (["--threads", "9999"], "--threads: expected 1 to"),
    ],
)
def test_what_is_wrong_is_one_line(
    options: list[str], message: str, finished: Path, tmp_path: Path, minform: Command
) -> None:
    done = minform("export", str(finished), "--out", str(tmp_path / "out"), *options)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_no_run_a_damaged_one_and_one_without_a_checkpoint_are_refused(
    finished: Path, tmp_path: Path, minform: Command
) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    out = tmp_path / "out"

    def refused(message: str) -> None:
        done = minform("export", str(run), "--out", str(out))
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert message in done.err
        assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]

    (file,) = run.glob("weights-*.safetensors")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"\0")
    refused("is damaged")
    file.write_bytes(content)
    (run / "checkpoint.json").unlink()
    refused("has no checkpoint yet")
    (run / "run.json").unlink()
    refused("is not a run folder: it has no run.json")


def test_a_folder_with_something_in_it_is_left_alone(finished: Path, tmp_path: Path, minform: Command) -> None:
    (tmp_path / "out").mkdir()
    assert minform("export", str(finished), "--out", str(tmp_path / "out"), "-q").code == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    done = minform("export", str(finished), "--out", str(tmp_path / "out"))
    assert done.code == 2
    assert "is not empty" in done.err
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root may write everywhere")
def test_a_place_that_may_not_be_written_is_refused(finished: Path, tmp_path: Path, minform: Command) -> None:
    (tmp_path / "shut").mkdir(mode=0o500)
    done = minform("export", str(finished), "--out", str(tmp_path / "shut/out"))
    assert (done.code, done.err.count("\n")) == (4, 1)


def test_a_file_in_the_place_of_the_folder_is_refused(finished: Path, tmp_path: Path, minform: Command) -> None:
    (tmp_path / "file").write_text("mine")
    for out in ("file", "file/below"):
        done = minform("export", str(finished), "--out", str(tmp_path / out))
        assert (done.code, done.err.count("\n")) == (2, 1)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_leaves_nothing(finished: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        disk = Disk(patched)
        minform_cli.export(finished, "safetensors", tmp_path / "whole")
    for at in range(1, disk.calls + 1, 5):
        with pytest.MonkeyPatch.context() as patched:
            Disk(patched, at, errno.ENOSPC)
            try:
                minform_cli.export(finished, "safetensors", tmp_path / "out")
            except MachineError as error:
                assert "\n" not in str(error)
                assert "No space left" in str(error)
        assert sorted(path.name for path in tmp_path.iterdir()) in (["whole"], ["out", "whole"])
        if (tmp_path / "out").exists():  # what failed was a deletion, or an attempt to sync
            assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
                path.name for path in (tmp_path / "whole").iterdir()
            )
            shutil.rmtree(tmp_path / "out")


def test_a_folder_that_cannot_be_listed_makes_no_shorter_list(finished: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        disk = EveryCall(tmp_path, patched)
        record = minform_cli.export(finished, "safetensors", tmp_path / "whole")
    for at in [at for at, name in enumerate(disk.names, 1) if name == "scandir"]:
        with pytest.MonkeyPatch.context() as patched:
            EveryCall(tmp_path, patched, at, errno.EACCES)
            try:
                found = minform_cli.export(finished, "safetensors", tmp_path / f"out{at}")
            except MachineError as error:
                assert "Permission denied; nothing was written" in str(error)
            else:
                assert (found["files"], found["size_bytes"]) == (record["files"], record["size_bytes"])


def test_a_model_that_gives_something_else_is_not_left_behind(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = weights.load

    def wrong(folder: Path) -> Any:
        model = load(folder)
        with torch.no_grad():
            model.readout.head.weight[3] *= 1.001
        return model

    monkeypatch.setattr(weights, "load", wrong)
    with pytest.raises(NumericalError, match=r"differ by .* of the largest at batch 1, more than 1e-05"):
        minform_cli.export(finished, "safetensors", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing(
    signum: int, code: int, finished: Path, tmp_path: Path, minform: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = weights.write

    def signalled(model: Any, folder: Path) -> Any:
        write(model, folder)
        os.kill(os.getpid(), signum)

    monkeypatch.setattr(weights, "write", signalled)
    done = minform("export", str(finished), "--out", str(tmp_path / "out"))
    assert (done.code, done.err.count("\n")) == (code, 1)
    assert "nothing was written" in done.err
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, minform: Command) -> None:
    stored(tmp_path / "run", "classify-images", VIT, IMAGES, change=lambda weights: weights[0].fill_(float("nan")))
    done = minform("export", str(tmp_path / "run"), "--out", str(tmp_path / "out"))
    assert (done.code, done.err.count("\n")) == (3, 1)
    assert "outputs are not finite" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_card_of_a_reduced_run_shows_before_and_after(finished: Path, tmp_path: Path) -> None:
    options = minform_cli.ReduceOptions(variant="no-mlp", threads=1)
    (reduced,) = minform_cli.reduce(finished, tmp_path / "run", options)
    record = minform_cli.export(tmp_path / "run", "safetensors", tmp_path / "out")
    card = (tmp_path / "out/README.md").read_text()
    before, after = reduced["before"]["parameters"], reduced["after"]["parameters"]
    (line,) = [line for line in card.splitlines() if line.startswith("| parameters")]
    assert [cell.strip() for cell in line.split("|")[2:4]] == [f"{before:,}", f"{after:,}"]
    assert record["command"] == reduced["command"]
    assert f"- source: {finished}" in card
    assert "Layer by layer" in card
