"""H-SoftPOS is its formulas with torch's convolution; it looks back so far and no further, and never ahead."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minform_cli.config.schema import ModelConfig
from minform_cli.data.spec import TextSpec
from minform_cli.models.parts.embedding import HSoftPos
from tests.models.test_identities import EXACT, randomise
from tests.zoo import SIZES

LEVELS = [1, 2, 3, 4]
ENTRIES, LENGTH = 11, 24


def model(levels: int, dim: int = 13, **settings: object) -> ModelConfig:
    """A width that no number of levels divides."""
    own = {"embedding": {"kind": "h-softpos", "levels": levels}, "position": "sinusoidal", "bias": "all"}
    return ModelConfig.model_validate(SIZES | {"dim": dim, "heads": 1, "readout": "tokens"} | own | settings)


def words(entries: int = ENTRIES, length: int = LENGTH) -> TextSpec:
    return TextSpec(name="words", title="words", source="made here", vocab_size=entries, seq_len=length)


def embedding(levels: int, **settings: object) -> HSoftPos:
    return randomise(HSoftPos(model(levels, **settings), words()))


def tokens(length: int = LENGTH, seed: int = 2) -> Tensor:
    return torch.randint(ENTRIES, (3, length), generator=torch.Generator().manual_seed(seed))


class Reference(nn.Module):
    """papers.md, section 3, with `torch.nn.Conv1d`: level i has dilation 2^(i-1) and is padded on the left alone."""

    def __init__(self, levels: int, dim: int = 13) -> None:
        super().__init__()
        self.m = dim // (2 * levels)
        self.e = dim - self.m * (2 * levels - 1)
        self.words = nn.Embedding(ENTRIES, self.e)
        self.s = nn.ParameterList(nn.Parameter(torch.empty(self.m, self.m)) for _ in range(levels))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(self.e if i == 1 else self.m, self.m, 3, dilation=2 ** (i - 1)) for i in range(1, levels)
        )

    def forward(self, entries: Tensor, positions: Tensor | float) -> Tensor:
        x = self.words(entries) * math.sqrt(self.e) + positions
        levels = [x]
        for i, convolution in enumerate(self.convolutions, 1):
            padded = F.pad(levels[-1].transpose(1, 2), (2 * 2 ** (i - 1), 0))
            levels.append(convolution(padded).transpose(1, 2))
        y = [torch.cat([x, x[..., : self.m].softmax(-1) @ s], -1) for x, s in zip(levels, self.s, strict=True)]
        return torch.cat(y, -1)

    def load_into(self, ours: HSoftPos) -> None:
        with torch.no_grad():
            ours.words.weight.copy_(self.words.weight)
            ours.classes.copy_(torch.stack(list(self.s)))
            for mix, convolution in zip(ours.mix, self.convolutions, strict=True):
                mix.weight.copy_(convolution.weight.transpose(1, 2).flatten(1))
                mix.bias.copy_(convolution.bias)


def sines(length: int, width: int) -> Tensor:
    """Of the paper's positions, sines in the first half of the columns."""
    half = (width + 1) // 2
    rows = [[t / 10_000 ** (i / half) for i in range(half)] for t in range(length)]
    angles = torch.tensor(rows, dtype=torch.float64)
    return torch.cat([angles.sin(), angles.cos()], 1)[:, :width]


@pytest.mark.parametrize("dim", [13, 16])
@pytest.mark.parametrize("levels", LEVELS)
def test_the_embedding_is_its_formulas_with_torchs_convolution(levels: int, dim: int) -> None:
    theirs = randomise(Reference(levels, dim))
    ours = embedding(levels, dim=dim)
    theirs.load_into(ours)
    positions = ours.positions.table
    torch.testing.assert_close(positions, sines(LENGTH, theirs.e), atol=1e-5, rtol=0)  # the table is made in float32
    for length in (1, 2, LENGTH):
        expected = theirs(tokens(length), positions[:length])
        assert expected.shape == (3, length, dim)
        torch.testing.assert_close(ours(tokens(length)), expected, **EXACT)
    bare = embedding(levels, dim=dim, position="none")
    theirs.load_into(bare)
    torch.testing.assert_close(bare(tokens()), theirs(tokens(), 0.0), **EXACT)


