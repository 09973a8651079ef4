"""Scores of single examples of other tools' runs: read whole, paired by run and example, judged as our own are."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import minform_cli
from minform_cli.errors import InputError
from minform_cli.study.statistics import two_way_interval
from minform_cli.study.table_comparison import compare_runs, read_table
from tests.cli.commands import Command

NUM = 50


def answers(num_seeds: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(num_seeds)
    hard = random.beta(4, 1, NUM)
    return {name: random.random((num_seeds, NUM)) < share * hard for name, share in (("baseline", 1.0), ("tiny", 0.9))}


def write(path: Path, found: Mapping[str, np.ndarray], header: str = "model,seed,example,correct") -> Path:
    lines = [header]
    for name, bits in found.items():
        for seed, row in enumerate(bits):
            lines += [f"{name},{seed},q{place},{bool(bit)}" for place, bit in enumerate(row)]
    path.write_text("\n".join(lines) + "\n")
    return path


def tiny_of(options: minform_cli.TableOptions) -> dict[str, object]:
    (record,) = (each for each in minform_cli.compare_table(options) if each["variant"] == "tiny")
    return record  # type: ignore[return-value]


def over(record: Mapping[str, object]) -> dict[str, float]:
    return record["over_examples"]["table"]  # type: ignore[index, no-any-return]


def test_a_file_of_examples_alone_gives_runs_and_the_interval_over_both(tmp_path: Path) -> None:
    found = answers(3)
    record = tiny_of(minform_cli.TableOptions(examples=write(tmp_path / "e.csv", found), margin=30))
    assert record["metric"] == "correct" and record["unit"] == "%" and record["num_seeds"] == 3
    assert record["val_score_mean"] == pytest.approx(found["tiny"].mean(), rel=1e-12)
    interval = two_way_interval(found["tiny"].astype(float) - found["baseline"])
    assert interval is not None
    assert (over(record)["low"], over(record)["high"]) == pytest.approx(interval, rel=1e-12)
    assert over(record)["not_worse"] == "yes" and over(record)["num_examples"] == NUM


def test_single_runs_have_mcnemars_test(tmp_path: Path) -> None:
    found = answers(1)
    record = over(tiny_of(minform_cli.TableOptions(examples=write(tmp_path / "e.csv", found))))
    own, other = found["tiny"][0], found["baseline"][0]
    only_own, only_other = int((own & ~other).sum()), int((~own & other).sum())
    assert (record["only_own"], record["only_reference"]) == (only_own, only_other)
    expected = stats.binomtest(only_own, only_own + only_other).pvalue
    assert record["p_mcnemar"] == pytest.approx(expected, rel=1e-12)


def test_beside_a_table_its_runs_keep_their_scores(tmp_path: Path) -> None:
    found = answers(2)
    table = tmp_path / "t.csv"
    rows = [f"{name},{seed},{100 * row.mean():.2f}" for name, bits in found.items() for seed, row in enumerate(bits)]
    table.write_text("\n".join(["model,seed,accuracy", *rows]) + "\n")
    examples = write(tmp_path / "e.csv", found)
    record = tiny_of(minform_cli.TableOptions(path=table, examples=examples, margin=50))
    assert over(record)["score"] == "accuracy" and over(record)["not_worse"] == "yes"
    table.write_text(table.read_text().replace(rows[-1], rows[-1].rpartition(",")[0] + ",12"))
    options = minform_cli.TableOptions(path=table, examples=examples, margin=50)
    record = tiny_of(options)
    assert over(record)["score"] == "correct by example" and over(record)["not_worse"] is None
    assert any("the mean over the examples of 'tiny', seed 1" in note for note in read_table(options).notes)


def test_examples_that_not_all_have_are_left_out_and_said(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", answers(2))
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith("tiny,1,q7,")) + "\n")
    record = tiny_of(minform_cli.TableOptions(examples=path))
    assert over(record)["num_examples"] == NUM - 1
    assert "over examples: 49 of 50 examples are in all runs of both, and count" in record["notes"]  # type: ignore[operator]


def test_a_runs_name_may_say_variant_and_seed(tmp_path: Path) -> None:
    rows = [
        {"run": f"{name}-seed{seed}", "id": i, "f1": 0.5 + 0.1 * i} for name in "ab" for seed in (0, 1) for i in (1, 2)
    ]
    path = tmp_path / "e.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = read_table(minform_cli.TableOptions(examples=path))
    assert {(run.variant, run.seed) for run in table.runs} == {("a", "0"), ("a", "1"), ("b", "0"), ("b", "1")}
    assert table.runs[0].score == pytest.approx(0.65)


SAMPLE = {"doc": {"text": "a\u2028b"}, "target": "x", "resps": [["1"]], "filtered_resps": ["1"], "metrics": ["acc"]}


def lm_eval(folder: Path, model: str, bits: np.ndarray, seed: int = 0) -> None:
    """Results and samples as lm-evaluation-harness lays them out."""
    folder = folder / model
    folder.mkdir(parents=True, exist_ok=True)
    date = f"2026-01-0{seed + 1}T00-00-00.000000"
    told = {
        "results": {"arc_easy": {"acc,none": float(bits.mean()), "acc_stderr,none": 0.01}},
        "config": {"model": "hf", "random_seed": seed},
        "model_name": model,
    }
    (folder / f"results_{date}.json").write_text(json.dumps(told))
    lines = [
        {"doc_id": place, **SAMPLE, "filter": through, "acc": float(bit if through == "none" else 0)}
        for place, bit in enumerate(bits)
        for through in ("none", "strict-match")
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / f"samples_arc_easy_{date}.jsonl").write_text(text, encoding="utf-8")


def test_samples_of_lm_evaluation_harness_are_taken_as_they_are(tmp_path: Path) -> None:
    found = answers(2)
    for name, bits in found.items():
        for seed, row in enumerate(bits):
            lm_eval(tmp_path, name, row, seed)
    record = tiny_of(minform_cli.TableOptions(path=tmp_path, margin=40))
    interval = two_way_interval(found["tiny"].astype(float) - found["baseline"])
    assert interval is not None
    assert (over(record)["low"], over(record)["high"]) == pytest.approx(interval, rel=1e-9)
    assert over(record)["score"] == record["metric"] == "arc_easy/acc"


def test_the_command_says_what_varies_and_shows_the_interval(tmp_path: Path, minform: Command) -> None:
    path = write(tmp_path / "e.csv", answers(3))
    done = minform("compare", "--examples", str(path), "--format", "plain")
    assert done.code == 0 and "over examples too" in done.out
    assert "seeds and examples are drawn anew" in done.err
    done = minform("compare", "--examples", str(path), "--out", str(tmp_path / "out"), "--format", "csv")
    assert done.code == 0
    rows = list(csv.DictReader(done.out.splitlines()))
    assert float(rows[1]["over_examples.table.low"]) < float(rows[1]["over_examples.table.high"])
    assert f"minform compare --examples {path}" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,seed,correct\na,0,1\n", "no column says the example; accepted: --columns example=NAME"),
        ("model,seed,example,correct\na,0,q,1\na,0,q,0\n", "e.csv, line 3: example 'q' is there twice in one run"),
        ("model,seed,example,correct\na,0,,1\n", "line 2: 'example' is empty; accepted: what tells examples apart"),
        ("model,seed,example,correct\na,0,q,maybe\n", "line 2: 'correct': expected a number, not 'maybe'"),
        ("model,seed,example,id,correct\na,0,q,1,1\n", "several columns may say the example: example, id"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_row(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "e.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        compare_runs(minform_cli.TableOptions(examples=path))
    assert message in str(error.value)


def test_examples_of_a_run_that_the_table_has_not_are_refused(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("model,seed,accuracy\nbaseline,0,0.5\n")
    options = minform_cli.TableOptions(path=table, examples=write(tmp_path / "e.csv", answers(1)))
    with pytest.raises(InputError, match=r"'tiny' with seed 0 is no run of .*; accepted: its runs, of baseline"):
        compare_runs(options)
    with pytest.raises(InputError, match=r"--examples .*: is neither a file nor a folder"):
        compare_runs(minform_cli.TableOptions(path=table, examples=tmp_path / "none.csv"))
    with pytest.raises(InputError, match="accepted: one at least"):
        minform_cli.TableOptions()
