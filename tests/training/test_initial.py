"""Runs that start from another run's weights: which they take, and that they resume, move and are refused as others."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from minform_cli.config.presets import load_config, resolve
from minform_cli.config.schema import RunConfig
from minform_cli.data.spec import spec_for
from minform_cli.errors import InputError
from minform_cli.files import RunFolder, read_json, write_json
from minform_cli.models.build import build_model
from minform_cli.runs.folder import read_meta
from minform_cli.runs.records import read_result
from minform_cli.runs.stored import read_start
from minform_cli.runs.tensors import weights_of
from minform_cli.training.evaluate import evaluate_run
from minform_cli.training.initial import READOUT, start_from, weights_digest
from minform_cli.training.run import dry_run, train
from minform_cli.training.step import Stepper
from tests.data.pictures import make_folder
from tests.data.text.prose import WORDS
from tests.training.conftest import bits
from tests.training.launching import launch
from tests.training.test_text import corpus, interrupted, last_weights, text_run

TUNING = (
    "data.seq_len=16",
    "model.dropout=0.1",
    "train.batch_size=16",
    "train.epochs=2",
    "train.warmup_epochs=0.5",
    "train.eval_batch_size=5",
)
"""33 examples in batches of 16: three steps an epoch, the last of a single example."""


def sentences(folder: Path) -> Path:
    """SST-2 in miniature: words without sense, of many lengths."""
    folder.mkdir()
    chosen = random.Random(0)
    for name, num in (("train.tsv", 33), ("dev.tsv", 8)):
        rows = [f"{' '.join(chosen.choices(WORDS, k=1 + i % 9))}\t{i % 2}" for i in range(num)]
        (folder / name).write_text("\n".join(["sentence\tlabel", *rows]) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished masked-token run, another one of another seed, and sentences."""
    folder = tmp_path_factory.mktemp("made")
    text = corpus(folder)
    for seed in (0, 1):
        train(text_run(text, "train.epochs=1", seed=seed), folder / f"source-{seed}", device="cpu", threads=1)
    sentences(folder / "SST-2")
    return folder


def tuned(made: Path, source: Path, *settings: str, seed: int = 0, variant: str = "baseline") -> RunConfig:
    """A run on the sentences that starts from `source`."""
    given = [f"data.path={made / 'SST-2'}", *TUNING, *settings]
    return resolve("glue-sst2", variant, given, seed, read_start(source)).config


