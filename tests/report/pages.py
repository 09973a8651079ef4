"""A made-up study's report, and a reader of the page that it becomes."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

from PIL import Image

from minform_cli.report.html import StudyReport
from minform_cli.report.records import (
    AgreementRecord,
    AttentionRecord,
    ExampleRecord,
    LearningCurve,
    LossRecord,
    LostExample,
    MeasuredRecord,
    RunDetails,
    ShownExample,
    StudyDetails,
)
from tests.report.records import compare_record, result_record

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, tables as text, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and ({"td", "th"} & set(self.open)):
            self.tables[-1][-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def png() -> str:
    data = io.BytesIO()
    Image.new("L", (8, 8)).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


def run_details(variant: str, seed: int, accuracy: float = 0.9, layers: int = 2, grid: Any = None) -> RunDetails:
    share = [[0.2, 0.2, 0.2, 0.2], [0.8, 0.0, 0.0, 0.0]]
    return RunDetails(
        variant=variant,
        grid=grid or {},
        seed=seed,
        curve=LearningCurve(
            epoch=[1, 2],
            train_loss=[2.0 + seed, 1.0],
            step=[10, 20],
            val_loss=[2.0, 1.0],
            val_score=[0.5 + 0.1 * seed, accuracy],
            train_s=[1.0, 1.0],
        ),
        measured=MeasuredRecord(
            per_class_accuracy=[accuracy, 0.25 + 0.5 * seed, None],
            attention=AttentionRecord(
                rows=2, columns=2, tokens=5, class_token=True, weights=[share] * layers, prediction=seed
            ),
        ),
    )


def loss_record(variant: str) -> LossRecord:
    return LossRecord(
        variant=variant,
        grid={},
        reference="baseline",
        seeds=2,
        num_examples=359,
        num_lost=7,
        num_gained=1,
        examples=[LostExample(index=3, reference_right=2, own_right=0)],
    )


def report(num: int = 3, num_seeds: int = 2, **changes: Any) -> StudyReport:
    records = [compare_record(i, num_seeds) for i in range(num)]
    names = [(record["variant"], seed) for record in records for seed in range(num_seeds)]
    made = StudyReport(
        records=records,
        results=[result_record(variant, seed) for variant, seed in names],
        details=StudyDetails(
            class_names=["cat", "dog", "owl"],
            example=ExampleRecord(index=0, label=0, png=png()),
            runs=[run_details(variant, seed) for variant, seed in names],
            missing=[],
            losses=[loss_record(record["variant"]) for record in records[1:]],
            agreement=AgreementRecord(
                names=[record["variant"] for record in records],
                shares=[[1.0 if i == j else 0.9 - 0.1 * (i + j) for j in range(num)] for i in range(num)],
            )
            if num > 1
            else None,
            shown={"3": ShownExample(label="owl", png=png(), text=None)},
        ),
        command="minform compare --preset digits --seeds 2",
        title="Reductions on digits",
        settings={"train.epochs": 60, "model.bias": None},
        notes=["collapsed left out: it needs one head"],
    )
    return replace(made, **changes)
