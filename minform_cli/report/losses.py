"""What a report says of the examples and classes that reductions lose, and of where rows agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from minform_cli.counting.records import row_label
from minform_cli.errors import counted
from minform_cli.report.grid import row_name
from minform_cli.report.heat import Shaded, class_means, shaded
from minform_cli.report.numbers import integer, percent, points
from minform_cli.report.records import LossRecord, ShownExample, StudyDetails

MOST_CLASSES = 3
"""Classes that are named of a row: those whose accuracy falls most."""


@dataclass(frozen=True)
class LostPicture:
    """One example: its picture or its words, and what stands below it."""

    png: str | None
    text: str | None
    caption: str
    alt: str


@dataclass(frozen=True)
class LostRow:
    """What a row loses: a sentence, one about classes (empty where nothing is known), and the examples."""

    name: str
    said: str
    classes: str
    examples: list[LostPicture]


@dataclass(frozen=True)
class AgreementTable:
    """Shaded shares of examples, a row and a column a row of the study."""

    names: list[str]
    rows: list[tuple[str, list[Shaded]]]
    low: str
    high: str


def lost_rows(details: StudyDetails, reference: str) -> list[LostRow]:
    """A row of the report for each row of the study that has examples.

    Args:
        details: of the study.
        reference: what rows are compared with, in a sentence.
    """
    return [
        LostRow(
            row_name(record),
            _said(record, reference),
            _classes(details, record),
            [
                _picture(each["index"], record, each["reference_right"], each["own_right"], details["shown"])
                for each in record["examples"]
                if str(each["index"]) in details["shown"]
            ],
        )
        for record in details["losses"]
    ]


def agreement_table(details: StudyDetails) -> AgreementTable | None:
    """The shares on which two rows agree; None where nothing is known."""
    agreement = details["agreement"]
    if agreement is None:
        return None
    apart = [share for i, row in enumerate(agreement["shares"]) for j, share in enumerate(row) if i != j]
    low, high = min(apart), max(apart)
    rows = [
        (name, [shaded(share if i != j else None, low, high) for j, share in enumerate(row)])
        for i, (name, row) in enumerate(zip(agreement["names"], agreement["shares"], strict=True))
    ]
    return AgreementTable(agreement["names"], rows, percent(low), percent(high))


def _said(record: LossRecord, reference: str) -> str:
    num, lost = counted(record["num_examples"], "validation example"), record["num_lost"]
    are, seeds = "is" if lost == 1 else "are", record["seeds"]
    whose = f"{reference} and wrong here (one seed each)"
    if seeds > 1:
        whose = f"most of the {seeds} seeds of {reference} and not here"
    return f"Of {num}, {integer(lost)} {are} right with {whose}, {integer(record['num_gained'])} the other way round"


def _classes(details: StudyDetails, record: LossRecord) -> str:
    """The classes that lose most, mean over seeds of all runs."""
    names, num = details["class_names"], len(details["class_names"])
    own = class_means(details["runs"], row_name(record), num)
    theirs = class_means(details["runs"], row_label(record["reference"], record["grid"]), num)
    if own is None or theirs is None:
        return ""
    falls = [
        (ours - other, names[i])
        for i, (ours, other) in enumerate(zip(own, theirs, strict=True))
        if ours is not None and other is not None and ours < other
    ]
    if not falls:
        return "no class has less accuracy"
    told = ", ".join(f"{name} {points(fall)}" for fall, name in sorted(falls)[:MOST_CLASSES])
    return f"classes that lose most, in points: {told}"


def _picture(index: int, record: LossRecord, theirs: int, own: int, shown: Mapping[str, ShownExample]) -> LostPicture:
    example, seeds = shown[str(index)], record["seeds"]
    caption = f"{example['label']}: {theirs}/{seeds}, here {own}/{seeds}"
    what = "image" if example["png"] is not None else "sentence"
    alt = f"{what} {index} of the validation split, class {caption}"
    return LostPicture(example["png"], example["text"], caption, alt)
