"""What a search returns, and what every search asks of the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Hypothesis:
    """A translation.

    Attributes:
        tokens: what was generated, without start and end.
        score: what hypotheses are compared by, in nats for greedy search and a length penalty of 0.
        log_probability: of the tokens and, where it was reached, the end, in nats.
        ended: whether the end was reached before the most tokens were.
    """

    tokens: tuple[int, ...]
    score: float
    log_probability: float
    ended: bool


def allowed_log_probabilities(logits: Float[Tensor, "r v"], banned: Sequence[int]) -> Float[Tensor, "r v"]:
    """The model's log-probabilities, minus infinity for the banned entries; the others keep theirs."""
    # Adding up many steps deserves float32 at least, whatever the model is in.
    wide = torch.promote_types(logits.dtype, torch.float32)
    log_probabilities = logits.log_softmax(1, dtype=wide)
    if banned:
        log_probabilities[:, list(banned)] = -torch.inf
    return log_probabilities


def limits(most: int | Tensor, sentences: int) -> list[int]:
    """The most tokens of every sentence, from one number for all or one for each, (B,)."""
    numbers = [most] * sentences if isinstance(most, int) else [int(number) for number in most.tolist()]
    assert len(numbers) == sentences, f"{len(numbers)} limits for {sentences} sentences"
    assert all(number > 0 for number in numbers), "a translation has a token at least"
    return numbers
