"""Training on sentence pairs: from the first step to translations, and their figures again from the run's folder."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
import sacrebleu
from torch import Tensor

from minform_cli.config.presets import resolve
from minform_cli.config.schema import RunConfig
from minform_cli.data.batch import Batch
from minform_cli.errors import InputError
from minform_cli.files import RunFolder
from minform_cli.runs.examples import read_examples
from minform_cli.runs.records import read_result
from minform_cli.training import outcome, translation
from minform_cli.training.evaluate import evaluate_run
from minform_cli.training.run import train
from tests.data.text.prose import written
from tests.training.conftest import bits, lines
from tests.training.launching import launch
from tests.training.test_text import interrupted, last_weights

DICTIONARY = {
    "the": "die",
    "old": "alte",
    "dog": "ente",
    "sees": "isst",
    "small": "im",
    "red": "gras",
    "bird": "viel",
    "near": "brot",
}
"""A language whose every word is another one's, in the same order: what a small model can learn in seconds."""

EPOCHS, NUM_TRAIN = 6, 300

RECIPE = (
    "data.name=parallel-text",
    "data.vocab_size=300",
    "data.seq_len=24",
    "model.dim=32",
    "model.depth=1",
    "model.decoder_depth=1",
    "model.heads=2",
    "model.mlp_multiple=2",
    f"train.epochs={EPOCHS}",
    "train.batch_tokens=240",
    "train.learning_rate=1e-2",
    "train.eval_batch_size=7",
    "train.label_smoothing=0",
)


def sentences(num: int, seed: int) -> list[str]:
    chosen = random.Random(seed)
    return [" ".join(chosen.choices(list(DICTIONARY), k=chosen.randint(2, 6))) for _ in range(num)]


def translated(source: list[str]) -> list[str]:
    return [" ".join(DICTIONARY[word] for word in sentence.split()) for sentence in source]


def settings(folder: Path) -> list[str]:
    """Files of pairs in `folder` for all three splits, and what makes `multi30k-tiny` small enough for them."""
    sets = list(RECIPE)
    for seed, (split, num) in enumerate({"": NUM_TRAIN, "val_": 20, "test_": 30}.items()):
        source = sentences(num, seed)
        for side, texts in (("source", source), ("target", translated(source))):
            path = written(folder / f"{split}{side}.txt", "".join(f"{text}\n" for text in texts))
            sets.append(f"data.{split}{side}={path}")
    return sets


def run(folder: Path, *more: str, variant: str = "baseline") -> RunConfig:
    return resolve("multi30k-tiny", variant, [*settings(folder), *more]).config


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pairs")


@pytest.fixture(scope="module", params=["baseline", "anthe"])
def whole(request: pytest.FixtureRequest, files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp(str(request.param)) / "run"
    train(run(files, variant=str(request.param)), folder, device="cpu", threads=1)
    return folder


def variant_of(folder: Path) -> str:
    return str(read_result(folder)["variant"])


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["baseline", "anthe"])
def test_a_word_for_word_language_is_learnt(files: Path, variant: str, tmp_path: Path) -> None:
    config = run(files, "train.epochs=30", "train.batch_tokens=120", variant=variant)
    metrics = train(config, tmp_path / "run", device="cpu", threads=1)["metrics"]
    # Who does not look at the source has one word in eight right.
    assert (metrics["test_bleu"] or 0) > 0.5
    assert (metrics["test_accuracy"] or 0) > 0.8


def test_the_loss_falls_below_that_of_who_does_not_know_the_source(whole: Path) -> None:
    falling = [line["val_loss"] for line in lines(whole / "metrics.jsonl")]
    assert falling[-1] < 1.3 < math.log(len(DICTIONARY)) < falling[0]


def test_each_sentence_has_the_chrf_of_its_translation(whole: Path) -> None:
    result = read_result(whole)
    found = read_examples(RunFolder(whole), result)
    assert found is not None and found.splits["val"].name == "chrF2"
    each, whole_split = found.splits["val"].values, result["metrics"]["val_chrf"]
    assert len(each) == result["data"]["num_val"] and 0 <= each.min() <= each.max() <= 1
    assert whole_split is not None and abs(float(each.mean()) - whole_split) < 0.1  # of sentences of about one length


def test_a_result_holds_both_scores_of_texts_with_the_signatures_they_were_made_with(whole: Path) -> None:
    result = read_result(whole)
    assert result["metric"] == "bleu"
    measured = {f"{split}_{name}" for split in ("val", "test") for name in ("loss", "accuracy", "bleu", "chrf")}
    assert set(result["metrics"]) == measured | {"train_loss", "train_accuracy", "best_val_score", "best_epoch"}
    assert set(result["measured_by"]) == {"bleu", "chrf"}
    assert all(f"version:{sacrebleu.__version__}" in text for text in result["measured_by"].values())
    assert [score for _, score in result["curve"]] == [line["val_bleu"] for line in lines(whole / "metrics.jsonl")]
    data = result["data"]
    assert (data["kind"], data["num_train"], data["num_val"], data["num_test"]) == ("pairs", NUM_TRAIN, 20, 30)


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_run_measured_again_from_its_folder_has_exactly_its_own_figures(whole: Path, split: str) -> None:
    record, metrics = evaluate_run(whole, split, device="cpu", threads=1), read_result(whole)["metrics"]
    assert record["measured"] == {name: metrics[f"{split}_{name}"] for name in ("bleu", "chrf", "accuracy")}
    assert record["loss"] == metrics[f"{split}_loss"]
    assert record["perplexity"] == pytest.approx(math.exp(record["loss"]), rel=1e-12)


