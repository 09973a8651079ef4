"""The table of `count`: parameters by group, share of the baseline, determination ratio, multiply-accumulates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from minform_cli.counting.records import GROUPS, CountedRecord, CountRecord
from minform_cli.errors import counted
from minform_cli.report import notes
from minform_cli.report.fit import Column
from minform_cli.report.formats import Output, render
from minform_cli.report.numbers import ABSENT, integer, percent, ratio, scaled

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
    apart = [_TASK_HEAD] if any(record["task_head_parameters"] for record in records) else []
    return render(records, [*_COLUMNS, *apart, *_cost_columns(records)], fmt, width)


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
        *_head_line(records),
        *_cost_lines(records),
        *notes.removable([record for record in _costed(records) if "removable" in record]),
        *notes.record_notes(records),
    ]


def _head_line(records: Sequence[CountRecord]) -> list[str]:
    """Why a head stands apart, where one does."""
    if not any(record["task_head_parameters"] for record in records):
        return []
    return ["Task head: not in the parameters, MACs and bytes, as such models are published without it."]


def _cost_lines(records: Sequence[CountRecord]) -> list[str]:
    """The conventions behind the costs, where there are any."""
    costs = [record["cost"] for record in _costed(records)]
    if not costs:
        return []
    lines = [
        "FLOPs: two a MAC, of one example; train: forward and backward pass, without the optimiser. fp32, bf16, int8: "
        "bytes of the weights (1 MB = 1,000,000 bytes); training in fp32 adds as much for gradients, and what the "
        "optimiser keeps (and train.ema, if set)."
    ]
    if costs[0]["cache_bytes_per_token"] is not None:
        lines.append(
            "KV/token: keys and values that generation keeps of a token in bf16; what serves as both is kept once."
        )
    if costs[0]["batch_size"] is not None:
        lines.append(
            f"Activations: what a forward pass of {counted(costs[0]['batch_size'], 'example')} keeps for the backward "
            "pass in fp32, attention scores included; fused attention keeps less."
        )
    return lines


def _group_column(group: str) -> Column:
    return Column(
        _GROUP_HEADERS[group],
        lambda record: integer(record["groups"][group]),
        short=_SHORT_GROUP_HEADERS.get(group),
        block=1,
    )


def _saving(record: CountRecord) -> str:
    return ABSENT if record["variant"] == "baseline" else percent(1 - record["share_of_baseline"])


def _costed(records: Sequence[CountRecord]) -> list[CountedRecord]:
    return [cast(CountedRecord, record) for record in records if "cost" in record]


def _cost_columns(records: Sequence[CountRecord]) -> list[Column]:
    """The columns of the costs that these records have."""
    costed = _costed(records)
    if not costed:
        return []
    first = costed[0]["cost"]
    cache = [] if first["cache_bytes_per_token"] is None else [_CACHE]
    return [*_COSTS, *cache, *([] if first["activation_bytes"] is None else [_ACTIVATIONS])]


def _weights(kind: str) -> Callable[[CountedRecord], str]:
    return lambda record: scaled(record["cost"]["weight_bytes"][kind], "B")


_COSTS = [
    Column("FLOPs", lambda record: scaled(record["cost"]["flops_forward"]), block=2),
    Column("FLOPs train", lambda record: scaled(record["cost"]["flops_training"]), short="train", block=2),
    Column("fp32", _weights("float32"), block=2),
    Column("bf16", _weights("bfloat16"), block=2),
    Column("int8", _weights("int8"), block=2),
    Column("optimiser", lambda record: scaled(record["cost"]["optimizer_bytes"], "B"), short="optim.", block=2),
]
_CACHE = Column("KV/token", lambda record: scaled(record["cost"]["cache_bytes_per_token"]["bfloat16"], "B"), block=2)
_ACTIVATIONS = Column(
    "activations", lambda record: scaled(record["cost"]["activation_bytes"], "B"), short="activ.", block=2
)
_TASK_HEAD = Column("task head", lambda record: integer(record["task_head_parameters"]), block=1)
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
