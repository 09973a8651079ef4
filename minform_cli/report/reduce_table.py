"""The tables of `reduce`: what went and what it cost, layer by layer; and for several budgets the curve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minform_cli.counting.records import GROUPS
from minform_cli.reducing.records import ReducedLayerRecord, ReduceRecord
from minform_cli.report.eval_table import Sections
from minform_cli.report.fit import Column
from minform_cli.report.formats import FittedTable, check_format, render, to_csv, to_json
from minform_cli.report.numbers import ABSENT, integer, metric_title, percent, scaled

COSINE = "cosine"
"""The metric that is a number up to 1 and no share."""

_IN_CSV = ("source", "out", "preset", "variant", "seed", "task", "how", "difference", "measure", "seconds")

_NAMES = {"query_key": "query, key", "value_output": "value, output", "mlp": "MLP"}

Tabled = tuple[str, list[Any], list[Column]]


def reduce_table(records: Sequence[ReduceRecord], fmt: str = "rich", width: int | None = None) -> Sections | str:
    """What `reduce` did, in one of the formats of `formats.FORMATS`; `csv` has one line a budget.

    Args:
        records: one a budget.
        fmt: output format.
        width: characters that `plain` may take; None has no limit.
    """
    check_format(fmt)
    if fmt == "json":
        return to_json(records)
    if fmt == "csv":
        return to_csv([_flat(record) for record in records])
    tables = single_tables(records[0]) if len(records) == 1 else [curve_table(records)]
    if fmt == "rich":
        return Sections([FittedTable(rows, columns, title) for title, rows, columns in tables])
    comment = {"plain": "{}", "markdown": "**{}**\n", "latex": "% {}"}[fmt]
    return "\n\n".join(
        (f"{comment.format(title)}\n" if title else "") + str(render(rows, columns, fmt, width))
        for title, rows, columns in tables
    )


def reduce_caption(records: Sequence[ReduceRecord]) -> list[str]:
    """The lines that make the tables readable on their own."""
    record = records[0]
    lines = [f"{record['source']}: preset {record['preset']}, task {record['task']}, seed {record['seed']}."]
    calibration = record["calibration"]
    if calibration is not None:
        lines.append(
            f"Calibrated on {integer(calibration['examples'])} training examples of {calibration['data']}, seed "
            f"{calibration['seed']}, SHA-256 {calibration['sha256'][:12]}..."
        )
    measure = record["measure"]
    if measure is not None:
        what = "mean cosine to the original's output" if measure["metric"] == COSINE else measure["metric"]
        lines.append(f"{what[:1].upper()}{what[1:]}: {measure['data']}, validation, {integer(measure['examples'])}.")
        if measure["mean"] is not None:
            lines.append(f"Interval: 95 % t interval of the mean over {len(record['samples'])} calibration samples.")
    if record["latency"]:
        lines.append(
            f"Times on {machine(record)}: medians of forward passes in turns; 2.00x is twice as fast: the median of "
            "the ratios, and their quartiles."
        )
    if record["layers"]:
        lines.append(
            "QK, VO: queries and keys, values and outputs. Errors: squared difference over squares, on the calibration "
            "examples, all before reduced too: of the scores, of what attention (values) and MLP give, of the block."
        )
    return [*lines, *(f"{step[:1].upper()}{step[1:]}." for step in record["steps"]), *record["notes"]]


def machine(record: ReduceRecord) -> str:
    """Where times were taken."""
    environment = record["environment"]
    threads = environment.get("threads")
    return f"{environment.get('device', 'cpu')}, {threads} thread{'' if threads == 1 else 's'}"


def single_tables(record: ReduceRecord) -> list[Tabled]:
    """The tables of one reduction, with their titles."""
    tables: list[Tabled] = [("", _rows(record), _columns(record))]
    if record["exact"]:
        tables.append(("Exact reductions", list(record["exact"]), _EXACT))
    if record["layers"]:
        tables.append((LAYERS, list(record["layers"]), layer_columns(record["layers"])))
    return tables


LAYERS = "Layer by layer: numbers left in %, and relative squared errors"
"""Title of the table of layers."""

Row = tuple[str, str, str, str, str]
"""What, before, after, after healing, and what is left or changed."""


def _rows(record: ReduceRecord) -> list[Row]:
    before, after = record["before"], record["after"]
    rows: list[Row] = [_counted("parameters", before["parameters"], after["parameters"])]
    for group in GROUPS:
        if before["groups"][group] or after["groups"][group]:
            rows.append(_counted(f"· {_NAMES.get(group, group)}", before["groups"][group], after["groups"][group]))
    if before["task_head_parameters"]:
        rows.append(_counted("task's head", before["task_head_parameters"], after["task_head_parameters"]))
    share = f"{percent(after['macs'] / before['macs'])} %"
    rows.append(("MACs", scaled(before["macs"]), scaled(after["macs"]), "", share))
    for each in record["latency"]:
        faster = f"{each['ratio']:.2f}x [{each['ratio_low']:.2f}, {each['ratio_high']:.2f}]"
        name = f"batch {each['batch']}, ms"
        rows.append((name, _ms(each["original_s"]), _ms(each["reduced_s"]), "", faster))
    measure = record["measure"]
    if measure is not None:
        number = score_text(measure["metric"])
        healed = "" if measure["healed"] is None else number(measure["healed"])
        title = metric_heading(measure["metric"])
        rows.append((title, number(measure["before"]), number(measure["after"]), healed, _interval(record)))
    if record["difference"] is not None:
        rows.append(("largest difference", "0", f"{record['difference']:.1e}", "", "of the outputs' scale"))
    return rows


def _counted(name: str, before: int, after: int) -> Row:
    return name, integer(before), integer(after), "", f"{percent(after / before)} %" if before else ABSENT


def _columns(record: ReduceRecord) -> list[Column]:
    healed = [Column("healed", lambda row: row[3])] if record["healing"] is not None else []
    return [
        Column(record["variant"], lambda row: row[0], right=False),
        Column("before", lambda row: row[1]),
        Column("after", lambda row: row[2]),
        *healed,
        Column("left, or change", lambda row: row[4], right=False),
    ]


def metric_heading(metric: str) -> str:
    """How a metric is called in a table of reductions."""
    return "cosine" if metric == COSINE else metric_title(metric)


def score_text(metric: str) -> Callable[[float | None], str]:
    """How its values are written: a cosine with four decimals, else percent."""
    if metric == COSINE:
        return lambda value: ABSENT if value is None else f"{value:.4f}"
    return percent


def _interval(record: ReduceRecord) -> str:
    measure = record["measure"]
    assert measure is not None
    if measure["low"] is None or measure["high"] is None:
        return ""
    number = score_text(measure["metric"])
    return f"mean {number(measure['mean'])} [{number(measure['low'])}, {number(measure['high'])}]"


def _ms(value: float) -> str:
    return f"{1000 * value:,.0f}" if value >= 0.0995 else f"{1000 * value:#.3g}"


PARTS = {"query_key": "scores", "value_output": "values", "mlp": "mlp"}
"""Group of a block's numbers -> the error of what it gives."""


