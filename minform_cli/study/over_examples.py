"""How a row differs from the reference over seeds and examples: one way for studies of ours and tables of others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minform_cli.errors import InputError
from minform_cli.files import RunFolder
from minform_cli.report.records import OverExamplesRecord
from minform_cli.runs.examples import BITS, LOWER_IS_BETTER, ExampleScores, RunExamples, Split, read_examples
from minform_cli.runs.records import ResultRecord
from minform_cli.study.statistics import mcnemar, two_way_interval
from minform_cli.study.verdicts import judged

Examples = Mapping[str, RunExamples]
"""What runs say of their examples, by the SHA-256 of their weights."""

SPLITS: tuple[Split, ...] = ("val", "test")

Scores = NDArray[np.float32] | NDArray[np.float64]


def collect_examples(runs: Iterable[tuple[Path, ResultRecord]], tell: Callable[[str], None]) -> Examples:
    """What the runs in these folders, each with its result, say of their examples; `tell` is told of damaged files."""
    found: dict[str, RunExamples] = {}
    for folder, result in runs:
        try:
            examples = read_examples(RunFolder(folder), result)
        except InputError as error:
            tell(f"left out of what is said over examples: {error}")
            continue
        if examples is not None:
            found[result["weights_sha256"]] = examples
    return found


def over_examples(
    runs: Sequence[ResultRecord], others: Sequence[ResultRecord], examples: Examples, margin: float | None
) -> dict[str, OverExamplesRecord]:
    """How `runs` differ from `others`, by split, over the seeds of both whose examples are known.

    Args:
        runs, others: of the row and of the reference.
        examples: of any of them.
        margin: how much less of the metric is acceptable, as a fraction; None asks for no verdict.
    """
    found: dict[str, OverExamplesRecord] = {}
    for split in SPLITS:
        own, theirs = (_by_seed(each, examples, split) for each in (runs, others))
        seeds = sorted(own.keys() & theirs.keys())
        if not seeds:
            continue
        name = own[seeds[0]].name
        asked = margin if name == BITS and runs[0]["metric"] == "accuracy" else None
        pairs = [own[seed].values for seed in seeds], [theirs[seed].values for seed in seeds]
        found[split] = pair_record(name, *pairs, asked, lower=name in LOWER_IS_BETTER)
    return found


def _by_seed(runs: Sequence[ResultRecord], examples: Examples, split: Split) -> dict[int, ExampleScores]:
    known = {run["seed"]: examples[run["weights_sha256"]] for run in runs if run["weights_sha256"] in examples}
    return {seed: each.splits[split] for seed, each in known.items() if split in each.splits}


def pair_record(
    score: str, own: Sequence[Scores], theirs: Sequence[Scores], margin: float | None, *, lower: bool
) -> OverExamplesRecord:
    """The record of scores (n,) of the same examples, position by position in both lists the same seed.

    Args:
        score: what they are called.
        own, theirs: of the row and of the reference, at least one each.
        margin: how much worse is acceptable, in the unit of the scores; None asks for no verdict.
        lower: whether lower scores are better.
    """
    first, second = (np.stack(list(each)).astype(np.float64) for each in (own, theirs))
    interval = two_way_interval(first - second)
    verdict = None
    if interval is not None and margin is not None:
        verdict = judged(*((-interval[1], -interval[0]) if lower else interval), margin)
    single = len(own) == 1 and all(np.isin(each, (0, 1)).all() for each in (first, second))
    discordant = mcnemar(first[0], second[0]) if single else None
    return OverExamplesRecord(
        score=score,
        num_seeds=first.shape[0],
        num_examples=first.shape[1],
        difference_mean=float((first - second).mean()),
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        not_worse=verdict,
        only_own=discordant.only_own if discordant else None,
        only_reference=discordant.only_other if discordant else None,
        p_mcnemar=discordant.p_value if discordant else None,
    )
