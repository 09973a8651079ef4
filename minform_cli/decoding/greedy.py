"""Greedy search: the most probable token at every step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from minform_cli.decoding.cache import CachedDecoder
from minform_cli.decoding.hypothesis import Hypothesis, allowed_log_probabilities, limits
from minform_cli.models.stack import EncoderDecoder


@torch.no_grad()
def greedy(
    model: EncoderDecoder,
    source: Int[Tensor, "b s"],
    real: Bool[Tensor, "b s"] | None = None,
    *,
    start: int,
    end: int,
    most: int | Int[Tensor, " b"],
    banned: Sequence[int] = (),
) -> list[Hypothesis]:
    """A translation of every sentence; the score is its log-probability. The lowest of equally probable tokens wins.

    A sentence costs nothing once it has ended.

    Args:
        model: left in evaluation mode.
        source: tokens to translate.
        real: False where a token only fills up the batch; None: nowhere.
        start: the token that a translation begins after.
        end: the one it ends with.
        most: tokens generated at most, the end among them; one number for all, or one for each. The model needs as
            many positions.
        banned: tokens that are never generated.
    """
    if not len(source):
        return []
    most_of = limits(most, len(source))
    decoder = CachedDecoder(model)
    decoder.start(source, real)
    newest = source.new_full((len(source),), start)
    live = list(range(len(source)))
    tokens: list[list[int]] = [[] for _ in live]
    totals = [0.0] * len(live)
    ended = [False] * len(live)
    while True:
        log_probabilities = allowed_log_probabilities(decoder.step(newest), banned)
        newest = log_probabilities.argmax(1)
        gained = log_probabilities.gather(1, newest.unsqueeze(1)).squeeze(1)
        on: list[int] = []
        for row, (token, gain) in enumerate(zip(newest.tolist(), gained.tolist(), strict=True)):
            sentence = live[row]
            totals[sentence] += gain
            tokens[sentence].append(token)
            ended[sentence] = token == end
            if token != end and len(tokens[sentence]) < most_of[sentence]:
                on.append(row)
        if not on:
            break
        if len(on) < len(live):
            live = [live[row] for row in on]
            rows = torch.tensor(on, device=source.device)
            decoder.reorder(rows, rows)
            newest = newest[rows]
    return [
        Hypothesis(tuple(found[:-1] if done else found), total, total, done)
        for found, total, done in zip(tokens, totals, ended, strict=True)
    ]
