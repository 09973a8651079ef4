"""The model card of an exported model: everything that a reader needs to know of it, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minform_cli.counting.records import GROUPS
from minform_cli.exporting.records import ExportRecord
from minform_cli.reducing.records import ReduceRecord
from minform_cli.report import notes
from minform_cli.report.export_table import LIMIT, PARITY, pixels
from minform_cli.report.fit import Column
from minform_cli.report.formats import render
from minform_cli.report.intervals import CONFIDENCE, wilson
from minform_cli.report.numbers import integer, metric_name, percent, with_sign
from minform_cli.report.reduce_table import reduce_caption, reduce_table

_LIBRARIES = {"hf": "transformers", "onnx": "onnx", "torch-export": "pytorch", "safetensors": "minform"}
_PIPELINES = {
    "classify-images": "image-classification",
    "classify-sentences": "text-classification",
    "masked-tokens": "fill-mask",
    "next-tokens": "text-generation",
    "translate": "translation",
    "embed-sentences": "sentence-similarity",
}
"""How model hubs call the tasks."""

_DOES = {
    "classify-images": "tells the class of an image",
    "classify-sentences": "tells the class, or the score, of a sentence or a pair of them",
    "masked-tokens": "tells hidden tokens from those around them",
    "next-tokens": "tells every token from those before it",
    "translate": "translates a sentence",
    "embed-sentences": "makes a vector of a sentence",
}


def model_card(record: ExportRecord, reduction: ReduceRecord | None = None) -> str:
    """The text of ``README.md`` in the exported folder; its Python runs there as it stands.

    Args:
        record: of the export.
        reduction: what made the run, where that was a reduction.
    """
    parts = [
        _front(record),
        f"# {_name(record['preset'])}, {record['variant']}",
        _summary(record),
        "## Load it",
        f"```python\n{record['load']}```",
        _inputs(record),
        "## What it has",
        _counts(record),
        "## What was reduced",
        _reduced(record),
        "" if reduction is None else _by_reduction(reduction),
        "## How good it is",
        _measured(record),
        "## Where it comes from",
        _source(record),
        "## Parity",
        f"Beside the model that it was made of: {LIMIT}.",
        str(render(record["parity"], PARITY, "markdown")),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front(record: ExportRecord) -> str:
    """The header that model hubs read: YAML, of which JSON is a part."""
    fields: dict[str, object] = {
        "library_name": _LIBRARIES.get(record["format"], record["format"]),
        "tags": ["minform", _name(record["preset"]), record["variant"]],
    }
    if record["task"] in _PIPELINES:
        fields["pipeline_tag"] = _PIPELINES[record["task"]]
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()]
    return "\n".join(["---", *lines, "---"])


def _name(preset: str) -> str:
    """A preset's name, or of a file or a source its own and not where it lies: ``hf:model``."""
    kind, colon, place = preset.rpartition(":")
    return f"{kind}{colon}{Path(place).name}"


def _summary(record: ExportRecord) -> str:
    """What it is, in a sentence or two."""
    data, does = record["data"], _DOES.get(record["task"], f"does the task {record['task']}")
    classes = f", {integer(len(record['class_names']))} classes" if record["class_names"] else ""
    return (
        f"A Transformer with {integer(record['parameters'])} parameters that {does} ({data['title']}{classes}), "
        f"exported by minform as `{record['format']}`, loaded by "
        f"`{record['loader']}`. Seed {record['seed']}, {record['checkpoint']} checkpoint."
    )


def _inputs(record: ExportRecord) -> str:
    names = ", ".join(f"`{name}`" for name in record["inputs"])
    classes = " One number for each entry of `classes.json`." if "classes.json" in record["files"] else ""
    sentences = " `SentenceTransformer(FOLDER)` loads it too." if "modules.json" in record["files"] else ""
    return f"Inputs: {names}{pixels(record)}. Output: `{record['output']}`.{classes}{sentences}"


