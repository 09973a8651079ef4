"""Beam search finds what an enumeration of all sequences finds, stops where it may, and depends on nothing else."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from minform_cli.decoding import Beams, Hypothesis, beam_search, greedy
from minform_cli.models.stack import EncoderDecoder
from tests.decoding.test_greedy import SCALE, assert_same
from tests.decoding.translators import (
    BANNED,
    END,
    LENGTH,
    MODELS,
    START,
    bigrams,
    log_probabilities,
    sources,
    translator,
)

SMALL = 5  # entries: 0 and the start are banned, the end, and two more
PENALTIES = (-1.0, 0.0, 0.6, 1.0, 2.0)
MOST = 4


@functools.cache
def everything(seed: int, scale: float) -> list[list[Hypothesis]]:
    """Every translation of `MOST` tokens at most, for every sentence; scores are log-probabilities."""
    model = small_translator(seed, scale)
    words = [token for token in range(SMALL) if token not in (0, START, END)]
    each: list[list[Hypothesis]] = []
    for source, real in zip(*sources(3, seed, SMALL), strict=True):
        found: list[Hypothesis] = []
        beginnings: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
        for length in range(1, MOST + 1):
            longer: list[tuple[tuple[int, ...], float]] = []
            for tokens, total in beginnings:
                follows = log_probabilities(model, source, real, tokens).tolist()
                found.append(Hypothesis(tokens, total + follows[END], total + follows[END], True))
                longer += [((*tokens, word), total + follows[word]) for word in words]
            beginnings = longer
            assert len(beginnings) == 2**length
        each.append(found + [Hypothesis(tokens, total, total, False) for tokens, total in beginnings])
    return each


def scored(found: Sequence[Hypothesis], penalty: float) -> list[Hypothesis]:
    """With log-probability / length^penalty as the score, the best first."""
    rescored = [
        dataclasses.replace(one, score=one.log_probability / (len(one.tokens) + one.ended) ** penalty) for one in found
    ]
    return sorted(rescored, key=lambda one: -one.score)


def small_translator(seed: int, scale: float) -> EncoderDecoder:
    return translator(seed=seed, scale=scale, vocab_size=SMALL)


def search(model: EncoderDecoder, source: Tensor, real: Tensor | None, beams: int, penalty: float = 1.0, **settings):
    return beam_search(
        model,
        source,
        real,
        **{"start": START, "end": END, "most": LENGTH, "banned": BANNED} | settings,
        beams=Beams(beams, penalty),
    )


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("beams", [16, 3**MOST])
def test_wide_beams_find_what_an_enumeration_finds(beams: int, penalty: float) -> None:
    """16 beams hold every beginning there is, 81 every sequence; the search may end sooner than the enumeration."""
    for seed, scale in itertools.product(range(4), (1.0, 2.0, 3.0)):
        model = small_translator(seed, scale)
        found = search(model, *sources(3, seed, SMALL), beams, penalty, most=MOST, banned=(0, START))
        for hypotheses, expected in zip(found, everything(seed, scale), strict=True):
            assert_same(hypotheses, scored(expected, penalty)[:beams])


@pytest.mark.parametrize("penalty", PENALTIES)
def test_one_beam_is_greedy_search(penalty: float) -> None:
    most = torch.tensor([9, 9, 3, 1, 5, 9])
    for axis, kind, settings in MODELS[::4]:
        model = translator(axis, kind, scale=SCALE, **settings)
        source, real = sources(6)
        found = search(model, source, real, 1, penalty, most=most)
        assert {len(hypotheses) for hypotheses in found} == {1}
        expected = greedy(model, source, real, start=START, end=END, most=most, banned=BANNED)
        for hypotheses, one in zip(found, expected, strict=True):
            assert_same(hypotheses, scored([one], penalty))


@pytest.mark.parametrize("penalty", PENALTIES)
def test_sentences_together_are_translated_as_each_alone_and_without_its_filling(penalty: float) -> None:
    most = torch.tensor([9, 9, 3, 1, 5, 9])
    for seed in range(4):
        model = translator(seed=seed, scale=SCALE)
        source, real = sources(6)
        together = search(model, source, real, 4, penalty, most=most)
        for row, (tokens, length) in enumerate(zip(source, real.sum(1).tolist(), strict=True)):
            alone = search(model, tokens[:length].unsqueeze(0), None, 4, penalty, most=int(most[row]))
            assert_same(together[row], alone[0])


def test_what_fills_up_a_source_does_not_matter() -> None:
    model = translator(scale=SCALE)
    source, real = sources(6)
    other = torch.where(real, source, (source + 4) % 11)
    assert search(model, source, real, 4) == search(model, other, real, 4)


def test_hypotheses_are_the_best_first_all_different_and_without_what_is_banned() -> None:
    for seed in range(5):
        for hypotheses in search(translator(seed=seed, scale=SCALE), *sources(6), 4):
            assert len({one.tokens for one in hypotheses}) == 4
            assert [one.score for one in hypotheses] == sorted((one.score for one in hypotheses), reverse=True)
            assert not {token for one in hypotheses for token in one.tokens} & {*BANNED, END}


def steps(model: EncoderDecoder, *arguments: object, **settings: object) -> tuple[int, list[Hypothesis]]:
    """How often the model was asked, and what was found for the only sentence."""
    asked: list[int] = []
    with model.readout.register_forward_hook(lambda *_: asked.append(1)):
        found = search(model, *sources(1, vocab_size=6), *arguments, **{"banned": ()} | settings)
    return len(asked), found[0]


TINY = 1e-9
"""A probability of what is not to happen."""


def chain(of_start: Sequence[float], of_others: Sequence[float]) -> EncoderDecoder:
    """Entries: 0 and 1 words, 2 the start, 3 the end, 4 and 5 words."""
    return bigrams([of_start if token == START else of_others for token in range(6)])


def test_a_search_goes_on_while_a_longer_hypothesis_could_win_and_no_longer() -> None:
    """Two beams. The end has 0.6 at first and 0.5 later; each step another word costs at least 0.4, or 0.5."""
    model = chain([0.4, TINY, TINY, 0.6, TINY, TINY], [0.5, TINY, TINY, 0.5, TINY, TINY])
    # After two steps "end" has 0.6 and "0 end" 0.4 x 0.5; what lives, "0 0", has as much, and can only lose.
    asked, found = steps(model, 2, 0.0)
    assert asked == 2
    assert [one.tokens for one in found] == [(), (0,)]
    assert [one.log_probability for one in found] == pytest.approx([math.log(0.6), math.log(0.2)], abs=1e-7)
    # Divided by its length, what lives could stay at log(0.4 x 0.5^(t-1)) and reach 9 tokens: that over 9 is above the
    # worst, log(0.2) / 2 = -0.805, until 0.4 x 0.5^(t-1) < 0.2^4.5, which is t = 11: the search runs to the end.
    asked, found = steps(model, 2, 1.0)
    assert asked == LENGTH
    assert found[0].tokens == ()
    assert found[0].score == pytest.approx(math.log(0.6), abs=1e-7)
    assert found[1].score == pytest.approx(math.log(0.4 * 0.5**8) / 9, abs=1e-7)
    # With a negative penalty lengths cost; over three tokens "0 0" has log(0.2) x 3, less than log(0.2) x 2.
    asked, found = steps(model, 2, -1.0)
    assert asked == 2
    assert [one.score for one in found] == pytest.approx([math.log(0.6), 2 * math.log(0.2)], abs=1e-7)


def test_a_search_with_a_positive_penalty_stops_before_the_last_token_where_nothing_can_win() -> None:
    model = chain([0.01, TINY, TINY, 0.98, 0.01, TINY], [TINY, TINY, TINY, 0.95, TINY, 0.05])
    asked, found = steps(model, 2, 1.0)
    # The worst that is kept is "0 end", log(0.01 x 0.95) / 2 = -2.33; "0 5 end" has -2.55 and is
    # no better. What lives could reach log(0.01 x 0.05^(t - 1)) / 9: -2.18 after 6 steps, -2.51 after 7.
    assert asked == 7
    assert [one.tokens for one in found] == [(), (0,)]
    assert found[1].score == pytest.approx(math.log(0.0095) / 2, abs=1e-7)


def test_with_a_negative_penalty_the_next_token_is_the_best_place_to_end() -> None:
    """Not the last: what ends after three tokens wins here, and after nine it would not."""
    never = [1 / 6] * 6
    ends = [TINY, TINY, TINY, 1.0, TINY, TINY]
    # Among the first: "end" with 0.6, "5 end" with 0.1. "0 4" has 0.285: log 0.285 x 3 = -3.77 > log 0.1 x 2 = -4.61.
    start = [0.3, TINY, TINY, 0.6, TINY, 0.1]
    model = bigrams([[TINY, TINY, TINY, 0.05, 0.95, TINY], never, start, never, ends, ends])
    asked, found = steps(model, 2, -1.0)
    assert asked == 3
    assert [one.tokens for one in found] == [(), (0, 4)]
    # "0 4" with 0.15 cannot win over "5 end" with 0.14, as it needs a third token: log 0.15 x 3 < log 0.14 x 2.
    start = [0.3, 0.03, TINY, 0.5, 0.03, 0.14]
    model = bigrams([[0.1, 0.1, TINY, 0.2, 0.5, 0.1], never, start, never, ends, ends])
    asked, found = steps(model, 2, -1.0)
    assert asked == 2
    assert [one.tokens for one in found] == [(), (5,)]


def test_an_end_counts_only_among_the_most_probable_continuations() -> None:
    """Of two beams, the third continuation is the end: it is not kept, though a hypothesis is free."""
    model = chain([0.5, 0.3, TINY, 0.2, TINY, TINY], [TINY, TINY, TINY, 1.0, TINY, TINY])
    _, found = steps(model, 2, 0.0)
    assert [one.tokens for one in found] == [(0,), (1,)]


def test_as_many_beginnings_live_as_there_are_beams_also_where_one_ends() -> None:
    """The end is best at first; the third, 1, still lives, and ends better than 0."""
    nothing = [1 / 6] * 6
    model = bigrams([
        [0.5, TINY, TINY, 0.5, TINY, TINY], [TINY, TINY, TINY, 1.0, TINY, TINY], [0.3, 0.2, TINY, 0.5, TINY, TINY],
        nothing, nothing, nothing,
    ])  # fmt: skip
    _, found = steps(model, 2, 0.0)
    assert [one.tokens for one in found] == [(), (1,)]


def test_what_is_cut_counts_and_its_length_has_no_end() -> None:
    model = chain([0.6, 0.2, TINY, 0.1, 0.1, TINY], [0.9, TINY, TINY, 0.1, TINY, TINY])
    _, found = steps(model, 2, 1.0, most=3)
    assert [(one.tokens, one.ended) for one in found] == [((0, 0, 0), False), ((1, 0, 0), False)]
    expected = [math.log(0.6 * 0.81) / 3, math.log(0.2 * 0.81) / 3]
    assert [one.score for one in found] == pytest.approx(expected, abs=1e-7)


def test_ties_go_to_the_lower_beam_and_then_to_the_lower_token() -> None:
    even = [0.2, 0.2, TINY, 0.2, 0.2, 0.2]
    model = chain(even, even)
    _, found = steps(model, 2, 0.0, most=2, banned=(END - 2,))
    # Words 0, 4 and 5 and the end are as probable. First 0 (beam 0) and the end are best; 0 and 4 live on.
    assert [one.tokens for one in found] == [(), (0, 0)]
    _, found = steps(model, 4, 0.0, most=2)
    assert [one.tokens for one in found] == [(), (0, 0), (0, 1), (0,)]


def test_nothing_to_translate_is_no_translation() -> None:
    source, real = sources()
    assert search(translator(), source[:0], real[:0], 2) == []
    assert greedy(translator(), source[:0], real[:0], start=START, end=END, most=LENGTH) == []


def test_banned_tokens_leave_the_probabilities_of_the_others() -> None:
    model = chain([0.5, 0.3, TINY, 0.2, TINY, TINY], [TINY, TINY, TINY, 1.0, TINY, TINY])
    _, found = steps(model, 1, 0.0, banned=(0,))
    assert found[0].tokens == (1,)
    assert found[0].log_probability == pytest.approx(math.log(0.3), abs=1e-7)


def test_beams_that_find_nothing_to_hold_do_no_harm() -> None:
    """One word and the end: never more than one beginning lives."""
    model = chain([0.5, TINY, TINY, 0.5, TINY, TINY], [0.5, TINY, TINY, 0.5, TINY, TINY])
    _, found = steps(model, 5, 0.0, most=3, banned=(1, 2, 4, 5))
    assert [one.tokens for one in found] == [(), (0,), (0, 0, 0), (0, 0)]  # the last two are as probable
    assert sum(math.exp(one.log_probability) for one in found) == pytest.approx(1, abs=1e-7)
