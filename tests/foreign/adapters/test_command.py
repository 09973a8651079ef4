"""`minform import`: what it prints and writes, and that its runs are measured, tuned and exported as any other."""

from __future__ import annotations

import csv
import errno
import json
import shutil
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from minform_cli.data.spec import TextSpec
from minform_cli.errors import MachineError
from minform_cli.files import RunFolder
from minform_cli.foreign import importing
from minform_cli.foreign.adapters.given import Options
from minform_cli.foreign.importing import import_source
from minform_cli.foreign.parity import Parity
from minform_cli.runs.records import read_result
from minform_cli.runs.stored import read_run
from tests.cli.commands import Command
from tests.foreign.adapters.folders import changed, made
from tests.foreign.adapters.test_images import vit
from tests.training.faults import Disk
from tests.training.test_initial import TUNING, sentences

HERE = ("--device", "cpu", "--threads", "1")
TUNED = [word for each in (*TUNING, "train.epochs=1", "data.limit=8") for word in ("--set", each)]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    made(folder, "BertModel")
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a classifier of two classes with names of their own."""
    folder = tmp_path_factory.mktemp("classifier")
    made(folder, "BertForSequenceClassification", id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1})
    import_source(f"hf:{folder}", folder / "run", Options())
    return folder / "run"


def test_it_says_where_every_number_went_and_how_near_outputs_are(bert: Path, tmp_path: Path, minform: Command) -> None:
    done = minform("import", f"hf:{bert}", "--out", str(tmp_path / "run"), "--pooling", "mean", "--format", "json")
    assert done.code == 0, done.err
    (record,) = json.loads(done.out)
    assert record["numbers"] == record["parameters"] + sum(each["numbers"] for each in record["left_over"])
    assert record["parameters"] == sum(record["groups"].values())
    assert {each["tensor"] for each in record["left_over"]} == {"pooler.dense.weight", "pooler.dense.bias"}
    assert record["parity"] < 1e-6
    assert record["parity_inputs"] == 7
    assert record["library"].startswith("transformers ")
    assert "input" in done.err or not done.err


@pytest.mark.parametrize("fmt", ["plain", "markdown", "latex", "csv"])
def test_every_format_has_its_numbers(bert: Path, tmp_path: Path, minform: Command, fmt: str) -> None:
    done = minform("import", f"hf:{bert}", "--out", str(tmp_path / "run"), "--format", fmt)
    assert done.code == 0, done.err
    parameters = read_result(tmp_path / "run")["count"]["parameters"]
    shown = str(parameters) if fmt == "csv" else f"{parameters:,}"
    assert shown in done.out.replace("{", "").replace("}", "")
    if fmt == "csv":
        (row,) = csv.DictReader(done.out.splitlines())
        assert int(row["numbers"]) == int(row["parameters"]) + int(row["numbers_left_over"])


def test_the_run_says_how_it_was_made(bert: Path, tmp_path: Path) -> None:
    out = tmp_path / "a run"
    import_source(f"hf:{bert}", out, Options(pooling="class-token", seq_len=9))
    run = read_run(out)
    assert run.origin is not None
    assert run.origin["command"] == (f"minform import hf:{bert} --out '{out}' --pooling class-token --seq-len 9")
    assert run.origin["left_over"].keys() == {"pooler.dense.weight", "pooler.dense.bias"}
    assert run.config.preset == f"hf:{bert}"
    assert run.config.variant == "baseline"
    assert run.folder.tokenizer.read_bytes() == (bert / "tokenizer.json").read_bytes()


def test_a_classifier_is_measured_where_classes_are_as_many(classifier: Path, tmp_path: Path, minform: Command) -> None:
    run = read_run(classifier)
    assert isinstance(run.spec, TextSpec)
    assert run.spec.class_names == ("bad", "good")
    assert "--set data.name=glue --set data.subset=..." in minform("eval", str(classifier), *HERE).refusal
    place = ("--set", "data.subset=sst2", "--set", f"data.path={sentences(tmp_path / 'SST-2')}")
    done = minform("eval", str(classifier), *place, "--format", "json", *HERE)
    assert done.code == 0, done.err
    (record,) = json.loads(done.out)
    assert record["class_names"] == ["bad", "good"]
    assert "its classes are taken in their order: bad for negative, good for positive" in record["notes"]
    assert record["num_examples"] == 8


def test_a_model_of_images_is_measured_on_images_of_its_size(tmp_path: Path, minform: Command) -> None:
    vit(tmp_path, num_channels=1, num_labels=10)
    done = minform("import", f"hf:{tmp_path}", "--out", str(tmp_path / "run"))
    assert done.code == 0, done.err
    assert "no preprocessor_config.json: pixels are normalised as the library does unasked" in done.err
    place = ("--set", "data.name=digits")
    done = minform("eval", str(tmp_path / "run"), *place, "--format", "json", *HERE)
    assert done.code == 0, done.err
    (record,) = json.loads(done.out)
    assert record["num_examples"] == 270
    other = minform("eval", str(tmp_path / "run"), "--set", "data.name=cifar10", *HERE)
    assert other.code == 2


def test_a_score_is_measured_by_correlations(tmp_path: Path) -> None:
    made(tmp_path, "RobertaForSequenceClassification", num_labels=1)
    import_source(f"hf:{tmp_path}", tmp_path / "run", Options())
    assert read_result(tmp_path / "run")["metric"] == "score"


def test_classes_are_tuned_from_an_imported_encoder(bert: Path, tmp_path: Path, minform: Command) -> None:
    start = tmp_path / "start"
    import_source(f"hf:{bert}", start, Options())
    place = ("--preset", "glue-sst2", "--set", f"data.path={sentences(tmp_path / 'SST-2')}")
    done = minform("train", *place, *TUNED, "--init", str(start), "--out", str(tmp_path / "run"), *HERE)
    assert done.code == 0, done.err
    tuned = read_run(tmp_path / "run")
    assert tuned.folder.tokenizer.read_bytes() == RunFolder(start).tokenizer.read_bytes()
    assert (tuned.config.model.dim, tuned.config.model.depth, tuned.config.data.vocab_size) == (12, 2, 40)
    assert tuned.initial == read_run(start).checkpoint().files["weights"]["sha256"]


def test_a_run_of_ours_is_taken_with_its_last_weights(classifier: Path, tmp_path: Path, minform: Command) -> None:
    done = minform("import", f"run:{classifier}", "--out", str(tmp_path / "run"))
    assert done.code == 0, done.err
    ours, theirs = read_run(tmp_path / "run"), read_run(classifier)
    assert ours.config == theirs.config
    assert all(torch.equal(ours.weights()[name], tensor) for name, tensor in theirs.weights().items())
    assert ours.origin is not None
    assert ours.origin["before"] == theirs.origin
    again = minform("import", f"run:{classifier}", "--out", str(tmp_path / "other"), "--pooling", "mean")
    assert "--pooling: a run of ours is what it is" in again.refusal


def test_outputs_that_differ_end_it_with_nothing_written(
    bert: Path, tmp_path: Path, minform: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for difference in (2e-5, float("nan")):
        monkeypatch.setattr(importing, "compared", lambda *_, d=difference: Parity(d, 1.0, 7))
        done = minform("import", f"hf:{bert}", "--out", str(tmp_path / "run"))
        assert done.code == 1
        assert "outputs differ from those of transformers" in done.err
        assert not (tmp_path / "run").exists()


def test_a_model_that_the_library_does_not_load_is_said_not_to_be_compared(
    bert: Path, tmp_path: Path, minform: Command
) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "model"))
    changed(folder, model_type="no-such-type")
    done = minform("import", f"hf:{folder}", "--out", str(tmp_path / "run"))
    assert done.code == 0, done.err
    assert "outputs" in done.out


def test_a_tokenizer_that_puts_nothing_around_a_sentence_is_told_of(bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "model"))
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["post_processor"] = None
    Tokenizer.from_str(json.dumps(content)).save(str(folder / "tokenizer.json"))
    record = import_source(f"hf:{folder}", tmp_path / "run", Options())
    assert (
        "tokenizer.json makes 'a' of 'a', and a run puts [CLS] before a sentence and [SEP] behind it" in record["notes"]
    )


def test_a_full_disk_leaves_nothing(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    monkeypatch.setattr(importing, "_parity", lambda *_: (None, ()))  # reading, not writing
    with pytest.MonkeyPatch.context() as patch:
        Disk(patch, at=3, how=errno.ENOSPC)
        with pytest.raises(MachineError, match="No space left on device; nothing was written"):
            import_source(f"hf:{bert}", folder / "run", Options())
    assert list(folder.iterdir()) == []
