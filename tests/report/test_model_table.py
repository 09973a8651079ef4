"""The table of ``count --model``: what people read, what programs read, and why a reduction does not apply."""

from __future__ import annotations

import csv
import io
import json

from rich.console import Console

from minform_cli.counting.records import GROUPS
from minform_cli.foreign.records import ModelRecord, ReductionRecord
from minform_cli.report.model_table import model_caption, model_table


def row(variant: str, mlp: int | None, attentions: int = 0, mlps: int = 0, **reasons: int) -> ReductionRecord:
    groups = None if mlp is None else dict.fromkeys(GROUPS, 100) | {"mlp": mlp, "other": 7}
    left = None if groups is None else sum(groups.values())
    return ReductionRecord(
        variant=variant,
        parameters=left,
        saved=None if left is None else 1507 - left,
        share_of_baseline=None if left is None else left / 1507,
        groups=groups,
        attention_blocks=attentions,
        mlp_blocks=mlps,
        not_applied={reason.replace("_", " "): blocks for reason, blocks in reasons.items()},
    )


def model_record() -> ModelRecord:
    rows = [
        row("baseline", 1000),
        row("no-mlp", 0, mlps=3),
        row("symmetric", None, other_keys=2),
        row("collapsed-qk", 2000, attentions=2),
        row("no-mlp+symmetric", None, other_keys=2, no_MLP=0),
    ]
    groups = rows[0]["groups"]
    assert groups is not None
    return ModelRecord(
        source="python:mine:build",
        model="Mine",
        parameters=1507,
        groups=groups,
        attention_blocks=2,
        mlp_blocks=3,
        shared=[["a", "b"]],
        frozen_parameters=0,
        other={"scale": 7},
        reductions=rows,
        removable={"numbers": 30, "by": {"key biases": 10, "value biases": 20, "gauge": 0}, "why_not": {"gauge": "x"}},
        notes=["shared: a is also b"],
    )


def test_plain_table_golden() -> None:
    assert str(model_table(model_record(), "plain")).splitlines() == [
        "variant             embedding    query-key    value-output    MLP    norm    head    other    parameters"
        "    share %    saved    saving %    A    M",
        "baseline                  100          100             100  1,000     100     100        7         1,507"
        "     100.00        0           -    -    -",
        "no-mlp                    100          100             100      0     100     100        7           507"
        "      33.64    1,000       66.36    -    3",
        "symmetric                   -            -               -      -       -       -        -             -"
        "          -        -           -    -    -",
        "collapsed-qk              100          100             100  2,000     100     100        7         2,507"
        "     166.36   -1,000      -66.36    2    -",
        "no-mlp+symmetric            -            -               -      -       -       -        -             -"
        "          -        -           -    -    -",
    ]


def test_caption_gives_each_reason_once_with_the_reductions_it_stops() -> None:
    lines = model_caption(model_record())
    assert "2 attention blocks and 3 MLP blocks" in lines[0]
    assert "shared: a is also b" in lines
    assert [line for line in lines if line.startswith("not applied")] == [
        "not applied: symmetric, no-mlp+symmetric: other keys (2 of 2 attention blocks)",
        "not applied: no-mlp+symmetric: no MLP",
    ]


def test_json_is_the_whole_record() -> None:
    assert json.loads(str(model_table(model_record(), "json"))) == [model_record()]


def test_csv_is_a_line_for_each_reduction_with_a_column_per_group() -> None:
    rows = list(csv.DictReader(io.StringIO(str(model_table(model_record(), "csv")))))
    assert [line["variant"] for line in rows] == [r["variant"] for r in model_record()["reductions"]]
    assert {f"groups.{group}" for group in (*GROUPS, "other")} <= set(rows[0])
    assert (rows[1]["groups.mlp"], rows[1]["saved"], rows[2]["parameters"]) == ("0", "1000", "")
    assert {line["source"] for line in rows} == {"python:mine:build"}


def test_a_narrow_terminal_shows_every_number_whole() -> None:
    console = Console(width=60, file=io.StringIO(), color_system=None)
    console.print(model_table(model_record()))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 60
    assert {"1,507", "507", "2,507", "-1,000", "166.36"} <= set(text.split())
