"""A finished run that nobody trained here is a run like any other: to `eval`, as a start, in a study."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from minform_cli.config.presets import load_config, resolve
from minform_cli.config.schema import DataConfig, ModelConfig
from minform_cli.data.spec import TextSpec
from minform_cli.data.text.tokenizer import trained as tokenizer_of
from minform_cli.errors import InputError, MachineError, NumericalError
from minform_cli.files import RunFolder
from minform_cli.models.build import build_model
from minform_cli.runs.made import Made, beside, write_run
from minform_cli.runs.records import read_result
from minform_cli.runs.stored import StoredRun, read_run
from minform_cli.runs.tensors import weights_of
from minform_cli.training.evaluate import evaluate_run
from minform_cli.training.run import train
from tests.cli.commands import Command
from tests.data.text.prose import WORDS
from tests.training.faults import Died, Disk, another_process
from tests.training.test_initial import TUNING, sentences

SMALL = ["model.dim=8", "model.depth=1", "model.heads=2", "model.mlp_multiple=1", "data.limit=60"]
ONCE = ["train.epochs=1", "train.warmup_epochs=0", "train.batch_size=20"]
HERE = ("--device", "cpu", "--threads", "1")
ORIGIN = {"made": "reduced", "source": "a run", "command": "minform reduce"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(resolve("digits", settings=[*SMALL, *ONCE]).config, folder, device="cpu", threads=1)
    return read_run(folder)


@pytest.fixture
def made(trained: StoredRun) -> Made:
    """The same run, as if somebody had made it."""
    assert trained.spec is not None
    return Made(
        config=trained.config,
        spec=trained.spec,
        weights=trained.weights(),
        normalisation=trained.normalisation,
        tokenizer=None,
        fingerprint=trained.fingerprint,
        origin=ORIGIN,
    )


def sentence_run(out: Path, task: str = "classify-sentences", classes: str = "LABEL_0 LABEL_1") -> StoredRun:
    """A run on sentences of nobody knows which data, with the words of `prose` as its vocabulary."""
    vocabulary = tokenizer_of(DataConfig(name="text", vocab_size=200), [" ".join(WORDS)])
    config = resolve("glue-sst2", settings=TUNING).config
    model = ModelConfig.model_validate(
        {
            **config.model.model_dump(),
            "dim": 8,
            "depth": 1,
            "heads": 2,
            "mlp_multiple": 1,
            "readout": "mean",
            "dropout": 0,
        }
    )
    data = config.data.model_copy(update={"path": None, "subset": None, "vocab_size": vocabulary.size})
    config = config.model_copy(update={"preset": "hf:there", "task": task, "data": data, "model": model})
    names = tuple(classes.split())
    size = vocabulary.size
    spec = TextSpec(name="imported", title="there", source="there", vocab_size=size, seq_len=16, class_names=names)
    torch.manual_seed(0)
    weights = weights_of(build_model(config, spec))
    return write_run(
        out,
        Made(
            config=config,
            spec=spec,
            weights=weights,
            normalisation=None,
            tokenizer=vocabulary.json.decode(),
            fingerprint="",
            origin={"made": "imported", "source": "hf:there", "command": "minform import"},
        ),
    )


def test_it_has_its_weights_its_config_and_says_how_it_was_made(tmp_path: Path, made: Made) -> None:
    found = write_run(tmp_path / "deep" / "run", made)
    assert found.origin == ORIGIN
    assert found.config == made.config == load_config(found.folder.config)
    assert found.spec == made.spec
    assert found.normalisation == made.normalisation
    assert found.weights().keys() == made.weights.keys()
    assert all(torch.equal(found.weights()[name], tensor) for name, tensor in made.weights.items())
    assert sorted(path.name for path in found.folder.path.iterdir()) == [
        *("checkpoint.json", "config.yaml", "result.json", "run.json", "weights-0.safetensors")
    ]


def test_its_result_counts_the_model_and_no_step(tmp_path: Path, made: Made, trained: StoredRun) -> None:
    result = read_result(write_run(tmp_path / "run", replace(made, metrics={"val_accuracy": 0.5})).folder.path)
    theirs = read_result(trained.folder.path)
    assert result["steps"] == 0
    assert result["count"] == theirs["count"]
    assert result["data"] == theirs["data"]
    assert result["trained_parameters"] == theirs["trained_parameters"]
    assert result["metrics"] == {"val_accuracy": 0.5}


def test_it_measures_what_the_run_does_whose_weights_it_has(tmp_path: Path, made: Made, trained: StoredRun) -> None:
    found = evaluate_run(write_run(tmp_path / "run", made).folder.path, "test", device="cpu", threads=1)
    theirs = evaluate_run(trained.folder.path, "test", device="cpu", threads=1)
    assert (found["loss"], found["measured"]) == (theirs["loss"], theirs["measured"])


def test_runs_and_studies_start_from_it(tmp_path: Path, made: Made, minform: Command) -> None:
    out = write_run(tmp_path / "run", made).folder.path
    settings = [word for setting in (*SMALL, *ONCE) for word in ("--set", setting)]
    done = minform("train", *settings, "--init", str(out), "--out", str(tmp_path / "tuned"), *HERE)
    assert done.code == 0, done.err
    study = tmp_path / "study"
    one = ("--variant", "baseline", "--seed", "0", "--jobs", "1", "--init", str(out), "--out", str(study))
    done = minform("compare", *settings, *one, *HERE)
    assert done.code == 0, done.err
    assert (study / "report.html").is_file()
    started = read_run(study / "baseline" / "seed-0")
    assert started.initial == read_run(out).checkpoint().files["weights"]["sha256"]


def test_training_it_again_says_that_it_is_finished(tmp_path: Path, made: Made, minform: Command) -> None:
    out = write_run(tmp_path / "run", made).folder.path
    settings = [word for setting in (*SMALL, *ONCE) for word in ("--set", setting)]
    done = minform("train", "--preset", "digits", *settings, "--out", str(out), "--resume", *HERE)
    assert done.code == 0, done.err
    assert "is finished: nothing to do" in done.err
    assert "epochs, steps" in done.out


def test_no_epoch_of_it_was_the_best(tmp_path: Path, made: Made, minform: Command) -> None:
    out = write_run(tmp_path / "run", made).folder.path
    refusal = minform("eval", str(out), "--checkpoint", "best", *HERE).refusal
    assert refusal == f"{out} was not trained here, so no epoch was its best; accepted: last"


def test_a_folder_that_is_not_empty_stays_as_it_is(tmp_path: Path, made: Made) -> None:
    (tmp_path / "note").write_text("mine")
    for again in (False, True):
        with pytest.raises(InputError, match="--out names another"):
            write_run(tmp_path, made, replace=again)
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


def test_it_takes_the_place_of_an_empty_folder_and_under_replace_of_a_run(tmp_path: Path, made: Made) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / ".lock").touch()
    write_run(out, made)
    found = write_run(out, replace(made, origin={"made": "anew"}), replace=True)
    assert found.origin == {"made": "anew"}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def faults(made: Made, folder: Path) -> Iterator[int]:
    """Every call that touches the disk while a run takes another's place."""
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch)
        write_run(folder / "counted", made)
        total = disk.calls
    yield from range(1, total + 1)


