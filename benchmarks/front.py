"""The picture that docs/results.md opens with: test accuracy over parameters, ours and published.

`python benchmarks/front.py docs/front.png`; ours are figures of docs/results.md, with the 95 % t interval over seeds;
commands, seeds and times stand there. Published ones are named with what they are.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from scipy import stats


@dataclass(frozen=True)
class Point:
    """A model: its parameters, its accuracy in %, and of ours the deviation over how many seeds.

    `place` is where its name stands: points to the right and up.
    """

    name: str
    parameters: int
    accuracy: float
    std: float | None = None
    seeds: int = 1
    place: tuple[int, int] = (6, -12)

    @property
    def half(self) -> float:
        """Half of the interval over seeds; 0 for one seed."""
        if self.std is None or self.seeds < 2:
            return 0.0
        return float(stats.t.ppf(0.975, self.seeds - 1)) * self.std / self.seeds**0.5


OURS = {
    "MNIST": [
        Point("baseline (ViT, MLP x 4)", 304_650, 99.27, 0.07, 5, (-110, -16)),
        Point("frontier", 13_858, 99.25, 0.05, 5, (6, -14)),
        Point("frontier, width 28", 5_960, 98.83, 0.06, 5, (-30, -16)),
        Point("no-mlp, the paper's recipe, 10 epochs", 105_226, 96.33, 0.12, 3, (-60, -14)),
        Point("minimal, the paper's recipe, 10 epochs", 30_730, 92.76, 0.14, 3, (-60, 8)),
    ],
    "CIFAR-10 (ours: JPEG, 10 epochs)": [
        Point("baseline (ViT, MLP x 4)", 307_658, 66.82, 0.43, 2, (-112, 7)),
        Point("frontier-mix-ffn", 27_430, 71.12, 0.95, 3, (6, -12)),
        Point("no-mlp+symmetric, the paper's recipe", 89_802, 53.06, 1.28, 3, (8, -3)),
        Point("full, the paper's recipe", 313_674, 58.04, 0.97, 3, (-118, -3)),
        Point("minimal, the paper's recipe", 39_882, 41.58, 0.65, 3, (8, -3)),
    ],
}
PUBLISHED = {
    "MNIST": [
        Point("CNN", 697, 99.0, place=(6, -12)),
        Point("CNN", 9_142, 99.4, place=(-22, 5)),
        Point("CNN", 15_794, 99.59, place=(6, 2)),
        Point("full, reproduction, 100 epochs", 304_522, 98.73, place=(-150, -14)),
        Point("minimal, reproduction, 100 epochs", 30_730, 94.45, place=(6, 4)),
    ],
    "CIFAR-10 (ours: JPEG, 10 epochs)": [
        Point("CNN, one run", 22_000, 87.38, place=(6, -12)),
        Point("CNN, 200 epochs", 97_530, 94.4, place=(-30, -14)),
        Point("CCT-2/3x2, 200 epochs", 284_000, 89.17, place=(-78, -14)),
        Point("full, reproduction", 313_674, 67.72, place=(-76, -14)),
        Point("minimal, reproduction", 39_882, 47.44, place=(8, -3)),
    ],
}


def main() -> None:
    """Draws to the file that the first argument names."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(OURS), figsize=(6.2 * len(OURS), 4.2), layout="constrained", squeeze=False)
    for axis, (title, ours) in zip(axes[0], OURS.items(), strict=True):
        for points, colour, marker, label in (
            (PUBLISHED[title], "0.5", "s", "published"),
            (ours, "#0072B2", "o", "minform, 95 % over seeds"),
        ):
            axis.errorbar(
                [point.parameters for point in points],
                [point.accuracy for point in points],
                [point.half for point in points],
                fmt=marker,
                color=colour,
                capsize=3,
                label=label,
            )
            for point in points:
                spot = (point.parameters, point.accuracy)
                axis.annotate(point.name, spot, point.place, textcoords="offset points", fontsize=7.5, color=colour)
        axis.set_xscale("log")
        axis.set_xlabel("parameters")
        axis.set_ylabel("test accuracy in %")
        axis.set_title(title)
        axis.grid(visible=True, which="major", color="0.9")
        axis.legend(loc="lower left" if title == "MNIST" else "lower right", fontsize=8, frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(Path(sys.argv[1]), dpi=110)


if __name__ == "__main__":
    main()
