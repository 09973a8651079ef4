"""The level of every interval, and the interval of an accuracy for the choice of examples."""

from __future__ import annotations

from typing import Any

CONFIDENCE = 0.95
"""Level of every interval."""


def wilson(accuracy: float, num_examples: int) -> tuple[float, float]:
    """Wilson's interval of an accuracy measured on `num_examples` examples: the chance in which examples they were.

    Args:
        accuracy: fraction of the examples that were right; a mean over seeds is rounded to whole examples.
        num_examples: at least 1.

    Returns:
        Its ends, as fractions.
    """
    from scipy.stats import binomtest

    interval: Any = binomtest(round(accuracy * num_examples), num_examples).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)
