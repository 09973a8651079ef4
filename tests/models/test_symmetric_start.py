"""Separate projections that begin as one: equal at first, with scores of the variance 1, and free afterwards."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from minform_cli.config.presets import resolve
from minform_cli.config.schema import ModelConfig
from minform_cli.counting.count import count_config
from minform_cli.data.spec import spec_for
from minform_cli.models.parts.attention import Attention
from minform_cli.models.parts.linear import read_map
from tests.zoo import SIZES, build, examples

SYMMETRIC = {"similarity": {"kind": "separate", "start": "symmetric"}}


@pytest.mark.parametrize(
    "linear", ["dense", {"kind": "tensor-chain"}, {"kind": "low-rank", "qkv": 4}], ids=lambda part: str(part)
)
@pytest.mark.parametrize("bias", ["all", "live"])
def test_keys_begin_as_queries_however_maps_are_stored(linear: object, bias: str) -> None:
    model = ModelConfig.model_validate(SIZES | SYMMETRIC | {"linear": linear, "bias": bias})
    for block in build(model).blocks:
        similarity = block.attention.similarity
        queries, keys = read_map(similarity.w_q).weight, read_map(similarity.w_k).weight
        assert torch.equal(queries, keys)
        assert not any(a is b for a in similarity.w_q.parameters() for b in similarity.w_k.parameters())


def test_scores_of_different_tokens_begin_with_the_variance_one() -> None:
    torch.manual_seed(3)
    model = ModelConfig.model_validate({"dim": 64, "heads": 4} | SYMMETRIC)
    found: list[float] = []
    for _ in range(40):
        x = torch.randn(1, 30, 64)
        queries, keys = Attention(model).similarity(x, x)
        scores = (queries @ keys.mT / 4)[0]
        torch.testing.assert_close(scores, scores.mT)  # float32 rounding
        found.append(float(scores.detach()[:, ~torch.eye(30, dtype=torch.bool)].var()))
    assert sum(found) / len(found) == pytest.approx(1, rel=0.1)  # the mean of 40 draws of about 0.1 each


def test_after_a_step_they_differ() -> None:
    model = ModelConfig.model_validate(SIZES | SYMMETRIC)
    module = build(model)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    F.cross_entropy(module(*examples(model)), torch.arange(3)).backward()
    optimizer.step()
    similarity = module.blocks[0].attention.similarity
    assert not torch.equal(similarity.w_q.weight, similarity.w_k.weight)


def test_no_number_is_saved_and_weights_are_those_of_any_separate_ones() -> None:
    one, whole = (resolve("mnist", name).config for name in ("symmetric-start", "baseline"))
    counts = [count_config(each, spec_for(each))["groups"] for each in (one, whole)]
    assert counts[0] == counts[1]
    source = build(ModelConfig.model_validate(SIZES))
    made = build(ModelConfig.model_validate(SIZES | SYMMETRIC), seed=4)
    made.from_separate(source)
    inputs = examples(ModelConfig.model_validate(SIZES))
    assert torch.equal(made(*inputs), source(*inputs))
