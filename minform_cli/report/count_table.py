"""The table of `count`: parameters by group, share of the baseline, determination ratio, multiply-accumulates."""

from __future__ import annotations

from collections.abc import Sequence

from minform_cli.report import notes
from minform_cli.report.fit import Column
from minform_cli.report.formats import Output, render
from minform_cli.report.numbers import ABSENT, integer, percent, ratio
from minform_cli.results import GROUPS, CountRecord

_GROUP_HEADERS = {
    "embedding": "embedding",
    "query_key": "query-key",
    "value_output": "value-output",
    "mlp": "MLP",
    "norm": "norm",
    "head": "head",
}
_SHORT_GROUP_HEADERS = {"embedding": "emb", "query_key": "QK", "value_output": "VO"}


def count_table(records: Sequence[CountRecord], fmt: str = "rich", width: int | None = None) -> Output:
    """The counts in one of the formats of `formats.FORMATS`.

    Args:
        records: one a variant.
        fmt: output format.
        width: characters that `plain` may take; None has no limit.
    """
    return render(records, _COLUMNS, fmt, width)


def count_caption(
    records: Sequence[CountRecord], *, title: str | None, examples: int | None, outputs: int | None
) -> list[str]:
    """The lines that make a count readable on its own; they go beside the table, not into it.

    Args:
        records: the table's.
        title: of the data set; None without one.
        examples: K, the examples trained on.
        outputs: M, the outputs per example.
    """
    presets = ", ".join(dict.fromkeys(record["preset"] for record in records))
    return [
        f"Preset {presets}: {title or 'no data set'}.",
        notes.PARAMETERS,
        notes.determination(examples, outputs),
        "MACs: multiply-accumulates (1 MAC = 2 FLOPs) of one example's forward pass; not counted: normalisation, "
        "softmax, activations, additions of biases and residuals.",
        *notes.record_notes(records),
    ]


def _group_column(group: str) -> Column:
    return Column(
        _GROUP_HEADERS[group],
        lambda record: integer(record["groups"][group]),
        short=_SHORT_GROUP_HEADERS.get(group),
        block=1,
    )


def _saving(record: CountRecord) -> str:
    return ABSENT if record["variant"] == "baseline" else percent(1 - record["share_of_baseline"])


_COLUMNS = [
    Column("variant", lambda record: record["variant"], right=False, name=True),
    Column("heads", lambda record: integer(record["heads"]), short="H"),
    *(_group_column(group) for group in GROUPS),
    Column("parameters", lambda record: integer(record["parameters"]), short="total"),
    Column("share %", lambda record: percent(record["share_of_baseline"])),
    Column("saving %", _saving, short="save %"),
    Column("Q", lambda record: ratio(record["determination_ratio"])),
    Column("MACs", lambda record: integer(record["macs"])),
]
