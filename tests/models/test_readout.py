"""Sequence pooling is its formula, token by token."""

from __future__ import annotations

import math

import torch

from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.readout import READOUTS
from tests.models.test_cross_attention import asked, real
from tests.models.test_identities import EXACT, randomise
from tests.zoo import SIZES


def test_sequence_pooling_is_the_mean_weighted_by_the_softmax_over_the_scores() -> None:
    model = ModelConfig.model_validate(SIZES | {"readout": "sequence-pool", "bias": "all"})
    part = randomise(READOUTS.get("sequence-pool")(model, None))
    assert sum(parameter.numel() for parameter in part.parameters()) == 12 + 1  # the source's N + 1
    weight, bias = part.score.weight[0].tolist(), part.score.bias.item()
    for tokens, found, seen in zip(asked(), part(asked(), real()), real(), strict=True):
        rows = [row for row, is_seen in zip(tokens, seen.tolist(), strict=True) if is_seen]
        shares = [math.exp(sum(w * x for w, x in zip(weight, row.tolist(), strict=True)) + bias) for row in rows]
        expected = sum(share / sum(shares) * row for share, row in zip(shares, rows, strict=True))
        torch.testing.assert_close(found, expected, **EXACT)
    live = READOUTS.get("sequence-pool")(model.model_copy(update={"bias": ModelConfig().bias}), None)
    assert [name for name, _ in live.named_parameters()] == ["score.weight"]
