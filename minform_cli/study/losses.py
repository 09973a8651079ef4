"""Which validation examples a reduction loses, and where rows agree: from the bits that runs keep of their examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minform_cli.counting.records import row_key, row_label
from minform_cli.report.records import AgreementRecord, LossRecord, LostExample
from minform_cli.runs.examples import BITS
from minform_cli.runs.records import ResultRecord
from minform_cli.study.over_examples import Examples

MOST = 10
"""Examples that are shown of a row."""

Bits = Mapping[int, NDArray[np.bool_]]
"""Right or wrong for each validation example (n,), by seed."""


@dataclass(frozen=True)
class Losses:
    """A record a row that has examples of its own and of the reference, and where the rows agree."""

    records: list[LossRecord]
    agreement: AgreementRecord | None

    def indices(self) -> list[int]:
        """Places in the validation split of the examples to be shown, each once."""
        return sorted({each["index"] for record in self.records for each in record["examples"]})


def losses(results: Sequence[ResultRecord], examples: Examples, reference: str) -> Losses:
    """What rows lose to the reference, in the order of their first run.

    Args:
        results: of all runs.
        examples: what any of them say of their examples.
        reference: the variant that rows are compared with, each at its grid point.
    """
    rows: dict[tuple[str, str], dict[int, NDArray[np.bool_]]] = {}
    points: dict[tuple[str, str], ResultRecord] = {}
    for result in results:
        key = row_key(result["variant"], result.get("grid", {}))
        found = examples.get(result["weights_sha256"])
        if found is not None and "val" in found.splits and found.splits["val"].name == BITS:
            points.setdefault(key, result)
            rows.setdefault(key, {})[result["seed"]] = found.splits["val"].values.astype(bool)
    records: list[LossRecord] = []
    for key, own in rows.items():
        others = rows.get((reference, key[1]))
        if key[0] != reference and others is not None and own.keys() & others.keys():
            records.append(_record(points[key], reference, own, others))
    return Losses(records, _agreement({_name(points[key]): own for key, own in rows.items()}))


def _record(result: ResultRecord, reference: str, own: Bits, others: Bits) -> LossRecord:
    seeds = sorted(own.keys() & others.keys())
    ours, theirs = (np.sum([each[seed] for seed in seeds], axis=0) for each in (own, others))
    half = len(seeds) / 2
    lost, gained = (theirs > half) & (ours <= half), (ours > half) & (theirs <= half)
    order = np.argsort(ours - theirs, kind="stable")[:MOST]
    return LossRecord(
        variant=result["variant"],
        grid=result.get("grid", {}),
        reference=reference,
        seeds=len(seeds),
        num_examples=len(ours),
        num_lost=int(lost.sum()),
        num_gained=int(gained.sum()),
        examples=[
            LostExample(index=int(place), reference_right=int(theirs[place]), own_right=int(ours[place]))
            for place in order
            if theirs[place] > ours[place]
        ],
    )


def _agreement(rows: Mapping[str, Bits]) -> AgreementRecord | None:
    """None for fewer than two rows."""
    if len(rows) < 2:
        return None
    right = [np.mean(list(each.values()), axis=0) > 0.5 for each in rows.values()]
    shares = [[float((one == other).mean()) for other in right] for one in right]
    return AgreementRecord(names=list(rows), shares=shares)


def _name(result: ResultRecord) -> str:
    return row_label(result["variant"], result.get("grid", {}))