def test_scores_are_sacrebleus_of_the_translations_in_the_order_of_their_sentences(whole: Path, files: Path) -> None:
    record = evaluate_run(whole, "test", device="cpu", threads=1, show=30, beams=1)
    source = sentences(30, 2)
    assert [each["source"] for each in record["translations"]] == source
    assert [each["reference"] for each in record["translations"]] == translated(source)
    texts = [each["translation"] for each in record["translations"]]
    assert record["measured"]["bleu"] == sacrebleu.corpus_bleu(texts, [translated(source)]).score / 100
    assert record["measured"]["chrf"] == sacrebleu.corpus_chrf(texts, [translated(source)]).score / 100


def test_every_target_token_and_end_is_predicted_and_no_filling(whole: Path) -> None:
    num = evaluate_run(whole, "train", device="cpu", threads=1)["num_examples"]
    for line in lines(whole / "timings.jsonl"):
        assert line["predicted_per_s"] * line["train_s"] == pytest.approx(num, rel=1e-9)
        assert line["examples_per_s"] * line["train_s"] == pytest.approx(NUM_TRAIN, rel=1e-9)
    record = evaluate_run(whole, "test", device="cpu", threads=1)
    assert record["num_examples"] > sum(len(text.split()) + 1 for text in translated(sentences(30, 2))) - 1


def test_loss_and_translations_do_not_depend_on_what_fills_up_a_batch(files: Path, tmp_path: Path) -> None:
    figures = []
    for size in (1, 20):
        config = run(files, f"train.eval_batch_size={size}", "train.epochs=2")
        result = train(config, tmp_path / str(size), device="cpu", threads=1)
        figures.append([result["metrics"][f"val_{name}"] for name in ("loss", "bleu", "chrf", "accuracy")])
    assert figures[0] == pytest.approx(figures[1], rel=1e-5)  # float32 sums in another order


@pytest.mark.parametrize("step", [3, 40])
def test_a_run_stopped_anywhere_and_resumed_has_the_bits_of_one_in_one_go(
    whole: Path, files: Path, step: int, tmp_path: Path
) -> None:
    config = run(files, variant=variant_of(whole))
    out = interrupted(config, tmp_path / "run", step)
    assert bits(out) != bits(whole)
    result = train(config, out, resume=True, device="cpu")
    assert bits(out) == bits(whole)
    assert result["metrics"] == read_result(whole)["metrics"]


def test_validation_is_greedy_and_the_test_split_is_written_by_a_beam_search(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    write = translation.Translations.write

    def spy(self: translation.Translations, model: Any, batch: Batch) -> None:
        seen.append((len(self.split), self.beams))
        write(self, model, batch)

    monkeypatch.setattr(translation.Translations, "write", spy)
    train(run(files, "train.epochs=1"), tmp_path / "run", device="cpu", threads=1)
    assert set(seen) == {(20, 1), (30, translation.TEST_BEAMS)}


def test_what_asks_for_translations_where_there_are_none_is_refused(
    whole: Path, undisturbed: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="the train split is not translated; accepted: --split val, --split test"):
        evaluate_run(whole, "train", device="cpu", threads=1, show=1)
    with pytest.raises(InputError, match="are for runs that translate, and the task of this one is classify-images"):
        evaluate_run(undisturbed, "val", device="cpu", threads=1, beams=2)


def test_two_processes_compute_what_one_does(files: Path, tmp_path: Path) -> None:
    sets = [*settings(files), "train.epochs=2", "model.bias=live"]
    train(resolve("multi30k-tiny", "baseline", sets).config, tmp_path / "one", device="cpu", threads=1)
    words = [word for setting in sets for word in ("--set", setting)]
    command = ["train", "--preset", "multi30k-tiny", *words, "--out", str(tmp_path / "two"), "--device=cpu"]
    launched = launch(tmp_path / "process", [*command, "--threads=1"], [*command, "--threads=1"])
    assert launched.codes() == [0, 0], launched.printed()
    one: dict[str, Tensor] = last_weights(tmp_path / "one")
    two = last_weights(tmp_path / "two")
    assert all(float((two[name] - tensor).abs().max()) < 1e-3 for name, tensor in one.items())  # as in test_text
    ours, theirs = (lines(tmp_path / name / "metrics.jsonl") for name in ("two", "one"))
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["val_loss"] == pytest.approx(other["val_loss"], rel=1e-3)
        assert mine["val_bleu"] == pytest.approx(other["val_bleu"], abs=0.02)


def test_epochs_that_an_earlier_version_timed_are_left_out_of_the_speed(tmp_path: Path) -> None:
    old = '{"epoch": 1, "train_s": 9.0, "eval_s": 1.0, "examples_per_s": 5.0}\n'
    new = '{"epoch": 2, "train_s": 2.0, "eval_s": 1.0, "examples_per_s": 5.0, "predicted_per_s": 70.0}\n'
    folder = RunFolder(tmp_path)
    folder.timings.write_text(old)
    assert outcome._speed(folder) == {}
    folder.timings.write_text(old + new)
    assert outcome._speed(folder) == {"predicted_per_s": 70.0}
