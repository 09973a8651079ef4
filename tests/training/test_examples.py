"""What a run got right, example by example: as its own figures say, whoever trained it and however it was stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from minform_cli.files import RunFolder
from minform_cli.runs.examples import RunExamples, read_examples
from minform_cli.runs.records import ResultRecord, read_result
from minform_cli.training.evaluate import Scores
from minform_cli.training.examples import example_scores
from minform_cli.training.run import train
from tests.training.conftest import tiny
from tests.training.test_parallel import EXACT, finish


def read(folder: Path) -> tuple[ResultRecord, RunExamples]:
    result = read_result(folder)
    found = read_examples(RunFolder(folder), result)
    assert found is not None
    return result, found


def test_images_have_a_bit_each_whose_mean_is_the_accuracy(undisturbed: Path) -> None:
    result, found = read(undisturbed)
    for split in ("val", "test"):
        scores = found.splits[split]
        assert scores.name == "right" and len(scores.values) == result["data"][f"num_{split}"]
        assert float(scores.values.mean()) == pytest.approx(result["metrics"][f"{split}_accuracy"], abs=1e-7)


def test_a_run_that_was_stopped_before_its_result_says_the_same(tmp_path: Path, undisturbed: Path) -> None:
    train(tiny(), tmp_path / "run", device="cpu", threads=1)
    folder = RunFolder(tmp_path / "run")
    folder.result.unlink()
    folder.examples.unlink()
    train(tiny(), tmp_path / "run", resume=True, device="cpu", threads=1)
    assert folder.examples.read_bytes() == RunFolder(undisturbed).examples.read_bytes()


def test_several_processes_keep_the_order_of_the_split(tmp_path: Path) -> None:
    train(tiny(*EXACT), tmp_path / "one", device="cpu", threads=1)
    finish(tmp_path / "many", *EXACT, size=2)
    (_, one), (_, many) = read(tmp_path / "one"), read(tmp_path / "many")
    for split in ("val", "test"):
        differ = np.flatnonzero(one.splits[split].values != many.splits[split].values)
        assert len(differ) <= 1  # the weights differ by rounding


def test_numbers_have_their_squared_error_in_the_order_of_the_split() -> None:
    owners = torch.tensor([2, 0, 1])
    found = example_scores(Scores(0.0, {}, torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.5, 2.0, 1.0]), owners))
    assert found is not None and found.name == "squared error"
    assert found.values.tolist() == [0.0, 4.0, 0.25]


def test_where_nothing_says_what_is_right_there_are_none() -> None:
    empty = torch.empty(0, dtype=torch.int64)
    assert example_scores(Scores(0.0, {}, torch.zeros(3), torch.zeros(3), empty)) is None