def _counts(record: ExportRecord) -> str:
    """Parameters by group, and the sizes."""
    count = record["count"]
    rows: list[tuple[str, int]] = [(group, count["groups"].get(group, 0)) for group in GROUPS]
    if count["task_head_parameters"]:
        rows.append(("head of the task, which published counts leave out", count["task_head_parameters"]))
    columns = [
        Column("group", lambda row: row[0], right=False, name=True),
        Column("numbers", lambda row: integer(row[1])),
        Column("share %", lambda row: percent(row[1] / sum(number for _, number in rows))),
    ]
    model = record["model"]
    width = f" of {model['head_width']} columns" if "head_width" in model else ""
    sizes = f"Width {model['dim']}, depth {model['depth']}, {model['heads']} heads{width}."
    return f"{render(rows, columns, 'markdown')}\n\n{sizes} {notes.PARAMETERS}"


def _reduced(record: ExportRecord) -> str:
    """Which parts stand in place of which, how much that saves, and what the format made of them."""
    model, baseline = record["model"], record["baseline"]
    both = [(key, baseline.get(key), model.get(key)) for key in {**baseline, **model}]  # some stand there if set alone
    changed = [row for row in both if row[1] != row[2]]
    share = f"{percent(record['count']['share_of_baseline'])} % of the parameters of its baseline are left."
    lines = [share if changed else "Nothing beside its preset."]
    if changed:
        columns = [
            Column("setting", lambda row: row[0], right=False, name=True),
            Column("baseline", lambda row: _short(row[1]), right=False),
            Column("here", lambda row: _short(row[2]), right=False),
        ]
        lines.append(str(render(changed, columns, "markdown")))
    if record["expanded"]:
        grown = f"{integer(record['numbers'])} numbers in the file, {integer(record['parameters'])} in the model"
        lines.append(f"Written as larger parts that the library knows ({grown}): {'; '.join(record['expanded'])}.")
    if record["filled"]:
        filled = "; ".join(f"{integer(number)}: {where}" for where, number in record["filled"].items())
        lines.append(f"Zeros and ones stand where the library's class has numbers that the model lacks: {filled}.")
    return "\n\n".join(lines)


def _by_reduction(reduction: ReduceRecord) -> str:
    """Before and after, the layers, and how that was measured."""
    lines = [line for line in reduce_caption([reduction]) if not line.startswith("Written to")]
    return "\n\n".join([str(reduce_table([reduction], "markdown")), " ".join(lines)])


def _measured(record: ExportRecord) -> str:
    """The metric with its interval, or that nothing was measured."""
    metric, metrics, data = record["metric"], record["metrics"], record["data"]
    best = record["checkpoint"] == "best"
    score = None if metric is None else metrics.get("best_val_score" if best else f"val_{metric}")
    if metric is None or score is None:
        return "Nothing but what stands above." if record["origin"].get("made") == "reduced" else "Not measured."
    number = int(data["num_val"])
    split = "test set, which was also validated on" if data["validation"] == "test" else "validation split"
    text = f"{metric_name(metric)} {with_sign(metric, percent(score))} on the {split} of {data['title']} ({number:,})"
    if metric == "accuracy" and number:
        low, high = wilson(score, number)
        chance = f"[{percent(low)}, {percent(high)}], {100 * CONFIDENCE:g} % Wilson, for the choice of examples alone"
        text = f"{text}; {chance}"
    test = metrics.get(f"test_{metric}")
    last = "" if test is None or best else f" On the test split: {with_sign(metric, percent(test))}."
    return f"{text}. One seed: what another seed would give is not in it.{last}"


def _source(record: ExportRecord) -> str:
    """How to make it again, of which data, with which versions."""
    origin = record["origin"]
    made = _listed(origin) if origin else ""
    versions = ", ".join(f"{name} {number}" for name, number in record["environment"].items())
    data = f"Data: {record['data']['title']}, fingerprint `{record['fingerprint']}`."
    if not record["fingerprint"]:
        data = "Data: those of its source; nobody here knows them."
    lines = [f"```sh\n{record['command']}\n```", made, data, f"Written with {versions}."]
    return "\n\n".join([*(line for line in lines if line), *(f"Note: {note}." for note in record["notes"])])


def _listed(values: Mapping[str, Any]) -> str:
    """What `origin` says in a word, a line each; the command stands above, and what else there is in the run."""
    plain = {key: value for key, value in values.items() if isinstance(value, (str, int, float)) and key != "command"}
    return "\n".join(f"- {key.replace('_', ' ')}: {value}" for key, value in plain.items())


def _short(value: object) -> str:
    """A value as it is written in YAML; of a long one the beginning."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]} ..."
