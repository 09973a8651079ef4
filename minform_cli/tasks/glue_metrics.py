"""What GLUE measures over a whole split; what is undefined (all predictions equal, say) is 0, never NaN.

Source: GLUE, arXiv 1804.07461, section 3.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import f1_score, matthews_corrcoef

Numbers = NDArray[Any]


def measured(names: tuple[str, ...], predictions: Numbers, labels: Numbers) -> dict[str, float]:
    """The metrics called `names`; `score` is the mean of the others."""
    found = {name: MEASURES[name](predictions, labels) for name in names if name != "score"}
    return {name: found[name] if name in found else sum(found.values()) / len(found) for name in names}


def accuracy(predictions: Numbers, labels: Numbers) -> float:
    """Share of equal ones."""
    return float((predictions == labels).mean())


def f1(predictions: Numbers, labels: Numbers) -> float:
    """Harmonic mean of precision and recall of class 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing is of the class, which the 0 says
        return float(f1_score(labels, predictions))


def matthews(predictions: Numbers, labels: Numbers) -> float:
    """Matthews' correlation coefficient."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is a single class, which the 0 says
        return float(matthews_corrcoef(labels, predictions))


def pearson(predictions: Numbers, labels: Numbers) -> float:
    """Pearson's correlation coefficient."""
    return _correlation(pearsonr, predictions, labels)


def spearman(predictions: Numbers, labels: Numbers) -> float:
    """Spearman's rank correlation; equal numbers share the mean of their ranks."""
    return _correlation(spearmanr, predictions, labels)


def _correlation(statistic: Callable[[Numbers, Numbers], Any], predictions: Numbers, labels: Numbers) -> float:
    if len(labels) < 2:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that all are (nearly) equal, which the 0 says
        found = float(statistic(predictions.astype(np.float64), labels.astype(np.float64)).statistic)
    return found if math.isfinite(found) else 0.0


MEASURES: Mapping[str, Callable[[Numbers, Numbers], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}
"""Every metric of a whole split by name."""