@pytest.fixture(scope="module")
def whole(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of such a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("tuned") / "run"
    train(tuned(made, made / "source-0"), folder, device="cpu", threads=1)
    return folder


@pytest.fixture
def before_training(tmp_path: Path) -> Callable[[RunConfig], dict[str, Tensor]]:
    """The weights that a run takes its first step with."""

    def look(config: RunConfig) -> dict[str, Tensor]:
        seen: dict[str, Tensor] = {}

        def spy(self: Stepper, step: int, _batch: Any) -> tuple[float, int]:
            assert step == 0
            seen.update({name: tensor.clone() for name, tensor in weights_of(self.model).items()})
            raise InterruptedError

        with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(InterruptedError):
            monkeypatch.setattr(Stepper, "take", spy)
            train(config, tmp_path / "looked-at", device="cpu", threads=1)
        shutil.rmtree(tmp_path / "looked-at")
        return seen

    return look


def test_a_run_starts_with_the_body_of_its_source_and_a_readout_of_its_own(
    made: Path, before_training: Callable[[RunConfig], dict[str, Tensor]]
) -> None:
    config = tuned(made, made / "source-0", seed=3)
    first, source = before_training(config), last_weights(made / "source-0")
    alone = before_training(config.model_copy(update={"init": None}))
    readout = {name for name in first if name.startswith(READOUT)}
    assert first.keys() - readout == {name for name in source if not name.startswith(READOUT)}
    assert all(torch.equal(first[name], source[name]) for name in first.keys() - readout)
    assert not any("pooler" in name for name in source) and any("pooler" in name for name in readout)
    assert all(torch.equal(first[name], alone[name]) for name in readout)  # by its own seed, as without a source
    assert not torch.equal(alone["embedding.words.weight"], first["embedding.words.weight"])


def test_a_readout_of_the_same_shape_is_not_taken_over_either(
    made: Path, whole: Path, before_training: Callable[[RunConfig], dict[str, Tensor]]
) -> None:
    first, source = before_training(tuned(made, whole, seed=3)), last_weights(whole)
    assert first.keys() == source.keys()
    for name, tensor in first.items():
        if not name.startswith(READOUT):
            assert torch.equal(tensor, source[name])
        elif tensor.any():  # biases begin at zero
            assert not torch.equal(tensor, source[name])


def test_run_and_result_say_what_was_measured_and_where_it_came_from(made: Path, whole: Path) -> None:
    result, source = read_result(whole), read_result(made / "source-0")
    assert read_meta(RunFolder(whole))["initial"] == source["weights_sha256"] == weights_digest(made / "source-0")
    assert result["metric"] == "accuracy" and result["data"]["own_val"] is True
    assert (result["data"]["num_train"], result["data"]["num_val"], result["data"]["num_test"]) == (33, 8, 0)
    # As published: with the pooler, without head; N = 16, 2 classes.
    assert result["count"]["parameters"] == source["count"]["parameters"]
    assert result["count"]["task_head_parameters"] == 2 * 16 + 2
    assert result["trained_parameters"] == result["count"]["parameters"] + 34
    assert result["trained_parameters"] == sum(tensor.numel() for tensor in last_weights(whole).values())
    assert load_config(RunFolder(whole).config) == tuned(made, made / "source-0")
    assert (whole / "tokenizer.json").read_bytes() == (made / "source-0" / "tokenizer.json").read_bytes()


def test_another_source_gives_another_run(made: Path, whole: Path, tmp_path: Path) -> None:
    train(tuned(made, made / "source-1"), tmp_path / "run", device="cpu", threads=1)
    assert bits(tmp_path / "run")["weights"] != bits(whole)["weights"]


@pytest.mark.parametrize("step", [2, 3])
def test_a_run_stopped_and_resumed_has_the_bits_of_one_in_one_go(
    made: Path, whole: Path, step: int, tmp_path: Path
) -> None:
    config = tuned(made, made / "source-0")
    out = interrupted(config, tmp_path / "run", step)
    train(config, out, resume=True, device="cpu")
    assert bits(out) == bits(whole)


def test_a_run_goes_on_to_the_same_bits_when_its_source_has_moved(made: Path, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "source-0", tmp_path / "before")
    out = interrupted(tuned(made, tmp_path / "before"), tmp_path / "run", 2)
    (tmp_path / "before").rename(tmp_path / "after")
    train(tuned(made, tmp_path / "after"), out, resume=True, device="cpu")
    assert bits(out) == bits(whole)


def test_weights_replaced_in_the_source_are_noticed_on_resume(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "source-0", tmp_path / "source")
    config = tuned(made, tmp_path / "source")
    out = interrupted(config, tmp_path / "run", 2)
    before = bits(out)
    shutil.rmtree(tmp_path / "source")
    shutil.copytree(made / "source-1", tmp_path / "source")
    # The tokenizers are the same, as the text is: nothing but the weights differs.
    with pytest.raises(InputError, match=r"the weights in .*source are not those that the run was started from"):
        train(config, out, resume=True, device="cpu")
    assert bits(out) == before


def test_a_finished_run_is_measured_without_its_source(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "source-0", tmp_path / "source")
    result = train(tuned(made, tmp_path / "source"), tmp_path / "run", device="cpu", threads=1)
    shutil.rmtree(tmp_path / "source")
    record = evaluate_run(tmp_path / "run", device="cpu", threads=1)
    assert record["measured"]["accuracy"] == result["metrics"]["val_accuracy"]
    assert record["loss"] == result["metrics"]["val_loss"]
    assert record["class_names"] == ["negative", "positive"]


def test_a_source_that_is_not_finished_is_refused_and_leaves_no_folder(made: Path, tmp_path: Path) -> None:
    config = tuned(made, made / "source-0").model_copy(update={"init": str(tmp_path / "half")})
    interrupted(text_run(made / "train.txt"), tmp_path / "half", 2)
    with pytest.raises(InputError, match="half: its run is not finished; accepted: the folder of a finished run"):
        train(config, tmp_path / "run", device="cpu", threads=1)
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="half: its run is not finished"):
        dry_run(config, device="cpu", threads=1)


