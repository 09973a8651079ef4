"""Tables of one run: its result, its evaluation."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from minform_cli.report.eval_table import MAX_CLASSES, eval_caption, eval_table
from minform_cli.report.intervals import wilson
from minform_cli.report.train_table import train_caption, train_table
from tests.report.records import evaluation_record, result_record


def test_wilson_interval_equals_the_closed_form() -> None:
    # Wilson (1927) with z of 95 %: (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    z, n, p = 1.959963984540054, 30, 0.9
    centre, half = p + z * z / 2 / n, z * (p * (1 - p) / n + z * z / 4 / n**2) ** 0.5
    expected = ((centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n))
    assert wilson(27 / 30, 30) == pytest.approx(expected, rel=1e-9)  # both are float64 arithmetic


def test_plain_evaluation_golden() -> None:
    output = eval_table(evaluation_record(3, ["cat", "dog", "fly_x"]), "plain")
    assert isinstance(output, str)
    assert output.splitlines() == [
        "variant    split      examples            accuracy %    loss    parameters",
        "minimal    val              30  90.00 [74.38, 96.54]  0.1235        30,602",
        "",
        "Accuracy per class",
        "class      examples    accuracy %",
        "0 cat            10         90.00",
        "1 dog            10         90.00",
        "2 fly_x          10         90.00",
        "",
        "Confusion matrix",
        "true \\ predicted      0    1    2",
        "0 cat                 9    1    0",
        "1 dog                 0    9    1",
        "2 fly_x               1    0    9",
    ]


def test_json_evaluation_is_the_record_with_its_interval() -> None:
    record = evaluation_record(3)
    (read,) = json.loads(str(eval_table(record, "json")))
    assert {key: read[key] for key in record} == record
    assert (read["accuracy_low"], read["accuracy_high"]) == wilson(27 / 30, 30)


def test_csv_evaluation_is_one_line_with_a_column_per_class() -> None:
    record = evaluation_record(2, ["cat", "dog, big"])
    record["per_class_accuracy"] = [0.9, None]
    (row,) = csv.DictReader(io.StringIO(str(eval_table(record, "csv"))))
    assert (row["per_class_accuracy.cat"], row["per_class_accuracy.dog, big"]) == ("0.9", "")
    assert row["loss"] == "0.1234567"


def test_many_classes_show_the_extremes_and_the_most_confused_pairs() -> None:
    record = evaluation_record(MAX_CLASSES + 10)
    record["confusion"][7][3] += 40
    record["per_class_accuracy"][7] = 9 / 50
    output = str(eval_table(record, "plain"))
    assert "Confusion matrix" not in output
    pairs = output[output.index("Most confused") :].splitlines()
    assert pairs[2].split() == ["7", "3", "40", "50"]
    assert [line.split()[2] for line in pairs[3:]] == ["1"] * 9
    worst = output[output.index("lowest") :].splitlines()[2]
    assert worst.split() == ["7", "50", "18.00"]


def test_a_class_without_examples_has_no_accuracy() -> None:
    record = evaluation_record(2)
    record["per_class_accuracy"][1] = None
    record["confusion"][1] = [0, 0]
    assert ["1", "0", "-"] in [line.split() for line in str(eval_table(record, "plain")).splitlines()]


def test_markdown_and_latex_evaluations_set_titles_apart() -> None:
    record = evaluation_record(2)
    assert "**Confusion matrix**\n\n| true \\\\ predicted" in str(eval_table(record, "markdown"))
    assert "% Confusion matrix\n\\begin{tabular}" in str(eval_table(record, "latex"))


def test_the_evaluation_caption_names_run_split_checkpoint_and_notes() -> None:
    caption = "\n".join(eval_caption(evaluation_record(3)))
    for piece in ("variant minimal, seed 0", "val split (30 examples)", "last checkpoint", "validated on the test set"):
        assert piece in caption


def test_the_final_table_of_a_run_has_its_figures_and_folder() -> None:
    output = str(train_table(result_record(), Path("runs/x"), "plain"))
    for piece in (
        "302,474 (100.00 % of the baseline)",
        "accuracy 97.00 %, loss 0.2000",
        "98.00 % in epoch 41",
        "accuracy 96.00 %, loss 0.3000",
        "1 min 06 s; 1.00 s of training per epoch",
        "runs/x",
    ):
        assert piece in output


def test_a_run_validated_on_the_test_set_has_no_test_line_and_says_why() -> None:
    result = result_record(validation="test")
    assert "test (" not in str(train_table(result, Path("x"), "plain"))
    assert "VALIDATION IS THE TEST SET" in "\n".join(train_caption(result))


def test_json_of_a_run_is_its_result_and_folder() -> None:
    (read,) = json.loads(str(train_table(result_record(), Path("runs/x"), "json")))
    assert read == {**result_record(), "folder": "runs/x"}
