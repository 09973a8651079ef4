"""How a row differs from the reference: one way for studies of ours and for tables of others."""

from __future__ import annotations

from collections.abc import Sequence

from minform_cli.report.intervals import CONFIDENCE
from minform_cli.report.records import DifferenceRecord
from minform_cli.study.statistics import Estimate, bootstrap_interval, paired_difference, unpaired_difference
from minform_cli.study.verdicts import holm, non_inferiority, paired_p_value, unpaired_p_value


def difference_record(
    pairs: tuple[Sequence[float], Sequence[float]] | None,
    reference: str,
    margin: float | None,
    *,
    lower: bool = False,
    paired: bool = True,
) -> DifferenceRecord:
    """The difference of a row to the reference.

    Args:
        pairs: scores of the row and of the reference, position by position the same seed; None of the reference
            itself, and where no seed is shared.
        reference: its variant.
        margin: how much worse is acceptable, in the unit of the scores; None asks for no verdict.
        lower: whether lower scores are better.
        paired: whether that is so; else `pairs` are all scores of the row and of the reference.
    """
    difference_of, p_value_of = (
        (paired_difference, paired_p_value) if paired else (unpaired_difference, unpaired_p_value)
    )
    difference = difference_of(*pairs) if pairs else None
    bootstrap = bootstrap_interval(*pairs) if pairs and paired else None
    verdict = None
    if difference is not None and margin is not None:
        verdict = non_inferiority(_negated(difference) if lower else difference, margin)
    return DifferenceRecord(
        reference=reference,
        difference_mean=difference.mean if difference else None,
        difference_low=difference.low if difference else None,
        difference_high=difference.high if difference else None,
        bootstrap_low=bootstrap[0] if bootstrap else None,
        bootstrap_high=bootstrap[1] if bootstrap else None,
        p_value=p_value_of(*pairs) if pairs else None,
        p_value_holm=None,
        margin=margin,
        not_worse=verdict.verdict if verdict else None,
        seeds_needed=verdict.seeds_needed if verdict else None,
        confidence=CONFIDENCE,
    )


def correct(records: Sequence[DifferenceRecord]) -> None:
    """Sets the p values of the rows of one table that are corrected for the number of rows."""
    for record, corrected in zip(records, holm([record["p_value"] for record in records]), strict=True):
        record["p_value_holm"] = corrected


def _negated(difference: Estimate) -> Estimate:
    low = None if difference.high is None else -difference.high
    high = None if difference.low is None else -difference.low
    return Estimate(-difference.mean, difference.std, low, high, difference.num)
