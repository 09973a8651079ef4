"""Training on text: masked and next tokens from their first step to `result.json`."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from minform_cli.config.presets import load_config, resolve
from minform_cli.config.schema import RunConfig
from minform_cli.data.batch import Share
from minform_cli.data.load import load_data
from minform_cli.data.text.corpora import TextData
from minform_cli.data.text.text_batches import TextBatches
from minform_cli.errors import InputError, Interrupted
from minform_cli.files import RunFolder
from minform_cli.runs.checkpoint import read_checkpoint
from minform_cli.runs.examples import read_examples
from minform_cli.runs.folder import read_meta
from minform_cli.runs.records import read_result
from minform_cli.training.evaluate import evaluate_run
from minform_cli.training.run import train
from minform_cli.training.step import Stepper
from tests.data.text.prose import prose, written
from tests.data.text.test_tokenizer import of_gpt2
from tests.training.conftest import bits, lines
from tests.training.launching import launch

NUM_TRAIN, STEPS_PER_EPOCH, EPOCHS = 114, 5, 3
"""Sequences of `corpus` but for the 6 held out, in batches of 25."""

SIZES = (
    "data.vocab_size=300",
    "data.seq_len=16",
    "model.dim=16",
    "model.depth=1",
    "model.heads=2",
    "model.position={kind: learned, rows: 16}",
)
RECIPE = (
    "model.dropout=0.1",
    "train.batch_size=25",
    f"train.epochs={EPOCHS}",
    "train.learning_rate=1e-2",
    "train.warmup_epochs=0.5",
    "train.clip_norm=0.5",
    "train.eval_batch_size=5",
)
PRESETS = {"masked-tokens": "bert-tiny", "next-tokens": "gpt2"}


def corpus(folder: Path) -> Path:
    """A text of ten kilobytes in `folder`, and another one to test on."""
    written(folder / "test.txt", prose(12, seed=1))
    return Path(written(folder / "train.txt", prose(60)))


def settings(text: Path, *more: str) -> list[str]:
    """What makes a preset for text so small that it trains in a second."""
    return [f"data.path={text}", *SIZES, *RECIPE, *more]


def text_run(
    text: Path, *more: str, task: str = "masked-tokens", variant: str = "baseline", seed: int = 0
) -> RunConfig:
    """A run of 15 steps on `text`."""
    return resolve(PRESETS[task], variant, settings(text, *more), seed).config


def interrupted(config: RunConfig, out: Path, step: int) -> Path:
    """A run that was stopped by a signal at `step`."""
    with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(Interrupted):
        take = Stepper.take

        def signalled(self: Stepper, number: int, batch: Any) -> tuple[float, int]:
            if number + 1 == step:
                os.kill(os.getpid(), 2)
            return take(self, number, batch)

        monkeypatch.setattr(Stepper, "take", signalled)
        train(config, out, device="cpu", threads=1)
    return out


def last_weights(run: Path) -> dict[str, Tensor]:
    """The weights of the run's checkpoint."""
    folder = RunFolder(run)
    return load_file(run / read_checkpoint(folder, read_meta(folder)["sha256"]).files["weights"]["name"])


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module", params=PRESETS)
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def whole(task: str, text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of `task` that nothing happened to, measured on a test text at its end."""
    folder = tmp_path_factory.mktemp(task) / "run"
    train(measured_twice(text, task), folder, device="cpu", threads=1)
    return folder


def measured_twice(text: Path, task: str) -> RunConfig:
    """The run of `whole`."""
    return text_run(text, f"data.test_path={text.with_name('test.txt')}", task=task)


def test_the_loss_falls_from_that_of_chance_to_below_it(whole: Path, text: Path, task: str) -> None:
    seen: list[float] = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        take = Stepper.take

        def spy(self: Stepper, step: int, batch: Any) -> tuple[float, int]:
            seen.append(take(self, step, batch)[0])
            raise InterruptedError

        monkeypatch.setattr(Stepper, "take", spy)
        with pytest.raises(InterruptedError):
            train(measured_twice(text, task), whole.with_name("first-step"), device="cpu", threads=1)
    # Outputs of an untrained model differ by less than 1 from each other: about 300 entries are equally likely.
    assert seen[0] == pytest.approx(math.log(300), abs=0.5)
    entries = Tokenizer.from_file(str(whole / "tokenizer.json")).get_vocab_size()
    falling = [line["val_loss"] for line in lines(whole / "metrics.jsonl")]
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] < math.log(entries) < seen[0] - 0.5  # entries that never occur are the first thing learnt


def test_a_result_holds_what_was_measured_and_both_counts_of_parameters(whole: Path, text: Path, task: str) -> None:
    result = read_result(whole)
    assert result["metric"] == "accuracy"
    measured = {f"{split}_{name}" for split in ("train", "val", "test") for name in ("loss", "accuracy")}
    assert set(result["metrics"]) == measured | {"best_val_score", "best_epoch"}
    assert result["trained_parameters"] == sum(tensor.numel() for tensor in last_weights(whole).values())
    # N = 16: vocabulary, positions; types and norm of BERT's embedding; attention, MLP, norms of one block.
    n, body = 16, (300 + 16) * 16 + 4 * (16**2 + 16) + 2 * 4 * 16**2 + 5 * 16 + 4 * 16
    masked = task == "masked-tokens"
    pooler, head = (n**2 + n, n**2 + n + 2 * n + 300) if masked else (0, 0)
    body += 2 * n + 2 * n if masked else 2 * n  # of the embedding; without it, the last norm
    assert result["count"]["parameters"] == body + pooler
    assert result["count"]["task_head_parameters"] == head
    assert result["trained_parameters"] == body + head
    assert result["count"]["determination_ratio"] is None
    data = result["data"]
    assert (data["kind"], data["num_train"], data["num_val"], data["num_test"]) == ("text", NUM_TRAIN, 6, 24)
    assert [step for step, _ in result["curve"]] == [5, 10, 15]
    assert [score for _, score in result["curve"]] == [line["val_accuracy"] for line in lines(whole / "metrics.jsonl")]
    assert load_config(RunFolder(whole).config) == measured_twice(text, task)


def test_the_tokenizer_in_the_folder_makes_the_same_run(whole: Path, text: Path, task: str, tmp_path: Path) -> None:
    tokenizer = whole / "tokenizer.json"
    assert [Tokenizer.from_file(str(tokenizer)).id_to_token(i) for i in (0, 2, 4)] == ["[PAD]", "[CLS]", "[MASK]"]
    config = measured_twice(text, task)
    own = Path(written(tmp_path / "own.json", tokenizer.read_text()))
    given = config.model_copy(update={"data": config.data.model_copy(update={"tokenizer": str(own)})})
    train(given, tmp_path / "run", device="cpu", threads=1)
    assert bits(tmp_path / "run") == bits(whole)
    assert (tmp_path / "run" / "tokenizer.json").read_bytes() == tokenizer.read_bytes()
    own.unlink()  # measured with the run's own copy
    assert evaluate_run(tmp_path / "run", device="cpu", threads=1)["loss"] == read_result(whole)["metrics"]["val_loss"]


@pytest.mark.parametrize("step", [3, 5, 12])
def test_a_run_stopped_anywhere_and_resumed_has_the_bits_of_one_in_one_go(
    whole: Path, text: Path, task: str, step: int, tmp_path: Path
) -> None:
    out = interrupted(measured_twice(text, task), tmp_path / "run", step)
    assert bits(out) != bits(whole)
    result = train(measured_twice(text, task), out, resume=True, device="cpu")
    assert bits(out) == bits(whole)
    assert result["metrics"] == read_result(whole)["metrics"]


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_run_measured_again_from_its_folder_has_exactly_its_own_figures(whole: Path, split: str) -> None:
    record, metrics = evaluate_run(whole, split, device="cpu", threads=1), read_result(whole)["metrics"]
    assert record["measured"] == {"accuracy": metrics[f"{split}_accuracy"]}
    assert record["loss"] == metrics[f"{split}_loss"]
    assert (record["class_names"], record["per_class_accuracy"], record["confusion"]) == ([], [], [])
    best = evaluate_run(whole, "val", which="best", device="cpu", threads=1)
    assert best["measured"]["accuracy"] == metrics["best_val_score"]


def test_all_tokens_of_a_split_are_predicted_one_by_one_or_a_seventh_of_them(whole: Path, task: str) -> None:
    # Next tokens: 14 of the text and the end. Masked: 15 %, one at least, of 24 x 14.
    num = evaluate_run(whole, "test", device="cpu", threads=1)["num_examples"]
    assert num == 24 * 15 if task == "next-tokens" else 24 <= num < 100


def test_each_sequence_has_the_share_of_its_tokens_that_is_right(whole: Path, task: str) -> None:
    result = read_result(whole)
    found = read_examples(RunFolder(whole), result)
    assert found is not None
    shares, accuracy = found.splits["val"].values, result["metrics"]["val_accuracy"]
    assert found.splits["val"].name == "share of tokens right" and len(shares) == result["data"]["num_val"]
    assert accuracy is not None and 0 <= shares.min() <= shares.max() <= 1
    if task == "next-tokens":  # of which every sequence has as many
        assert float(shares.mean()) == pytest.approx(accuracy, abs=1e-6)


def test_the_test_text_is_read_once_after_the_last_step(text: Path, task: str, tmp_path: Path) -> None:
    read: list[str] = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        evaluation = TextBatches.evaluation

        def spy(self: TextBatches, split: Any) -> Any:
            read.append(split)
            return evaluation(self, split)

        monkeypatch.setattr(TextBatches, "evaluation", spy)
        train(measured_twice(text, task), tmp_path / "run", device="cpu", threads=1)
    assert read == ["val", "val", "val", "test"]


def test_without_a_test_text_there_are_no_test_figures(text: Path, tmp_path: Path) -> None:
    result = train(text_run(text, "train.epochs=1"), tmp_path / "run", device="cpu", threads=1)
    assert result["metrics"]["test_loss"] is None and result["metrics"]["test_accuracy"] is None
    with pytest.raises(InputError, match="--split test: train has no test split; accepted: val, train"):
        evaluate_run(tmp_path / "run", "test", device="cpu", threads=1)


def test_examples_per_second_are_sequences_and_not_tokens(whole: Path) -> None:
    for line in lines(whole / "timings.jsonl"):
        assert line["examples_per_s"] * line["train_s"] == pytest.approx(NUM_TRAIN, rel=1e-9)


def test_the_epochs_training_metrics_are_means_over_its_predicted_tokens(text: Path, tmp_path: Path) -> None:
    seen: list[tuple[float, int, int]] = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        take = Stepper.take

        def spy(self: Stepper, step: int, batch: Any) -> tuple[float, int]:
            seen.append((*take(self, step, batch), len(batch.labels)))
            return seen[-1][:2]

        monkeypatch.setattr(Stepper, "take", spy)
        train(text_run(text), tmp_path / "run", device="cpu", threads=1)
    assert len({number for _, _, number in seen}) > 2  # so that a mean of means would be another number
    for epoch, line in enumerate(lines(tmp_path / "run" / "metrics.jsonl")):
        steps = seen[STEPS_PER_EPOCH * epoch : STEPS_PER_EPOCH * (epoch + 1)]
        tokens = sum(number for _, _, number in steps)
        assert line["train_loss"] == pytest.approx(sum(loss * number for loss, _, number in steps) / tokens, rel=1e-12)
        assert line["train_accuracy"] == sum(right for _, right, _ in steps) / tokens


def test_a_text_changed_between_stop_and_resume_is_refused(tmp_path: Path) -> None:
    text = corpus(tmp_path)
    out = interrupted(text_run(text), tmp_path / "run", 3)
    before = bits(out)
    text.write_text(prose(60, seed=7))
    with pytest.raises(InputError, match=r"the data differ from those the run was made with: fingerprint"):
        train(text_run(text), out, resume=True, device="cpu")
    assert bits(out) == before
    text.write_text(prose(60))
    assert train(text_run(text), out, resume=True, device="cpu")["steps"] == EPOCHS * STEPS_PER_EPOCH


def test_another_seed_hides_other_tokens_but_is_measured_on_the_same_ones(text: Path) -> None:
    one, other = (batches(text, seed) for seed in (0, 1))
    assert not equal(one.epoch(0), other.epoch(0))
    assert equal(one.evaluation("val"), other.evaluation("val"))


def batches(text: Path, seed: int) -> TextBatches:
    config = text_run(text, seed=seed)
    data = load_data(config.data)
    assert isinstance(data, TextData)
    return TextBatches(data, config, torch.device("cpu"), Share())


def equal(one: Any, other: Any) -> bool:
    return all(
        a.labels.shape == b.labels.shape and torch.equal(a.labels, b.labels) for a, b in zip(one, other, strict=True)
    )


# In batches of 25 the 101st sequence is alone: the other process has nothing to train on.
@pytest.mark.parametrize("limit", [NUM_TRAIN, 101])
def test_two_processes_compute_what_one_does(text: Path, task: str, limit: int, tmp_path: Path) -> None:
    # Dropout differs between processes, and the gradients of dead biases are nothing but rounding.
    exact = ("model.dropout=0", "model.bias=live")
    more = (f"data.test_path={text.with_name('test.txt')}", f"data.limit={limit}", *exact)
    train(text_run(text, *more, task=task), tmp_path / "one", device="cpu", threads=1)
    sets = [word for setting in settings(text, *more) for word in ("--set", setting)]
    command = ["train", "--preset", PRESETS[task], *sets, "--out", str(tmp_path / "two"), "--device=cpu", "--threads=1"]
    launched = launch(tmp_path / "process", command, command)
    assert launched.codes() == [0, 0], launched.printed()
    one, two = last_weights(tmp_path / "one"), last_weights(tmp_path / "two")
    assert one.keys() == two.keys()
    # Sums in another order differ by 1e-7 of their largest term, and Adam divides by the gradient's own size: what is
    # small in all terms can come out several times as far off. A lost or doubled sequence is off by 1e-2.
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-4)
    ours, theirs = (lines(tmp_path / name / "metrics.jsonl") for name in ("two", "one"))
    assert ours == [pytest.approx(line, rel=1e-4) for line in theirs]
    losses = [read_result(tmp_path / name)["metrics"]["test_loss"] for name in ("one", "two")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    for line in lines(tmp_path / "two" / "timings.jsonl"):  # of both together
        assert line["examples_per_s"] * line["train_s"] == pytest.approx(limit, rel=1e-9)


def test_a_tokenizer_is_asked_for_what_its_task_uses(text: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "tokenizer.json", of_gpt2().to_str())
    sets = (f"data.tokenizer={path}", "train.epochs=1")
    result = train(text_run(text, *sets, task="next-tokens"), tmp_path / "run", device="cpu", threads=1)
    assert evaluate_run(tmp_path / "run", device="cpu", threads=1)["loss"] == result["metrics"]["val_loss"]
    with pytest.raises(
        InputError, match=r"has no entry to hide with \(\[MASK\], <mask>, .*: <\|endoftext\|>; accepted"
    ):
        train(text_run(text, *sets), tmp_path / "masked", device="cpu", threads=1)
    assert not (tmp_path / "masked").exists()
