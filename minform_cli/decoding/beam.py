"""Beam search: the most probable beginnings side by side, until no live one can become better than those that ended.

Sources: Sequence to Sequence Learning with Neural Networks, arXiv 1409.3215, section 3.2 (the search); When to Finish?
Optimal Beam Search for Neural Text Generation, arXiv 1809.00069 (when to stop).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from minform_cli.decoding.cache import CachedDecoder
from minform_cli.decoding.hypothesis import Hypothesis, allowed_log_probabilities, limits
from minform_cli.models.stack import EncoderDecoder


class Beams(NamedTuple):
    """How a search goes.

    Attributes:
        num: how many beginnings live, and how many hypotheses are kept.
        length_penalty: above 0 favours long translations, below 0 short ones.
    """

    num: int
    length_penalty: float = 1.0


@torch.no_grad()
def beam_search(
    model: EncoderDecoder,
    source: Int[Tensor, "b s"],
    real: Bool[Tensor, "b s"] | None = None,
    *,
    start: int,
    end: int,
    most: int | Int[Tensor, " b"],
    beams: Beams,
    banned: Sequence[int] = (),
) -> list[list[Hypothesis]]:
    """The best translations of every sentence that the search found, best first: as many as beams, where there are.

    A score is log-probability / length ** length_penalty, the length counting the end and not the start, as fairseq and
    transformers count it (GNMT, arXiv 1609.08144, has another formula). At every step a sentence has as many most
    probable beginnings without an end; a hypothesis ends where its end is among the `beams` most probable continuations
    (as in both). It stops when `beams` hypotheses have ended and none that is live could become better than the worst
    of them: a log-probability only falls, so at best it stays and is divided by the power of `most` for a positive
    penalty, else of one token more. At `most` tokens what lives is cut and counts as a hypothesis of the tokens it has
    (as in transformers; fairseq forces an end there). One beam takes the first end there is: greedy search.
    Ties go to the hypothesis found first, to the lower beam, then to the lower token.

    Args:
        model: left in evaluation mode.
        source: tokens to translate.
        real: False where a token only fills up the batch; None: nowhere.
        start: the token that a translation begins after.
        end: the one it ends with.
        most: tokens generated at most, the end among them; one number for all, or one for each. The model needs as
            many positions.
        beams: how wide the search is, and how it compares translations of different lengths.
        banned: tokens that are never generated; the others' log-probabilities stay as they are.
    """
    assert beams.num > 0, "a search needs a beam"
    assert end not in banned, "a translation must be able to end"
    if not len(source):
        return []
    sentences = [_Sentence(number, end, *beams) for number in limits(most, len(source))]
    live = sentences
    decoder = CachedDecoder(model)
    decoder.start(source, real)
    newest = source.new_full((len(source),), start)
    while True:
        log_probabilities, tokens = best(allowed_log_probabilities(decoder.step(newest), banned), 2 * beams.num)
        # From here on numbers are few: on the CPU they are added up in float64, whatever the device can.
        so_far = torch.tensor([sentence.totals for sentence in live], dtype=torch.float64)
        totals = so_far.unsqueeze(2) + log_probabilities.cpu().double().unflatten(0, so_far.shape)
        totals, order = totals.flatten(1).sort(dim=1, descending=True, stable=True)
        totals, order = totals[:, : 2 * beams.num], order[:, : 2 * beams.num]
        tokens = tokens.cpu().reshape(len(live), -1).gather(1, order)
        parents = order // log_probabilities.shape[1]
        for sentence, *columns in zip(live, totals.tolist(), parents.tolist(), tokens.tolist(), strict=True):
            sentence.advance(zip(*columns, strict=True))
        on = [number for number, sentence in enumerate(live) if not sentence.done]
        if not on:
            return [sentence.hypotheses for sentence in sentences]
        rows = [number * so_far.shape[1] + beam for number in on for beam in live[number].parents]
        kept = torch.tensor(on, device=source.device) if len(on) < len(live) else None
        decoder.reorder(torch.tensor(rows, device=source.device), kept)
        live = [live[number] for number in on]
        newest = torch.tensor([beam[-1] for sentence in live for beam in sentence.beginnings], device=source.device)


def best(numbers: Float[Tensor, "r v"], most: int) -> tuple[Float[Tensor, "r k"], Int[Tensor, "r k"]]:
    """The largest of every row and their places, largest first, the first of equal ones first; all if there are fewer.

    Which of equal ones `topk` takes is not defined, so it serves only where none are.
    """
    if most >= numbers.shape[1]:
        values, places = numbers.sort(dim=1, descending=True, stable=True)
        return values, places
    values, places = numbers.topk(most + 1, dim=1)
    tied = (values[:, 1:] == values[:, :-1]).any(1).nonzero().squeeze(1)
    if len(tied):
        _, sorted_places = numbers[tied].sort(dim=1, descending=True, stable=True)
        places[tied] = sorted_places[:, : most + 1]
    return values[:, :most], places[:, :most]


class _Sentence:
    """The search for one sentence.

    Args:
        most: tokens at most.
        end: ends a hypothesis.
        beams: how many live, and how many hypotheses are kept.
        length_penalty: what the length is raised to.

    Attributes:
        beginnings: tokens of the live beams, the best first.
        totals: their log-probabilities; minus infinity for a beam that only fills up.
        parents: which of the beams before each of them continues.
        hypotheses: what has ended, the best first.
        done: whether these are the result.
    """

    def __init__(self, most: int, end: int, beams: int, length_penalty: float) -> None:
        self.most, self.end, self.beams, self.length_penalty = most, end, beams, length_penalty
        self.beginnings: list[tuple[int, ...]] = [()]
        self.totals = [0.0]
        self.parents = [0]
        self.hypotheses: list[Hypothesis] = []
        self.done = False

    def advance(self, continuations: Iterable[tuple[float, int, int]]) -> None:
        """One token more.

        Args:
            continuations: log-probability, beam and next token of the best, the best first.
        """
        length = len(self.beginnings[0]) + 1
        live: list[tuple[float, int, tuple[int, ...]]] = []
        for place, (total, beam, token) in enumerate(continuations):
            if total == -math.inf:
                break
            ends = token == self.end
            tokens = self.beginnings[beam] if ends else (*self.beginnings[beam], token)
            if place < self.beams and (ends or length == self.most):
                score = total / length**self.length_penalty
                self.hypotheses.append(Hypothesis(tokens, score, total, ends))
            if not ends and len(live) < self.beams:
                live.append((total, beam, tokens))
        self.hypotheses.sort(key=lambda hypothesis: -hypothesis.score)  # stable: of equals the first found
        del self.hypotheses[self.beams :]
        self.done = length == self.most or not live or self._is_decided(live[0][0], length)
        live += [(-math.inf, *live[0][1:])] * (self.beams - len(live)) if live else []
        self.totals = [total for total, _, _ in live]
        self.parents = [parent for _, parent, _ in live]
        self.beginnings = [tokens for _, _, tokens in live]

    def _is_decided(self, total: float, length: int) -> bool:
        """Whether a live beam of that log-probability, the best, can become no better than what has ended."""
        if len(self.hypotheses) < self.beams:
            return False
        reached = self.most if self.length_penalty > 0 else length + 1
        return self.beams == 1 or total / reached**self.length_penalty <= self.hypotheses[-1].score
