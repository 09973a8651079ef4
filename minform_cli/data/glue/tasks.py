"""The tasks of GLUE: how their published files are laid out, and what each is measured by.

Metrics: those of GLUE's own table; where it has two for a task, its score takes their mean, `score` here.
Source: GLUE, arXiv 1804.07461, table 1 and section 3; the headers of the files at gluebenchmark.com.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from minform_cli.errors import InputError, did_you_mean

PREFIX = "glue-"
"""Opens the name of a spec: ``glue-sst2``."""

LARGEST_SCORE = 5.0
"""Of STS-B, whose pairs have a number from 0 (unlike) to this (the same)."""


@dataclass(frozen=True, kw_only=True)
class GlueTask:
    """One task.

    Attributes:
        title: as GLUE writes it; also the name of its folder in GLUE's download.
        sentences: columns of the one or two sentences.
        label: column of the label.
        texts: what stands in that column, in the order of the classes; none where it is a number.
        class_names: what these mean.
        metrics: in the order of a table.
        primary: the one that GLUE's score is made of.
        columns: all of them, where the files have no header.
        val_file: file of the validation examples.
        num_train, num_val: examples as published.
        has_broken_lines: whether the published files have a few lines without all columns.
    """

    title: str
    sentences: tuple[str, ...]
    label: str = "label"
    texts: tuple[str, ...] = ("0", "1")
    class_names: tuple[str, ...]
    metrics: tuple[str, ...] = ("accuracy",)
    primary: str = "accuracy"
    columns: tuple[str, ...] = ()
    val_file: str = "dev.tsv"
    num_train: int
    num_val: int
    has_broken_lines: bool = False

    @property
    def is_regression(self) -> bool:
        """Whether a number is predicted, not a class."""
        return not self.class_names


def _mnli(title: str, val_file: str, num_val: int) -> GlueTask:
    return GlueTask(
        title=title,
        sentences=("sentence1", "sentence2"),
        label="gold_label",
        texts=("entailment", "neutral", "contradiction"),
        class_names=("entailment", "neutral", "contradiction"),
        val_file=val_file,
        num_train=392_702,
        num_val=num_val,
    )


GLUE: Mapping[str, GlueTask] = {
    "cola": GlueTask(
        title="CoLA",
        sentences=("sentence",),
        class_names=("unacceptable", "acceptable"),
        metrics=("matthews", "accuracy"),
        primary="matthews",
        columns=("source", "label", "star", "sentence"),
        num_train=8_551,
        num_val=1_043,
    ),
    "sst2": GlueTask(
        title="SST-2",
        sentences=("sentence",),
        class_names=("negative", "positive"),
        num_train=67_349,
        num_val=872,
    ),
    "mrpc": GlueTask(
        title="MRPC",
        sentences=("#1 String", "#2 String"),
        label="Quality",
        class_names=("not_equivalent", "equivalent"),
        metrics=("accuracy", "f1", "score"),
        primary="score",
        num_train=3_668,
        num_val=408,
    ),
    "stsb": GlueTask(
        title="STS-B",
        sentences=("sentence1", "sentence2"),
        label="score",
        texts=(),
        class_names=(),
        metrics=("pearson", "spearman", "score"),
        primary="score",
        num_train=5_749,
        num_val=1_500,
    ),
    "qqp": GlueTask(
        title="QQP",
        sentences=("question1", "question2"),
        label="is_duplicate",
        class_names=("not_duplicate", "duplicate"),
        metrics=("accuracy", "f1", "score"),
        primary="score",
        num_train=363_846,
        num_val=40_430,
        has_broken_lines=True,
    ),
    "mnli": _mnli("MNLI", "dev_matched.tsv", 9_815),
    "mnli-mm": _mnli("MNLI-mm", "dev_mismatched.tsv", 9_832),
    "qnli": GlueTask(
        title="QNLI",
        sentences=("question", "sentence"),
        texts=("entailment", "not_entailment"),
        class_names=("entailment", "not_entailment"),
        num_train=104_743,
        num_val=5_463,
    ),
    "rte": GlueTask(
        title="RTE",
        sentences=("sentence1", "sentence2"),
        texts=("entailment", "not_entailment"),
        class_names=("entailment", "not_entailment"),
        num_train=2_490,
        num_val=277,
    ),
    "wnli": GlueTask(
        title="WNLI",
        sentences=("sentence1", "sentence2"),
        class_names=("not_entailment", "entailment"),
        num_train=635,
        num_val=71,
    ),
}
"""Every task by the name that `data.subset` takes; ``mnli-mm`` is MNLI validated on the mismatched examples."""


def glue_task(subset: str | None) -> GlueTask:
    """The task that `data.subset` names.

    Raises:
        InputError: it names none.
    """
    accepted = ", ".join(GLUE)
    if subset is None:
        raise InputError(f"data.subset: glue is a collection, say which task: --set data.subset=...; one of {accepted}")
    if subset not in GLUE:
        near = did_you_mean(subset.lower(), GLUE)
        raise InputError(f"data.subset: unknown task of glue {subset!r}{near}; accepted: {accepted}")
    return GLUE[subset]


def task_of(name: str) -> GlueTask | None:
    """The task that a spec of this `name` belongs to; None: not GLUE's."""
    return GLUE.get(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
