"""The final table of one training run; every figure comes from its `result.json`."""

from __future__ import annotations

from pathlib import Path

from minform_cli.errors import counted
from minform_cli.report import notes
from minform_cli.report.fit import Column
from minform_cli.report.formats import Output, render
from minform_cli.report.numbers import (
    duration,
    epochs,
    integer,
    loss,
    metric_name,
    percent,
    perplexity,
    ratio,
    seconds,
    with_sign,
)
from minform_cli.runs.records import ResultRecord


def train_table(result: ResultRecord, folder: Path, fmt: str = "rich", width: int | None = None) -> Output:
    """One finished run in one of the formats of `formats.FORMATS`; `csv` and `json` hold the result itself.

    Args:
        result: of the run.
        folder: where the run lies.
        fmt: output format.
        width: characters that `plain` may take; None has no limit.
    """
    if fmt in ("csv", "json"):
        return render([{**result, "folder": str(folder)}], [], fmt)
    return render(_rows(result, folder), _COLUMNS, fmt, width)


def train_caption(result: ResultRecord) -> list[str]:
    """The lines that make the table readable on its own."""
    return [
        notes.validation(result),
        notes.PARAMETERS,
        notes.determination(int(result["data"]["num_train"]), notes.num_outputs(result)),
        *notes.measured_by(result),
        *notes.record_notes([result["count"]]),
    ]


def _of(result: ResultRecord) -> str:
    """Of how many, where training ended early."""
    stopped = result.get("stopped_early")
    if stopped is None:
        return ""
    by = stopped.get("by", "early_stop")  # the first that there was
    why = "train.time_limit_s was over" if by == "time_limit_s" else "nothing better for train.early_stop epochs"
    return f" of {stopped['of']} ({why})"


def _rows(result: ResultRecord, folder: Path) -> list[tuple[str, str]]:
    count, data, metrics, timing = result["count"], result["data"], result["metrics"], result["timing"]
    environment = result["environment"]
    rows = [
        ("preset, variant, seed", f"{result['preset']}, {result['variant']}, {result['seed']}"),
        ("data", f"{data['title']}, {counted(data['num_train'], 'training example')}"),
        ("parameters", f"{integer(count['parameters'])} ({percent(count['share_of_baseline'])} % of the baseline)"),
        *_trained(result),
        ("determination ratio Q", ratio(count["determination_ratio"])),
        ("epochs, steps", f"{epochs(result['epochs'])}{_of(result)}, {integer(result['steps'])}"),
    ]
    if result["steps"]:  # else it was imported, or made of another run
        best = f"{_signed(result['metric'], metrics['best_val_score'])} in epoch {metrics['best_epoch']}"
        rows += [
            ("training, last epoch", _measured(result, "train")),
            (f"validation ({integer(data['num_val'])})", _measured(result, "val")),
            ("best validation", best),
        ]
    if metrics.get("test_loss") is not None:
        rows.append((f"test ({integer(data['num_test'])}), last epoch", _measured(result, "test")))
    return [
        *rows,
        ("time", f"{duration(timing['total_s'])}; {seconds(timing['seconds_per_epoch'])} s of training per epoch"),
        *_predicted(result),
        ("machine", notes.machine(environment)),
        ("folder", str(folder)),
    ]


def _trained(result: ResultRecord) -> list[tuple[str, str]]:
    """What was trained, where that is not what is counted."""
    if result["trained_parameters"] == result["count"]["parameters"]:
        return []
    return [("trained", f"{integer(result['trained_parameters'])}: with the task's head, without what it does not use")]


def _predicted(result: ResultRecord) -> list[tuple[str, str]]:
    """How fast tokens were predicted, where those are what is."""
    if result["data"]["kind"] != "pairs":
        return []
    return [("tokens/s", f"{integer(round(result['timing']['predicted_per_s']))} of translations, in training steps")]


def _measured(result: ResultRecord, split: str) -> str:
    """``accuracy 97.12 %, loss 0.0981``: the metric first, then what else was measured, the loss last."""
    metrics, own = result["metrics"], f"{split}_"
    names = [name.removeprefix(own) for name in metrics if name.startswith(own) and name != f"{own}loss"]
    names.sort(key=lambda name: name != result["metric"])
    measured = [f"{metric_name(name)} {_signed(name, metrics[own + name])}" for name in names]
    last = [f"loss {loss(metrics[own + 'loss'])}"]
    if result["data"]["kind"] == "pairs" and split != "train":
        last.append(f"perplexity {perplexity(metrics[own + 'loss'])}")
    return ", ".join([*measured, *last])


def _signed(metric: str, value: float | None) -> str:
    return with_sign(metric, percent(value))


_COLUMNS = [
    Column("run", lambda row: row[0], right=False, name=True),
    Column("", lambda row: row[1], right=False),
]
