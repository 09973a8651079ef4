"""Greedy search takes the most probable token at every step, whatever is searched beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor

from minform_cli.decoding import Hypothesis, greedy
from minform_cli.models.stack import EncoderDecoder
from tests.decoding.translators import (
    BANNED,
    END,
    LENGTH,
    MODELS,
    ROUNDING,
    START,
    bigrams,
    log_probabilities,
    names,
    sources,
    translator,
)

SCALE = 2.0
"""What makes these models end some sentences early, some late and some never."""


def greedily(model: EncoderDecoder, source: Tensor, real: Tensor, most: int, banned: Sequence[int]) -> Hypothesis:
    """One sentence, every step from nothing."""
    tokens: list[int] = []
    total = 0.0
    with torch.no_grad():
        encoded = model.encode(source.unsqueeze(0), real.unsqueeze(0))
    while len(tokens) < most:
        follows = log_probabilities(model, source, real, tokens, encoded)
        follows[list(banned)] = -math.inf
        token = int(follows.argmax())
        total += float(follows[token])
        if token == END:
            return Hypothesis(tuple(tokens), total, total, True)
        tokens.append(token)
    return Hypothesis(tuple(tokens), total, total, False)


def assert_same(found: Sequence[Hypothesis], expected: Sequence[Hypothesis]) -> None:
    assert [(one.tokens, one.ended) for one in found] == [(one.tokens, one.ended) for one in expected]
    numbers, wanted = (
        torch.tensor([(one.score, one.log_probability) for one in some], dtype=torch.float64)
        for some in (found, expected)
    )
    torch.testing.assert_close(numbers, wanted, **ROUNDING)


@pytest.mark.parametrize(("axis", "kind", "settings"), MODELS, ids=names)
def test_greedy_search_is_the_most_probable_token_at_every_step(
    axis: str, kind: str, settings: Mapping[str, object]
) -> None:
    model = translator(axis, kind, scale=SCALE, **settings)
    source, real = sources(4)
    most = torch.tensor([9, 9, 3, 1])
    found = greedy(model, source, real, start=START, end=END, most=most, banned=BANNED)
    expected = [
        greedily(model, *of_sentence, limit, BANNED)
        for *of_sentence, limit in zip(source, real, most.tolist(), strict=True)
    ]
    assert_same(found, expected)


def test_sentences_of_many_lengths_were_searched() -> None:
    """Else the test above would say little."""
    lengths: set[tuple[int, bool]] = set()
    for axis, kind, settings in MODELS:
        model = translator(axis, kind, scale=SCALE, **settings)
        for one in greedy(model, *sources(4), start=START, end=END, most=LENGTH, banned=BANNED):
            lengths.add((len(one.tokens), one.ended))
    assert {(LENGTH, False), (0, True)} < lengths and len(lengths) >= 5


def test_without_filling_no_mask_is_needed() -> None:
    model = translator(scale=SCALE)
    source, real = sources()
    everywhere = torch.ones_like(real)
    found = greedy(model, source, None, start=START, end=END, most=LENGTH)
    assert_same(found, greedy(model, source, everywhere, start=START, end=END, most=LENGTH))


def test_the_lowest_of_equally_probable_tokens_is_taken_and_none_that_is_banned() -> None:
    # Entries: 0, 1, 2 the start, 3 the end, 4, 5.
    follows = [[0.1, 0.25, 0.1, 0.05, 0.25, 0.25]] * 6
    model = bigrams(follows)
    found = greedy(model, *sources(1, vocab_size=6), start=START, end=END, most=2)
    assert found[0].tokens == (1, 1)
    found = greedy(model, *sources(1, vocab_size=6), start=START, end=END, most=2, banned=(1,))
    assert found[0].tokens == (4, 4)
    assert found[0].log_probability == pytest.approx(2 * math.log(0.25), abs=1e-12)
    assert not found[0].ended
