"""From the runs of a table to one record a variant, as `summary` does it for a study of ours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minform_cli.config.names import BASELINE
from minform_cli.errors import counted, unknown_name
from minform_cli.report.records import OverExamplesRecord, TableRecord
from minform_cli.study.differences import correct, difference_record
from minform_cli.study.over_examples import pair_record
from minform_cli.study.statistics import estimate
from minform_cli.tables.examples import in_common
from minform_cli.tables.records import RunTable, TableRun


def summarise_table(table: RunTable, margin: float | None = None, reference: str = BASELINE) -> list[TableRecord]:
    """One record a variant, in the order of their first runs.

    Args:
        table: the runs.
        margin: how much worse is acceptable: a fraction where scores are, else in their unit; None asks for no verdict.
        reference: the variant that differences and verdicts refer to.

    Raises:
        InputError: `reference` is none of the variants. (Without a baseline there are no differences.)
    """
    variants = table.by_variant()
    if reference not in (BASELINE, *variants):
        raise unknown_name("variant", reference, variants, "--against")
    others = variants.get(reference, [])
    whole = (variants.get(BASELINE) or others or [None])[0]
    parameters = None if whole is None else whole.parameters
    records = [_record(table, runs, others, margin, reference, parameters) for runs in variants.values()]
    correct(records)
    for record in records:
        if record["variant"] != reference:
            record["over_examples"] = _over_examples(table, record["variant"], reference, margin, record["notes"])
    return records


def _over_examples(
    table: RunTable, variant: str, reference: str, margin: float | None, notes: list[str]
) -> dict[str, OverExamplesRecord]:
    """What is said over the examples of both, by ``table``; nothing without any. `notes` get what was left out."""
    own, theirs = (
        {seed: scores for (name, seed), scores in table.examples.items() if name == each}
        for each in (variant, reference)
    )
    seeds = [seed for seed in own if seed in theirs]
    if not seeds or (not table.paired and max(len(own), len(theirs)) > 1):
        return {}
    all_scores = [each[seed] for seed in seeds for each in (own, theirs)]
    common = in_common(all_scores)
    most = max(map(len, all_scores))
    if len(common) < most:
        notes.append(f"over examples: {len(common):,} of {most:,} examples are in all runs of both, and count")
    if not common:
        return {}
    ours, others = (
        [np.array([each[seed][name] for name in common], dtype=np.float64) for seed in seeds] for each in (own, theirs)
    )
    asked = margin if table.example_score == table.score else None
    return {"table": pair_record(table.example_score, ours, others, asked, lower=table.better == "lower")}


def paired(runs: Sequence[TableRun], others: Sequence[TableRun]) -> tuple[list[float], list[float]]:
    """Scores of both over the seeds of both, position by position the same seed."""
    own, theirs = ({run.seed: run.score for run in each} for each in (runs, others))
    seeds = [seed for seed in own if seed in theirs]
    return [own[seed] for seed in seeds], [theirs[seed] for seed in seeds]


def _record(
    table: RunTable,
    runs: Sequence[TableRun],
    others: Sequence[TableRun],
    margin: float | None,
    reference: str,
    whole: int | None,
) -> TableRecord:
    variant, own = runs[0].variant, runs[0].parameters
    score = estimate([run.score for run in runs])
    pairs = None
    if variant != reference and others:
        pairs = paired(runs, others) if table.paired else ([run.score for run in runs], [run.score for run in others])
    num_pairs = len(pairs[0]) if pairs and table.paired else None
    return TableRecord(
        variant=variant,
        grid={},
        parameters=own,
        share_of_baseline=None if own is None or whole is None else own / whole,
        metric=table.score,
        unit=table.unit,
        better=table.better,
        num_seeds=len(runs),
        num_pairs=num_pairs,
        val_score_mean=score.mean,
        val_score_std=score.std,
        kind="table",
        over_examples={},
        notes=_notes(runs, others, num_pairs, reference),
        paired=table.paired,
        **difference_record(
            pairs if pairs and pairs[0] else None,
            reference,
            margin,
            lower=table.better == "lower",
            paired=table.paired,
        ),
    )


def _notes(runs: Sequence[TableRun], others: Sequence[TableRun], num_pairs: int | None, reference: str) -> list[str]:
    """What is said of a row whose seeds are not those of the reference, or that has one."""
    notes = ["one run: no spread and no interval"] if len(runs) == 1 else []
    if num_pairs is None or num_pairs == len(runs) == len(others):
        return notes
    if num_pairs == 0:
        return [*notes, f"shares no seed with {reference}: no difference"]
    both = f"{counted(len(runs), 'run')}, {len(others)} of {reference}"
    alone = ", so its difference has no interval" if num_pairs == 1 else ""
    return [*notes, f"{both}: the difference is over the {counted(num_pairs, 'seed')} of both{alone}"]
