"""GLUE: nine tasks on sentences and pairs of them, from the tab-separated files that GLUE publishes.

Validation is on the published dev set. The test sets have no published labels, so there is no test split.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from minform_cli.config.schema import DataConfig
from minform_cli.data.glue.tasks import PREFIX, glue_task
from minform_cli.data.spec import TextSpec
from minform_cli.errors import InputError

if TYPE_CHECKING:
    from minform_cli.data.glue.sentences import SentenceData

SUMMARY = "sentences by class: data.subset is a task of GLUE, data.path a folder with its train.tsv and dev.tsv"
SOURCE = "Wang et al. 2018, GLUE: A Multi-Task Benchmark and Analysis Platform, arXiv 1804.07461"
TAKES = ("path", "subset")


def spec(data: DataConfig) -> TextSpec:
    """Title and classes of the task; sizes from the settings alone.

    Raises:
        InputError: `data.subset` is no task, or settings ask for what GLUE does not have.
    """
    task = glue_task(data.subset)
    if data.validation == "test":
        raise InputError(
            "data.validation: 'test' needs the labels of the test set, and GLUE does not publish them; "
            "accepted: holdout, which is GLUE's dev set"
        )
    return TextSpec(
        name=f"{PREFIX}{data.subset}",
        title=f"{task.title} (GLUE)",
        source=SOURCE,
        class_names=task.class_names,
        vocab_size=data.vocab_size,
        seq_len=data.seq_len,
        outputs=1 if task.is_regression else None,
    )


def load(data: DataConfig, tell: Callable[[str], None]) -> SentenceData:
    """The sentences as tokens; errors as `load_sentences` raises them."""
    from minform_cli.data.glue.sentence_data import load_sentences

    return load_sentences(data, spec(data), tell)