@pytest.mark.parametrize("levels", LEVELS)
def test_every_number_is_compared_and_counted(levels: int) -> None:
    theirs, ours = Reference(levels), embedding(levels)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    assert ours.words.weight is ours.table
    assert ours.table.shape == (ENTRIES, theirs.e)


@pytest.mark.parametrize("levels", LEVELS)
def test_a_token_reaches_so_many_tokens_ahead_all_between_and_none_before_it(levels: int) -> None:
    module = embedding(levels)
    assert module.reach == (0, 2, 6, 14)[levels - 1]
    before = module(tokens())
    for place in (0, 5):
        changed = tokens()
        changed[:, place] = (changed[:, place] + 4) % ENTRIES
        moved = (module(changed) - before).abs().amax((0, 2)) > 1e-9
        assert moved.tolist() == [place <= other <= place + module.reach for other in range(LENGTH)]
        assert torch.equal(module(changed)[:, :place], before[:, :place])


@pytest.mark.parametrize("levels", LEVELS)
def test_a_token_with_those_that_reach_it_is_embedded_as_in_the_whole_sequence(levels: int) -> None:
    """What decoding token by token relies on."""
    module = embedding(levels)
    whole = module(tokens())
    for place in (module.reach, module.reach + 3, LENGTH - 1):
        first = place - module.reach
        last = module(tokens()[:, first : place + 1], None, first)[:, -1]
        torch.testing.assert_close(last, whole[:, place], **EXACT)


def test_types_change_nothing() -> None:
    module = embedding(2)
    assert torch.equal(module(tokens(), torch.ones_like(tokens())), module(tokens()))


@pytest.mark.parametrize("levels", LEVELS)
def test_columns_of_words_and_of_convolutions_start_with_variance_one(levels: int) -> None:
    """Those of the classes are convex combinations of orthonormal rows: shorter than one, as published."""
    torch.manual_seed(0)
    dim = 256
    m = dim // (2 * levels)
    module = HSoftPos(model(levels, dim, position="none"), words(4000, 64))
    entries = torch.randint(4000, (64, 64))
    with torch.no_grad():
        out = module(entries)[:, module.reach :]  # the first ones read zeros before the sequence
    widths = [dim - m * (2 * levels - 1), *[m] * (levels - 1)]
    start = 0
    for level, width in enumerate(widths):
        x, mixture = out[..., start : start + width], out[..., start + width : start + width + m]
        # Of 3,000 tokens or more; the weights are 500 numbers or more, each level multiplies the scatter of the last.
        assert float(x.var()) == pytest.approx(1.0, rel=0.05 * (level + 1))
        shares = x[..., :m].softmax(-1)
        torch.testing.assert_close(mixture.norm(dim=-1), shares.norm(dim=-1), atol=1e-5, rtol=1e-4)  # float32 rounding
        start += width + m
    assert start == dim


def test_classes_start_orthogonal_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    module = HSoftPos(model(3), words())
    for matrix in module.classes:
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(2), atol=1e-6, rtol=0)  # float32 rounding
    assert not torch.allclose(module.classes[0], module.classes[1], atol=1e-3)
    assert not any(bool(mix.bias.any()) for mix in module.mix)


def test_dropout_is_on_the_whole_embedding_in_training_alone() -> None:
    module = embedding(2, dropout=0.5).train()
    torch.manual_seed(0)
    zeros = (module(tokens()) == 0).double().mean((0, 1))
    assert bool((zeros > 0.2).all() and (zeros < 0.8).all())  # 72 draws a column, half of them zero
    assert not bool((module.eval()(tokens()) == 0).any())
