"""How the time of a training step grows with depth, width, tokens and batch: doublings of each, one thread.

`python benchmarks/growth.py --plot growth.png`; all sizes in turn in every round, each in a process of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.contenders import Case, macs
from benchmarks.startup import machine
from benchmarks.step import Worker, measured

GROWN: dict[str, dict[int, Case]] = {
    "depth": {depth: Case(depth=depth, mlp=4) for depth in (3, 6, 12, 24)},
    "width": {width: Case(width=width, mlp=4) for width in (32, 64, 128, 256, 512)},
    "tokens": {1 + (28 // patch) ** 2: Case(patch=patch, mlp=4) for patch in (14, 7, 4, 2)},
    "batch": {batch: Case(batch=batch, mlp=4) for batch in (8, 16, 32, 64, 128, 256)},
}


def plot(path: Path, times: Mapping[str, Mapping[int, float]]) -> None:
    """Both axes by doublings; dashed: in proportion to the multiplications."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(times), figsize=(11, 2.9), sharey=True, layout="constrained")
    for axis, (name, found) in zip(axes, times.items(), strict=True):
        sizes, taken = list(found), list(found.values())
        proportion = [taken[-1] * macs(GROWN[name][size]) / macs(GROWN[name][sizes[-1]]) for size in sizes]
        axis.loglog(sizes, taken, "o-", color="C0", label="measured")
        axis.loglog(sizes, proportion, "--", color="0.6", label="by multiplications")
        axis.set(xlabel=name, xticks=sizes, xticklabels=map(str, sizes))
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("ms a step")
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> int:
    """Measures, shows, draws."""
    parser = argparse.ArgumentParser(description="Time of a training step over its sizes.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--plot", type=Path)
    options: Any = parser.parse_args()
    print(f"{machine()}; medians of {options.rounds} rounds, ms a step\n")
    times: dict[str, dict[int, float]] = {}
    for name, cases in GROWN.items():
        found = measured({str(size): Worker("minform", case) for size, case in cases.items()}, options.rounds, 2)
        times[name] = {size: found[str(size)] for size in cases}
        rates = (f"{size}: {times[name][size]:.2f} ({macs(case) / times[name][size] / 5e5:.0f} GFLOP/s)"
                 for size, case in cases.items())  # fmt: skip
        print(f"{name:7} {'   '.join(rates)}", flush=True)
    if options.plot:
        plot(options.plot, times)
    return 0


if __name__ == "__main__":
    sys.exit(main())
