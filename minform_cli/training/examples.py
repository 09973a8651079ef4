"""From what a model predicted on a split to a score for each of its examples."""

from __future__ import annotations

import numpy as np

from minform_cli.runs.examples import BITS, ExampleScores
from minform_cli.training.evaluate import Scores


def example_scores(scores: Scores) -> ExampleScores | None:
    """A score for each example of a split, in its order; None where nothing says what is right.

    Of classes whether the answer is right; of a number its squared error; of tokens the share of an example's that are
    right; of a translation the chrF2 of its text.
    """
    if scores.translations is not None:
        return ExampleScores("chrF2", np.array(scores.translations.each(), dtype=np.float32))
    if not len(scores.owners):
        return None
    owners = scores.owners.numpy()
    if scores.predictions.is_floating_point():
        errors = (scores.predictions.double() - scores.labels.double()).square().numpy()
        return ExampleScores("squared error", errors[np.argsort(owners)].astype(np.float32))
    right = (scores.predictions == scores.labels).numpy()
    numbers = np.bincount(owners)
    if len(numbers) == len(owners):
        return ExampleScores(BITS, right[np.argsort(owners)].astype(np.float32))
    shares = np.bincount(owners, weights=right) / np.maximum(numbers, 1)
    return ExampleScores("share of tokens right", shares.astype(np.float32))