_LEFT = {"query_key": "QK %", "value_output": "VO %", "mlp": "MLP %"}
"""Heads of what is left of a group; 80 columns hold the whole table."""


def layer_columns(layers: Sequence[ReducedLayerRecord]) -> list[Column]:
    """The columns of the table of layers: what is left of each group, and the error there."""
    columns = [Column("layer", _layer_name(layers), right=False, name=True)]
    for group, error in PARTS.items():
        if any(layer["before"][group] for layer in layers):
            columns.append(Column(_LEFT[group], _left(group)))
            if any(layer["errors"].get(error) is not None for layer in layers):
                columns.append(Column(error, _error(error)))
    if any(layer["errors"].get("output") is not None for layer in layers):
        columns.append(Column("output", _error("output")))
    return columns


def _layer_name(layers: Sequence[ReducedLayerRecord]) -> Callable[[ReducedLayerRecord], str]:
    several = len({layer["stack"] for layer in layers}) > 1
    return lambda layer: f"{layer['stack']} {layer['layer']}" if several else str(layer["layer"])


def _left(group: str) -> Callable[[ReducedLayerRecord], str]:
    return lambda layer: (
        f"{100 * layer['after'][group] / layer['before'][group]:.1f}" if layer["before"][group] else "-"
    )


def _error(name: str) -> Callable[[ReducedLayerRecord], str]:
    return lambda layer: ABSENT if layer["errors"].get(name) is None else f"{layer['errors'][name]:.2g}"