@pytest.mark.parametrize("damaged", ["run.json", "checkpoint.json", "weights"])
def test_a_damaged_source_is_refused_and_leaves_no_folder(made: Path, damaged: str, tmp_path: Path) -> None:
    shutil.copytree(made / "source-0", tmp_path / "source")
    config = tuned(made, tmp_path / "source")
    if damaged == "weights":
        (file,) = (tmp_path / "source").glob("weights-*.safetensors")
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(bytes(content))
    else:
        value = read_json(tmp_path / "source" / damaged, "file")
        write_json(tmp_path / "source" / damaged, {**value, "minform": "damaged"})
    with pytest.raises(InputError) as caught:
        train(config, tmp_path / "run", device="cpu", threads=1)
    assert str(caught.value).isprintable() and "damaged" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_weights_of_another_model_are_refused_and_change_nothing(made: Path) -> None:
    other = text_run(made / "train.txt", "model.mlp_multiple=2")
    model = build_model(other, spec_for(other))
    before = {name: tensor.clone() for name, tensor in weights_of(model).items()}
    with pytest.raises(InputError, match=r"for blocks\.0.* is \(64, 16\) there and \(32, 16\) here; acc"):
        start_from(made / "source-0", model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights_of(model).items())
    with pytest.raises(InputError, match=r"its model is another one, for weight is not in it; accepted: a run of"):
        start_from(made / "source-0", torch.nn.Linear(2, 2))


def test_weights_that_the_data_do_not_go_with_are_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    for name, mode in (("grey", "L"), ("colour", "RGB")):
        make_folder(tmp_path / name, {"train": {"a": 2, "b": 2}}, mode=mode)
    sizes = ["model.dim=8", "model.depth=1", "model.heads=1", "train.epochs=1", "train.warmup_epochs=0"]
    grey, colour = (["data.name=image-folder", f"data.path={tmp_path / name}", *sizes] for name in ("grey", "colour"))
    train(resolve("digits", "baseline", grey).config, tmp_path / "first", device="cpu", threads=1)
    config = resolve("digits", "baseline", colour, 0, read_start(tmp_path / "first")).config
    for attempt in (train, dry_run):
        with pytest.raises(
            InputError, match=r"for embedding\.patches\.weight is \(8, 1, 4, 4\) there and \(8, 3, 4, 4\)"
        ):
            attempt(config, tmp_path / "run", device="cpu", threads=1)
        assert not (tmp_path / "run").exists()


def test_a_finished_run_is_not_taken_for_one_that_starts_from_another(made: Path, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "source-0", tmp_path / "copied")
    result = train(tuned(made, tmp_path / "copied"), whole, resume=True, device="cpu", threads=1)
    assert result["weights_sha256"] == read_result(whole)["weights_sha256"]
    with pytest.raises(InputError, match="source-1 are not those that the run was started from"):
        train(tuned(made, made / "source-1"), whole, resume=True, device="cpu", threads=1)
    with pytest.raises(InputError, match=r"it was started with --init \S+source-0, this one with no --init; going on"):
        given = [f"data.path={made / 'SST-2'}", *TUNING]
        train(resolve("glue-sst2", "baseline", given).config, whole, resume=True, device="cpu", threads=1)


def test_two_processes_tune_what_one_does(made: Path, tmp_path: Path) -> None:
    """The last batch of an epoch has one example: the other process has none."""
    # Without dropout, which differs between processes, and AdamW's division of what is nothing but rounding.
    given = [f"data.path={made / 'SST-2'}", *TUNING, "model.dropout=0", "train.learning_rate=1e-3"]
    train(tuned(made, made / "source-0", *given[1:]), tmp_path / "one", device="cpu", threads=1)
    sets = [word for setting in given for word in ("--set", setting)]
    places = ["--init", str(made / "source-0"), "--out", str(tmp_path / "two")]
    command = ["train", "--preset", "glue-sst2", *sets, *places, "--device=cpu", "--threads=1"]
    launched = launch(tmp_path / "process", command, command)
    assert launched.codes() == [0, 0], launched.printed()
    one, two = (read_result(tmp_path / name)["metrics"] for name in ("one", "two"))
    assert two == {name: value if value is None else pytest.approx(value, rel=1e-4) for name, value in one.items()}
    weights = last_weights(tmp_path / "two")
    for name, tensor in last_weights(tmp_path / "one").items():
        if not name.endswith("w_k.bias"):  # dead under `bias: all`
            torch.testing.assert_close(weights[name], tensor, rtol=1e-3, atol=1e-4)
