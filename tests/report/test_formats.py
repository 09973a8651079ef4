"""One schema behind every format: the same figures, escaped and rounded as each format's readers need."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest

from minform_cli.errors import InputError
from minform_cli.report.compare_table import compare_caption, compare_table, study_line
from minform_cli.report.count_table import count_caption, count_table
from minform_cli.report.formats import FORMATS, to_csv
from minform_cli.report.list_table import list_table
from minform_cli.report.numbers import duration, percent, points, ratio, seconds
from minform_cli.report.over_examples import OVER_BOTH, OVER_EXAMPLES, OVER_SEEDS
from tests.report.records import compare_record, count_record, over_examples_record, result_record

COUNT_KEYS = ["preset", "variant", "parameters", "share_of_baseline", "determination_ratio", "macs", "groups"]


def text(output: object) -> str:
    assert isinstance(output, str)
    return output


def test_json_is_the_list_of_records_unrounded() -> None:
    records = [count_record(0), count_record(1)]
    read = json.loads(text(count_table(records, "json")))
    assert read == records
    assert list(read[0])[:7] == COUNT_KEYS
    assert read[1]["share_of_baseline"] == 104330 / 302474


def test_json_of_a_comparison_adds_its_statistics_and_says_null_where_nothing_can_be_said() -> None:
    read = json.loads(text(compare_table([compare_record(0), compare_record(1, num_seeds=1)], "json")))
    assert {"num_seeds", "val_score_mean", "val_score_std", "train_loss_mean", *COUNT_KEYS} <= set(read[0])
    assert read[0]["difference_mean"] is None
    assert read[1]["val_score_std"] is None
    assert read[1]["difference_mean"] == -0.005


def test_csv_has_a_header_and_one_line_a_variant_with_a_column_per_group() -> None:
    records = [count_record(0), count_record(1)]
    records[1]["determination_ratio"] = None
    records[1]["dead_parameters"] = {"b_k": 384, "b_q": 16}
    output = text(count_table(records, "csv"))
    lines = output.splitlines()
    assert len(lines) == 3
    assert lines[0] == (
        "preset,variant,parameters,share_of_baseline,determination_ratio,macs,groups.embedding,groups.query_key,"
        "groups.value_output,groups.mlp,groups.norm,groups.head,heads,task_head_parameters,dead_parameters"
    )
    rows = list(csv.DictReader(io.StringIO(output)))
    assert rows[0]["parameters"] == "302474"
    assert float(rows[1]["share_of_baseline"]) == 104330 / 302474
    assert rows[1]["determination_ratio"] == ""
    assert rows[1]["dead_parameters"] == "400"
    groups = [int(value) for key, value in rows[1].items() if key.startswith("groups.")]
    assert sum(groups) == 104330


def test_csv_of_records_with_different_keys_has_all_of_them() -> None:
    assert to_csv([{"a": 1}, {"b": {"c": {"d": 2}}}]) == "a,b.c.d\n1,\n,2"
    assert to_csv([{"grid": {"model.order": [0, 1]}}]).splitlines()[1] == '"[0, 1]"'


def test_plain_golden() -> None:
    assert text(compare_table([compare_record(0), compare_record(1)], "plain")).splitlines() == [
        "variant      heads    parameters    share %       Q    val accuracy %      binomial %"
        "    difference in points    over examples too    p (Holm)    train loss    s/epoch",
        "baseline         4       302,474     100.00  0.0356  97.50 ± 0.42 (3)  [95.50, 98.50]"
        "                       -                    -           -        0.0123       1.23",
        "no-mlp           4       104,330      34.49   0.103  97.00 ± 0.42 (3)  [95.00, 98.00]"
        "    -0.50 [-1.50, +0.50]       [-1.70, +0.70]       0.048        0.0246       1.23",
    ]


def test_markdown_golden() -> None:
    record = count_record(1)
    record["variant"] = "a|b_c"
    assert text(count_table([record], "markdown")).splitlines() == [
        "| variant   |   heads |   embedding |   query-key |   value-output |    MLP |   norm |   head |   parameters"
        " |   share % |   saving % |     Q |      MACs |",
        "|:----------|--------:|------------:|------------:|---------------:|-------:|-------:|-------:|-------------:"
        "|----------:|-----------:|------:|----------:|",
        "| a\\|b\\_c   |       4 |      13,040 |      26,080 |         26,080 | 39,115 |      5 |     10 |      104,330"
        " |     34.49 |      65.51 | 0.103 | 4,912,345 |",
    ]


def test_latex_is_booktabs_with_everything_escaped() -> None:
    record = compare_record(1)
    record["variant"] = '50%_a&b#c-3$|{d}~^<e>\\"f"'
    output = text(compare_table([record], "latex"))
    assert r"\toprule" in output and r"\bottomrule" in output
    assert r"50\%\_a\&b\#c-3\$\textbar{}\{d\}\textasciitilde{}\^{}\ensuremath{<}e\ensuremath{>}" in output
    assert r"\textbackslash{}\textquotedbl{}f\textquotedbl{}" in output
    assert "|" not in output
    assert r"share \%" in output
    assert r"97.00 $\pm$ 0.42 (3)" in output
    assert r"$-$0.50 [$-$1.50, +0.50]" in output
    assert "±" not in output


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_table_comes_in_every_format(fmt: str) -> None:
    entries = [{"name": "digits", "meaning": "x" * 300, "source": "y_z"}]
    assert list_table(entries, "data set", fmt)  # type: ignore[arg-type]
    assert count_table([count_record(0)], fmt)
    assert compare_table([compare_record(0)], fmt)


def test_an_unknown_format_names_the_accepted_ones() -> None:
    with pytest.raises(
        InputError, match=r"--format: unknown format 'jsno'; did you mean 'json'\?; accepted: csv, json"
    ):
        count_table([count_record(0)], "jsno")


def test_numbers_for_people() -> None:
    assert [percent(0.12345), percent(None), percent(-1e-9), percent(12.5)] == ["12.35", "-", "0.00", "1,250.00"]
    assert [points(-1e-9), points(0.005), points(-0.0123)] == ["+0.00", "+0.50", "-1.23"]
    assert [ratio(v) for v in (None, 3.8389, 0.04712, 12345.6, 0)] == ["-", "3.84", "0.0471", "12,345.60", "0.00"]
    assert [seconds(v) for v in (0.01234, 5.0, 123.4)] == ["0.0123", "5.00", "123"]
    assert [duration(v) for v in (8.41, 187, 7499)] == ["8.41 s", "3 min 07 s", "2 h 04 min"]


def test_the_count_caption_states_the_conventions_and_shares_notes_between_variants() -> None:
    records = [count_record(0), count_record(1)]
    for record in records:
        record["notes"] = ["384 dead numbers in b_k"]
    caption = "\n".join(count_caption(records, title="Digits", examples=1078, outputs=10))
    for piece in (
        "Preset digits: Digits",
        "embedding included",
        "K = 1,078",
        "M = 10",
        "1 MAC = 2 FLOPs",
        "softmax",
    ):
        assert piece in caption
    assert "baseline, no-mlp: 384 dead numbers in b_k" in caption
    assert "not defined" in "\n".join(count_caption(records, title=None, examples=None, outputs=None))


def test_the_comparison_caption_names_data_split_epochs_seeds_and_the_interval() -> None:
    results = [result_record("baseline", seed) for seed in (0, 1, 2)]
    caption = "\n".join(compare_caption([compare_record(0), compare_record(1)], results))
    for piece in (
        "Digits, 1,078 training examples, 60 epochs, seeds 0, 1, 2",
        "Validation: 359 examples held out of the training set",
        "paired 95 % t interval",
        "K = 1,078 training examples, M = 10",
        "1 thread",
    ):
        assert piece in caption


def test_validation_on_the_test_set_is_said_loudly() -> None:
    caption = "\n".join(compare_caption([compare_record(0)], [result_record(validation="test")]))
    assert "VALIDATION IS THE TEST SET (359 examples)" in caption
    assert study_line([result_record(validation="test")]).endswith("VALIDATED ON THE TEST SET")
    assert "VALIDATED" not in study_line([result_record()])


def test_one_seed_says_that_nothing_can_be_said_about_spread() -> None:
    records = [compare_record(0, 1), compare_record(1, 1)]
    caption, printed = "\n".join(compare_caption(records, [result_record()])), text(compare_table(records, "plain"))
    assert "nothing can be said" in caption
    assert "97.50 (1)" in printed and "-0.50 " in printed
    for over_examples in ("[95.50, 98.50]", "[95.00, 98.00]", "[-1.70, +0.70]"):
        printed = printed.replace(over_examples, "")
    assert "[" not in printed
    assert "the examples are drawn anew, the two models stay: nothing is said of other seeds" in caption
    assert (
        "no-mlp: 3 of 270 validation examples are right here and wrong with the baseline, 5 the other way round; "
        "McNemar's exact test p 0.727" in caption
    )


def test_what_varies_in_each_interval_stands_under_the_table() -> None:
    records = [compare_record(0), compare_record(1)]
    records[1]["over_examples"]["test"] = over_examples_record(1) | {"not_worse": "yes"}  # type: ignore[typeddict-item]
    caption = "\n".join(compare_caption(records, [result_record(seed=seed) for seed in range(3)]))
    for each in (OVER_SEEDS, OVER_EXAMPLES, OVER_BOTH):
        assert caption.count(each) == 1
    assert (
        "no-mlp: test difference -0.50 points [-1.70, +0.70] over 3 seeds and 270 examples; not worse: yes." in caption
    )


def test_examples_with_another_score_than_the_metric_are_told_by_its_name() -> None:
    records = [compare_record(0), compare_record(1)]
    records[1]["over_examples"]["val"]["score"] = "chrF2"
    assert "over examples too" not in text(compare_table(records, "plain"))
    caption = "\n".join(compare_caption(records, [result_record(seed=seed) for seed in range(3)]))
    assert (
        "no-mlp: validation difference of each example's chrF2 -0.50 points [-1.70, +0.70] over 3 seeds and 270 "
        "examples." in caption
    )


def test_the_caption_has_the_test_accuracy_and_from_many_seeds_on_the_bootstrap() -> None:
    records = [compare_record(0), compare_record(1)]
    lines = "\n".join(compare_caption(records, [result_record()]))
    assert "360 examples read once [binomial interval]: baseline 96.00 ± 0.10 [93.50, 97.60]; no-mlp 96.00" in lines
    assert "bootstrap" not in lines
    records[1] |= {"bootstrap_low": -0.012, "bootstrap_high": 0.004}
    assert "no-mlp: bootstrap (BCa) interval of the difference [-1.20, +0.40]." in compare_caption(
        records, [result_record()]
    )


def test_tables_import_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys, minform_cli.report.compare_table, minform_cli.report.count_table, minform_cli.report.eval_table, "
        "minform_cli.report.train_table, minform_cli.report.list_table, minform_cli.report.plots; "
        "print([m for m in ('torch', 'matplotlib', 'scipy', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
