"""Tables of runs that translate: BLEU without a sign of percent, perplexity, sentences one below the other."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

from minform_cli.report.compare_table import compare_table
from minform_cli.report.eval_table import eval_caption, eval_table
from minform_cli.report.notes import MOST_NOTES, record_notes
from minform_cli.report.numbers import metric_axis, metric_title, perplexity, with_sign
from minform_cli.report.records import CompareRecord
from minform_cli.report.train_table import train_caption, train_table
from minform_cli.runs.records import EvaluationRecord, ResultRecord, TranslationRecord
from tests.report.records import compare_record, count_record, evaluation_record, result_record

SIGNATURES = {"bleu": "nrefs:1|tok:13a", "chrf": "nrefs:1|nc:6"}


def evaluated() -> EvaluationRecord:
    """What a run that translates was measured to be, with two of its sentences."""
    sentences = [
        TranslationRecord(source="a dog", reference="ein Hund", translation="ein Hund"),
        TranslationRecord(source="two cats", reference="zwei Katzen", translation="zwei Hunde"),
    ]
    measured = {"bleu": 0.3124, "chrf": 0.5512, "accuracy": 0.6}
    return EvaluationRecord(
        **{
            **evaluation_record(0),
            "measured": measured,
            "metric": "bleu",
            "loss": 2.0,
            "perplexity": math.exp(2),
            "translations": sentences,
            "num_examples": 17127,
        }
    )


def result() -> ResultRecord:
    record = result_record(4, 0, 0.6)
    metrics = {**record["metrics"], "val_bleu": 0.3, "val_chrf": 0.5, "best_val_score": 0.31, "val_loss": 2.0}
    data = {**record["data"], "kind": "pairs"}
    timing = {**record["timing"], "predicted_per_s": 4321.6}
    return ResultRecord(
        **{**record, "metric": "bleu", "metrics": metrics, "data": data, "timing": timing, "measured_by": SIGNATURES}
    )


def test_an_evaluation_shows_its_scores_and_each_sentence_under_its_source_and_reference() -> None:
    assert str(eval_table(evaluated(), "plain")).splitlines() == [
        "variant    split      predicted    BLEU    chrF2    accuracy %    loss    perplexity    parameters",
        "minimal    val           17,127   31.24    55.12         60.00  2.0000          7.39        30,602",
        "",
        "Sentence 1",
        "             text",
        "source       a dog",
        "reference    ein Hund",
        "translation  ein Hund",
        "",
        "Sentence 2",
        "             text",
        "source       two cats",
        "reference    zwei Katzen",
        "translation  zwei Hunde",
    ]
    assert "17,127 tokens" in eval_caption(evaluated())[0]


def test_json_has_the_sentences_and_csv_the_figures() -> None:
    (read,) = json.loads(str(eval_table(evaluated(), "json")))
    assert read["translations"] == evaluated()["translations"]
    (row,) = csv.DictReader(io.StringIO(str(eval_table(evaluated(), "csv"))))
    assert (row["measured.bleu"], row["perplexity"]) == ("0.3124", str(math.exp(2)))
    assert not [name for name in row if name.startswith("translations")]


def test_a_trained_run_tells_bleu_perplexity_speed_and_how_they_were_measured() -> None:
    lines = str(train_table(result(), Path("run"), "plain")).splitlines()
    told = {line.split("  ")[0]: line for line in lines}
    (validation,) = [line for name, line in told.items() if name.startswith("validation")]
    assert "BLEU 30.00" in validation
    assert "perplexity 7.39" in validation
    assert told["best validation"].endswith("31.00 in epoch 41")
    assert "4,322 of translations" in told["tokens/s"]
    caption = train_caption(result())
    assert "BLEU: nrefs:1|tok:13a" in caption
    assert "chrF2: nrefs:1|nc:6" in caption


def test_a_comparison_of_translations_has_perplexity_and_tokens_in_place_of_losses() -> None:
    record = compare_record(4)
    update: dict[str, object] = {
        "metric": "bleu",
        "kind": "pairs",
        "val_loss_mean": 2.0,
        "predicted_per_s_mean": 4321.6,
    }
    update["val_score_low"] = update["val_score_high"] = None  # BLEU has no binomial interval
    head, row = str(compare_table([CompareRecord(**{**record, **update})], "plain")).splitlines()
    names = [name.strip() for name in head.split("  ") if name.strip()]
    assert "val BLEU" in names
    assert "train loss" not in names
    assert {"val perplexity", "tokens/s"} <= set(names)
    assert "7.39" in row.split()
    assert "4,322" in row.split()
    old = {**record, **update, "predicted_per_s_mean": None}  # a run of an earlier version
    assert "4,322" not in str(compare_table([CompareRecord(**old)], "plain"))


def test_names_of_metrics_carry_the_sign_of_percent_but_for_scores_of_texts() -> None:
    assert [metric_title(name) for name in ("accuracy", "bleu", "chrf")] == ["accuracy %", "BLEU", "chrF2"]
    assert [metric_axis(name) for name in ("f1", "bleu")] == ["f1 in %", "BLEU"]
    assert [with_sign(name, "31.24") for name in ("accuracy", "bleu")] == ["31.24 %", "31.24"]


def test_a_perplexity_is_the_power_of_its_loss_and_never_overflows() -> None:
    assert [perplexity(value) for value in (0.0, 2.0, None)] == ["1.00", "7.39", "-"]
    assert perplexity(20.0) == f"{math.exp(20):.2e}"
    assert perplexity(1e9) == f"{math.exp(700):.2e}"


def test_more_notes_than_a_reader_wants_are_cut_and_counted() -> None:
    records = [{**count_record(0), "notes": [f"note {number}"]} for number in range(MOST_NOTES + 3)]
    lines = record_notes(records)  # type: ignore[arg-type]
    assert len(lines) == MOST_NOTES + 1
    assert lines[-1] == "3 more notes: --format json has them"
    assert len(record_notes(records[:MOST_NOTES])) == MOST_NOTES  # type: ignore[arg-type]