_EXACT = [
    Column("reduction", lambda row: row["reduction"], right=False, name=True),
    Column("numbers", lambda row: integer(row["numbers"]) if row["numbers"] else ABSENT),
    Column("why not", lambda row: row["why_not"] or "", right=False),
]


def curve_table(records: Sequence[ReduceRecord]) -> Tabled:
    """The table of several budgets."""
    return "", curve_rows(records), curve_columns(records)


def curve_rows(records: Sequence[ReduceRecord]) -> list[dict[str, Any]]:
    """The original, then each budget."""
    first = records[0]
    measure = first["measure"]
    original: dict[str, Any] = {
        "variant": "original",
        "count": first["before"],
        "score": None if measure is None else measure["before"],
        "low": None,
        "high": None,
        "latency": [],
    }
    return [
        original,
        *(
            {
                "variant": record["variant"],
                "count": record["after"],
                "score": None if (own := record["measure"]) is None else own["after"],
                "low": None if own is None else own["low"],
                "high": None if own is None else own["high"],
                "latency": record["latency"],
            }
            for record in records
        ),
    ]


def curve_columns(records: Sequence[ReduceRecord]) -> list[Column]:
    """The columns of the table of several budgets."""
    total, macs = records[0]["before"]["parameters"], records[0]["before"]["macs"]
    columns = [
        Column("budget", lambda row: row["variant"].removeprefix("reduced-"), right=False, name=True),
        Column("parameters", lambda row: integer(row["count"]["parameters"]), short="params"),
        Column("left %", lambda row: percent(row["count"]["parameters"] / total)),
        Column("MACs %", lambda row: percent(row["count"]["macs"] / macs)),
    ]
    measure = records[0]["measure"]
    if measure is not None:
        score = _score(score_text(measure["metric"]))
        columns.append(
            Column(metric_heading(measure["metric"]), score, narrow=lambda row: score(row).replace(" [", "\n["))
        )
    for place, each in enumerate(records[0]["latency"]):
        columns.append(Column(f"batch {each['batch']}", _faster(place)))
    return columns


def _score(number: Callable[[float | None], str]) -> Callable[[dict[str, Any]], str]:
    def text(row: dict[str, Any]) -> str:
        ends = "" if row["low"] is None else f" [{number(row['low'])}, {number(row['high'])}]"
        return f"{number(row['score'])}{ends}"

    return text


def _faster(place: int) -> Callable[[dict[str, Any]], str]:
    return lambda row: f"{row['latency'][place]['ratio']:.2f}x" if place < len(row["latency"]) else "1.00x"


def _flat(record: ReduceRecord) -> dict[str, Any]:
    """One line for programs: what is a number by itself."""
    flat: dict[str, Any] = {key: record[key] for key in _IN_CSV}  # type: ignore[literal-required]
    for when in ("before", "after"):
        count = record[when]
        flat[when] = {"parameters": count["parameters"], "macs": count["macs"], "groups": count["groups"]}
    flat["calibration"] = record["calibration"] or {}
    flat["latency"] = {
        str(each["batch"]): {k: v for k, v in each.items() if k != "batch"} for each in record["latency"]
    }
    return flat
