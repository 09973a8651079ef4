"""What rows lose, counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minform_cli.config.presets import resolve
from minform_cli.runs.examples import ExampleScores, RunExamples
from minform_cli.runs.records import ResultRecord
from minform_cli.study.losses import MOST, losses
from minform_cli.study.shown import shown_examples
from minform_cli.training.run import train
from tests.report.records import result_record
from tests.training.conftest import tiny

ANSWERS = {
    "baseline": ["11110", "11100", "11010"],
    "no-mlp": ["01110", "01101", "10011"],
}
"""Right or wrong, an example a place, by seed: 3 3 2 2 0 of three are right, and 1 2 2 2 2."""


def made(answers: dict[str, list[str]]) -> tuple[list[ResultRecord], dict[str, RunExamples]]:
    results: list[ResultRecord] = []
    examples: dict[str, RunExamples] = {}
    for variant, seeds in answers.items():
        for seed, bits in enumerate(seeds):
            result = result_record(variant, seed)
            result["weights_sha256"] = f"{variant} {seed}"
            scores = ExampleScores("right", np.array([int(bit) for bit in bits], dtype=np.float32))
            examples[result["weights_sha256"]] = RunExamples("0", {"val": scores})
            results.append(result)
    return results, examples


def test_examples_are_ordered_by_how_many_seeds_lose_them() -> None:
    found = losses(*made(ANSWERS), "baseline")
    (record,) = found.records
    assert (record["variant"], record["seeds"], record["num_examples"]) == ("no-mlp", 3, 5)
    assert (record["num_lost"], record["num_gained"]) == (1, 1)
    assert [(each["index"], each["reference_right"], each["own_right"]) for each in record["examples"]] == [
        (0, 3, 1),
        (1, 3, 2),
    ]
    assert found.indices() == [0, 1]
    assert found.agreement == {"names": ["baseline", "no-mlp"], "shares": [[1.0, 0.6], [0.6, 1.0]]}


def test_seeds_of_one_row_alone_do_not_count() -> None:
    results, examples = made(ANSWERS)
    del examples["baseline 1"]
    (record,) = losses(results, examples, "baseline").records
    assert record["seeds"] == 2
    assert record["examples"][0] == {"index": 0, "reference_right": 2, "own_right": 1}


def test_no_more_than_ten_are_named() -> None:
    found = losses(*made({"baseline": ["1" * 40], "no-mlp": ["0" * 40]}), "baseline")
    assert [each["index"] for each in found.records[0]["examples"]] == list(range(MOST))
    assert found.records[0]["num_lost"] == 40


def test_without_examples_nothing_is_said() -> None:
    results, _ = made(ANSWERS)
    found = losses(results, {}, "baseline")
    assert found.records == [] and found.agreement is None


def test_images_are_shown_as_they_are(tmp_path: Path) -> None:
    train(tiny(), tmp_path / "run", device="cpu", threads=1)
    shown = shown_examples(tmp_path / "run", None, [0, 5])
    assert shown.keys() == {"0", "5"}
    assert all(each["png"] and each["text"] is None and each["label"] for each in shown.values())


def test_sentences_are_shown_as_their_words(tmp_path: Path) -> None:
    (tmp_path / "SST-2").mkdir()
    told = {"train.tsv": ["a fine film\t1", "dull and slow\t0"] * 8, "dev.tsv": ["a slow film\t0", "fine\t1"]}
    for name, rows in told.items():
        (tmp_path / "SST-2" / name).write_text("\n".join(["sentence\tlabel", *rows]) + "\n", encoding="utf-8")
    size = ["model.dim=16", "model.depth=1", "model.heads=2", "data.vocab_size=300", "train.epochs=1"]
    config = resolve("glue-sst2", "baseline", [*size, f"data.path={tmp_path / 'SST-2'}", "train.batch_size=8"]).config
    train(config, tmp_path / "run", device="cpu", threads=1)
    shown = shown_examples(tmp_path / "run", None, [0, 1])
    assert {place: (each["label"], each["text"], each["png"]) for place, each in shown.items()} == {
        "0": ("negative", "a slow film", None),
        "1": ("positive", "fine", None),
    }
