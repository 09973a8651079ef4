"""How often each interval of a comparison holds the truth, where the truth is known: a Markdown table.

Run with: python benchmarks/coverage.py [SIMULATIONS]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from minform_cli.report.intervals import wilson
from minform_cli.study.statistics import bootstrap_interval, paired_difference, two_way_interval, unpaired_difference

NUM_EXAMPLES = 1_000
OF_EXAMPLE, OF_REST = 0.02, 0.04
RATIOS = {"no seed differs": 0.0, "as much by seeds as by examples": 1.0, "ten times as much by seeds": 10.0}

Interval = tuple[float | None, float | None] | None


def over_seeds(random: np.random.Generator, num: int) -> Interval:
    """The paired t interval of normal differences with mean 0."""
    found = paired_difference(random.standard_normal(num), np.zeros(num))
    return found.low, found.high


def over_runs(random: np.random.Generator, num: int, deviation: float) -> Interval:
    """Welch's interval of runs that nothing pairs; the others' deviate by `deviation`, ours by 1."""
    found = unpaired_difference(random.standard_normal(num), deviation * random.standard_normal(num))
    return found.low, found.high


def bootstrapped(random: np.random.Generator, num: int) -> Interval:
    """The bootstrap interval of the same."""
    return bootstrap_interval(random.standard_normal(num), np.zeros(num))


def binomial(random: np.random.Generator, num: int) -> Interval:
    """Wilson's interval of an accuracy of 97 %, less 97 %."""
    low, high = wilson(random.binomial(num, 0.97) / num, num)
    return low - 0.97, high - 0.97


def over_both(random: np.random.Generator, num: int, ratio: float) -> Interval:
    """The two-way interval of differences with mean 0."""
    of_seed = 0.0 if num == 1 else ratio * OF_EXAMPLE * num / NUM_EXAMPLES
    noise: NDArray[np.float64] = random.standard_normal((num, NUM_EXAMPLES))
    return two_way_interval(
        math.sqrt(of_seed) * random.standard_normal((num, 1))
        + math.sqrt(OF_EXAMPLE) * random.standard_normal(NUM_EXAMPLES)
        + math.sqrt(OF_REST) * noise
    )


def covered(draw: Callable[[], Interval], simulations: int) -> float:
    """The share of the intervals that hold 0."""
    held = 0
    for _ in range(simulations):
        found = draw()
        assert found is not None and found[0] is not None and found[1] is not None
        held += found[0] <= 0 <= found[1]
    return held / simulations


def main() -> None:
    """Prints the table."""
    simulations, random = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, np.random.default_rng(0)
    lines = ["| interval | n | covers % |", "|:--|--:|--:|"]

    def add(name: str, num: int, draw: Callable[[], Interval], times: int = simulations) -> None:
        lines.append(f"| {name} | {num:,} | {100 * covered(draw, times):.1f} |")

    for num in (2, 3, 5, 10):
        add("t over n seeds, paired", num, lambda num=num: over_seeds(random, num))
    add("bootstrap (BCa) over n seeds, 1,000 simulations", 40, lambda: bootstrapped(random, 40), 1_000)
    for num in (300, 5_000):
        add("Wilson, n examples, accuracy 97 %", num, lambda num=num: binomial(random, num))
    for name, ratio in RATIOS.items():
        for num in (1, 3, 5, 10) if not ratio else (2, 3, 5, 10):
            text = f"n seeds and {NUM_EXAMPLES:,} examples; the mean varies: {name}"
            add(text, num, lambda num=num, ratio=ratio: over_both(random, num, ratio))
    for deviation in (1, 3):
        for num in (2, 3, 5, 10):
            text = f"Welch over n runs of each, deviations 1 to {deviation}"
            add(text, num, lambda num=num, deviation=deviation: over_runs(random, num, deviation))
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