def test_a_full_disk_leaves_nothing_and_takes_nothing(tmp_path: Path, made: Made) -> None:
    out = tmp_path / "here" / "run"
    write_run(out, made)
    other = replace(made, origin={"made": "anew"})
    for at in faults(made, tmp_path):
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, at=at, how=errno.ENOSPC)
            try:
                write_run(out, other, replace=True)
                expected = other.origin
            except MachineError as error:
                assert "No space left" in str(error)
                expected = ORIGIN
        assert read_run(out).origin == expected, at
        read_run(out).weights()
        assert [path.name for path in out.parent.iterdir()] == ["run"]
        if expected != ORIGIN:
            write_run(out, made, replace=True)


def twice(out: Path, made: Made) -> None:
    """Writes a run beside `out`, and that beside its place, as `reduce` does."""
    with beside(out) as folder:
        folder.path.rmdir()
        write_run(folder.path, made)


def test_what_a_process_that_was_killed_left_is_cleared_away_by_the_next(tmp_path: Path, made: Made) -> None:
    out = tmp_path / "here" / "run"
    for at in faults(made, tmp_path):
        with pytest.MonkeyPatch.context() as patch:
            another_process(patch)
            Disk(patch, at=at, how="die")
            with suppress(Died):
                twice(out, made)
        if not out.exists():
            twice(out, made)
        read_run(out).weights()
        assert [path.name for path in out.parent.iterdir()] == ["run"]
        shutil.rmtree(out)


def test_weights_that_are_not_finite_make_no_run(tmp_path: Path, made: Made) -> None:
    name, tensor = next(iter(made.weights.items()))
    spoilt = {**made.weights, name: tensor * torch.nan}
    with pytest.raises(NumericalError, match=name):
        write_run(tmp_path / "run", replace(made, weights=spoilt))
    assert not (tmp_path / "run").exists()


def test_of_unknown_data_it_says_which_it_can_be_measured_on(tmp_path: Path, minform: Command) -> None:
    out = sentence_run(tmp_path / "run").folder.path
    assert minform("eval", str(out), *HERE).refusal == (
        f"{out} was not trained on data that are known here; accepted: --set data.name=glue --set data.subset=... "
        "--set data.path=... says what to measure it on"
    )


def test_it_is_measured_on_classes_that_are_as_many_as_its_own(tmp_path: Path, minform: Command) -> None:
    out = sentence_run(tmp_path / "run").folder.path
    place = ("--set", f"data.path={sentences(tmp_path / 'SST-2')}")
    done = minform("eval", str(out), "--set", "data.subset=sst2", *place, *HERE)
    assert done.code == 0, done.err
    assert "its classes are taken in their order: LABEL_0 for negative, LABEL_1 for positive" in done.err
    assert "accuracy" in done.out
    three = sentence_run(tmp_path / "three", classes="a b c").folder.path
    assert (
        "whose classes are a, b, c" in minform("eval", str(three), "--set", "data.subset=sst2", *place, *HERE).refusal
    )


def test_a_run_without_labels_is_counted_and_started_from_and_neither_trained_nor_measured(
    tmp_path: Path, minform: Command
) -> None:
    out = sentence_run(tmp_path / "run", "embed-sentences", classes="").folder.path
    assert read_result(out)["count"]["groups"]["head"] == 0
    assert "no data set says which vector" in minform("eval", str(out), *HERE).refusal
    preset = tmp_path / "embed.yaml"
    preset.write_text("extends: bert-tiny\ntask: embed-sentences\n", encoding="utf-8")
    assert "no data set says which vector" in minform("train", "--preset", str(preset), *HERE).refusal
    assert "no data set says which vector" in minform("compare", "--preset", str(preset), *HERE).refusal
    tuning = [word for each in (*TUNING, "train.epochs=1") for word in ("--set", each)]
    tuning += ["--set", f"data.path={sentences(tmp_path / 'SST-2')}", "--preset", "glue-sst2"]
    tuned = tmp_path / "tuned"
    done = minform("train", *tuning, "--init", str(out), "--out", str(tuned), *HERE)
    assert done.code == 0, done.err
    assert RunFolder(tuned).tokenizer.read_bytes() == RunFolder(out).tokenizer.read_bytes()
