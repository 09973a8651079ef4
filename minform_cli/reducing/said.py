"""What a reduction says of how it was asked for, and what a reader should be warned of. Imports no torch."""

from __future__ import annotations

import shlex
from typing import Any

from minform_cli.reducing.options import ReduceOptions
from minform_cli.reducing.records import ReducedLayerRecord

NEEDS_HEALING = 0.1
"""Relative squared error of the last block's output from which a forced variant is of no use as it is."""

WITHOUT_DATA = (
    "without data: of all-MiniLM-L6-v2 with 54 % of its blocks kept, the mean cosine to the original was .592 without "
    "data (hidden units alone) and .921 with 384 sentences (ranks and hidden units, docs/reducing-results.md)"
)
"""What that cost where we measured it."""


def how(options: ReduceOptions) -> str:
    """The way, in a word."""
    if options.exact:
        return "exact"
    if options.variant is not None:
        return "variant"
    return "data-free" if options.data_free else "calibrated"


def asked(options: ReduceOptions, budget: str | None) -> dict[str, Any]:
    """The options that decide the result, in plain JSON."""
    return {
        "exact": options.exact,
        "budget": budget,
        "only": list(options.only),
        "variant": options.variant,
        "data_free": options.data_free,
        "examples": options.examples,
        "heal": options.heal,
        "labels": options.labels,
        "seed": options.seed,
    }


def command(source: str, options: ReduceOptions, budget: str | None) -> str:
    """The line that reduces `source` so again, without the folder that it writes."""
    words = ["minform", "reduce", source]
    given: list[tuple[str, object]] = [
        ("--exact", options.exact),
        ("--budget", budget),
        ("--only", ",".join(options.only) or None),
        ("--variant", options.variant),
        ("--calibrate", options.calibrate),
        ("--measure", options.measure),
        ("--examples", options.examples),
        ("--repeats", options.repeats if options.repeats > 1 else None),
        ("--data-free", options.data_free),
        ("--segments", options.segments),
        ("--heal", options.heal),
        ("--labels", options.labels),
        ("--weights", options.weights),
        ("--seed", options.seed),
    ]
    for option, value in given:
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            words += [option, str(value)]
    return shlex.join([*words, *(word for text in options.settings for word in ("--set", text))])


def warnings(options: ReduceOptions, layers: list[ReducedLayerRecord]) -> list[str]:
    """What a reader should know of the way."""
    notes: list[str] = []
    if options.data_free and not options.exact:
        notes.append(WITHOUT_DATA)
    error = layers[-1]["errors"]["output"] if layers else None
    if options.variant is not None and options.heal is None and error is not None and error > NEEDS_HEALING:
        notes.append(
            f"the last block's output is off by {100 * error:.0f} % of its square: such a model must be healed; "
            "--heal STEPS trains it to follow the original"
        )
    return notes


def healing_warnings(before: float | None, after: float | None, folder: str) -> list[str]:
    """What a reader should know once a run is healed: that it got worse, where it did.

    Args:
        before, after: the metric before healing and after it, more is better; None: nothing was measured.
        folder: of the run before healing.
    """
    if before is None or after is None or after >= before:
        return []
    return [
        f"healing made it worse, from {before:.4f} to {after:.4f}: there was little to heal for so many steps at that "
        f"learning rate; the run before healing is in {folder}"
    ]
