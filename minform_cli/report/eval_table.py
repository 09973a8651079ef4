"""The tables of `eval`: what the task measures, accuracy per class, which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from minform_cli.report.fit import Column
from minform_cli.report.formats import FittedTable, check_format, render, to_csv, to_json
from minform_cli.report.intervals import CONFIDENCE, wilson
from minform_cli.report.numbers import integer, loss, metric_title, percent, perplexity
from minform_cli.runs.records import EvaluationRecord, TranslationRecord

_INTERVAL = (
    f"Interval: {100 * CONFIDENCE:g} % Wilson, for the choice of examples alone (not of seeds); "
    "confusion: rows are the true classes, columns the predicted ones."
)

MAX_CLASSES = 20
"""Up to so many classes are all shown; above, only the extremes (`csv` and `json` always hold everything)."""

_SHOWN = 10


@dataclass(frozen=True)
class Sections:
    """Titled tables below each other, for a console."""

    tables: Sequence[FittedTable]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for number, table in enumerate(self.tables):
            if number:
                yield Text("")
            yield table


def eval_table(record: EvaluationRecord, fmt: str = "rich", width: int | None = None) -> Sections | str:
    """What `eval` measured, in one of the formats of `formats.FORMATS`.

    `json` is a list with the whole record, and `accuracy_low`, `accuracy_high` (95 % Wilson interval); `csv` has one
    line with columns ``per_class_accuracy.<class>`` and no confusion matrix.

    Args:
        record: of one split of one run.
        fmt: output format.
        width: characters that `plain` may take; None has no limit.
    """
    check_format(fmt)
    full: dict[str, Any] = {**record, "accuracy_low": None, "accuracy_high": None, "confidence": CONFIDENCE}
    if record["class_names"]:
        correct = sum(row[i] for i, row in enumerate(record["confusion"]))
        full["accuracy_low"], full["accuracy_high"] = wilson(correct / record["num_examples"], record["num_examples"])
    if fmt == "json":
        return to_json([full])
    if fmt == "csv":
        by_class = dict(zip(record["class_names"], record["per_class_accuracy"], strict=True))
        left_out = ("class_names", "confusion", "translations")
        return to_csv([{**full, "per_class_accuracy": by_class}], leave_out=left_out)
    tables: list[Tabled] = [("", [full], _summary(record))]
    if record["class_names"]:
        tables += [_per_class(record), _confusion(record)]
    tables += [_translation(number, each) for number, each in enumerate(record["translations"], 1)]
    if fmt == "rich":
        return Sections([FittedTable(rows, columns, title) for title, rows, columns in tables])
    comment = {"plain": "{}", "markdown": "**{}**\n", "latex": "% {}"}[fmt]
    texts = [
        (f"{comment.format(title)}\n" if title else "") + str(render(rows, columns, fmt, width))
        for title, rows, columns in tables
    ]
    return "\n\n".join(texts)


def eval_caption(record: EvaluationRecord) -> list[str]:
    """The lines that make the tables readable on their own."""
    what = "examples" if record["perplexity"] is None else "tokens"
    return [
        f"Preset {record['preset']}, variant {record['variant']}, seed {record['seed']}: {record['data']}, "
        f"{record['split']} split ({integer(record['num_examples'])} {what}), {record['checkpoint']} checkpoint.",
        *([_INTERVAL] if record["class_names"] else []),
        *record["notes"],
    ]


Tabled = tuple[str, list[dict[str, Any]], list[Column]]


def _per_class(record: EvaluationRecord) -> Tabled:
    rows: list[dict[str, Any]] = [
        {"label": label, "name": name, "accuracy": accuracy, "examples": sum(record["confusion"][label])}
        for label, (name, accuracy) in enumerate(zip(record["class_names"], record["per_class_accuracy"], strict=True))
    ]
    if len(rows) <= MAX_CLASSES:
        return "Accuracy per class", rows, _PER_CLASS
    known = sorted(
        (row for row in rows if row["accuracy"] is not None), key=lambda row: (row["accuracy"], row["label"])
    )
    extremes = known[:_SHOWN] + known[_SHOWN:][-_SHOWN:]
    return f"Accuracy per class: the {_SHOWN} lowest and highest of {len(rows)}", extremes, _PER_CLASS


def _confusion(record: EvaluationRecord) -> Tabled:
    names, confusion = record["class_names"], record["confusion"]
    if len(names) <= MAX_CLASSES:
        rows: list[dict[str, Any]] = [{"label": i, "name": name, "row": confusion[i]} for i, name in enumerate(names)]
        columns = [Column("true \\ predicted", lambda row: _class_text(row), right=False, name=True)]
        columns += [_predicted_column(label) for label in range(len(names))]
        return "Confusion matrix", rows, columns
    pairs: list[dict[str, Any]] = [
        {"true": _class_text({"label": i, "name": names[i]}), "taken": names[j], "number": number, "of": sum(row)}
        for i, row in enumerate(confusion)
        for j, number in enumerate(row)
        if i != j and number
    ]
    pairs.sort(key=lambda pair: -pair["number"])
    return f"Most confused: {_SHOWN} pairs", pairs[:_SHOWN], _PAIRS


def _translation(number: int, record: TranslationRecord) -> Tabled:
    rows: list[dict[str, Any]] = [{"which": which, "text": text} for which, text in record.items()]
    return f"Sentence {number}", rows, _SENTENCES


def _predicted_column(label: int) -> Column:
    return Column(str(label), lambda row: str(row["row"][label]))


def _class_text(row: dict[str, Any]) -> str:
    """``3 cat``; digits are their own names."""
    return row["name"] if row["name"] == str(row["label"]) else f"{row['label']} {row['name']}"


def _accuracy(row: dict[str, Any]) -> str:
    interval = f" [{percent(row['accuracy_low'])}, {percent(row['accuracy_high'])}]" if row["class_names"] else ""
    return f"{percent(row['measured']['accuracy'])}{interval}"


def _metric(name: str) -> Column:
    if name == "accuracy":
        return Column("accuracy %", _accuracy, narrow=lambda row: _accuracy(row).replace(" [", "\n["))
    return Column(metric_title(name), lambda row: percent(row["measured"][name]))


def _summary(record: EvaluationRecord) -> list[Column]:
    """The columns of the first table: what was measured, and on what."""
    examples = "examples" if record["class_names"] else "predicted"
    return [
        Column("variant", lambda row: row["variant"], right=False, name=True),
        Column("split", lambda row: row["split"], right=False),
        Column(examples, lambda row: integer(row["num_examples"])),
        *(_metric(name) for name in record["measured"]),
        Column("loss", lambda row: loss(row["loss"])),
        *([Column("perplexity", lambda row: perplexity(row["loss"]))] if record["perplexity"] is not None else []),
        Column("parameters", lambda row: integer(row["parameters"]), short="params"),
    ]


_PER_CLASS = [
    Column("class", _class_text, right=False, name=True),
    Column("examples", lambda row: integer(row["examples"])),
    Column("accuracy %", lambda row: percent(row["accuracy"])),
]
_SENTENCES = [
    Column("", lambda row: row["which"], right=False, name=True),
    Column("text", lambda row: row["text"], right=False),
]
_PAIRS = [
    Column("true", lambda row: row["true"], right=False, name=True),
    Column("taken for", lambda row: row["taken"], right=False),
    Column("times", lambda row: integer(row["number"])),
    Column("of", lambda row: integer(row["of"])),
]
