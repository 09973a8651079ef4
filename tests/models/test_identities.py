"""Every reduction is the standard model with some weights set: the papers' identities, and other people's code."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from timm.models.vision_transformer import Block as TimmBlock
from torch import nn
from torchvision.models.vision_transformer import EncoderBlock

from minform_cli.config.schema import ModelConfig
from minform_cli.models.block import Block
from minform_cli.models.parts.attention import Attention
from tests.zoo import SIZES, build, images, model_with

EXACT = {"atol": 1e-12, "rtol": 1e-12}  # float64: rounding of a few dozen additions


def attention(**settings: object) -> Attention:
    torch.manual_seed(3)
    module = Attention(ModelConfig.model_validate(SIZES | settings)).double()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "bias" in name or name.endswith("b_vo"):
                parameter.normal_()  # zero biases would hide a mistake
    return module


def tokens(dim: int = 12) -> torch.Tensor:
    return torch.randn(2, 5, dim, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def as_separate(part: Attention, separate: Attention) -> None:
    """Gives `separate`, of standard parts, the weights with which it does what `part` does."""
    part.similarity.as_separate(separate.similarity)
    part.value.as_separate(separate.value, part.similarity)


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_collapsed_qk_is_separate_with_the_product(heads):
    separate, collapsed = attention(heads=heads, bias="all"), attention(heads=heads, bias="all", similarity="collapsed")
    collapsed.from_separate(separate)
    # separate also has q b_K^T, the same for every key of a query: softmax cancels it, so the outputs are equal.
    torch.testing.assert_close(collapsed(tokens()), separate(tokens()), **EXACT)


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_collapsed_vo_is_separate_with_the_product(heads):
    separate, collapsed = attention(heads=heads, bias="all"), attention(heads=heads, bias="all", value="collapsed")
    collapsed.from_separate(separate)
    torch.testing.assert_close(collapsed(tokens()), separate(tokens()), **EXACT)


def test_tied_is_separate_with_equal_projections():
    tied, separate = attention(similarity="tied", bias="all"), attention(bias="all")
    as_separate(tied, separate)
    torch.testing.assert_close(tied(tokens()), separate(tokens()), **EXACT)


def test_pairwise_with_identity_is_tied():
    pairwise, tied = attention(similarity="pairwise"), attention(similarity="tied")
    pairwise.from_separate(tied)
    torch.testing.assert_close(pairwise(tokens()), tied(tokens()), **EXACT)


def test_mirrored_with_a_cholesky_product_is_cholesky():
    mirrored, cholesky = attention(similarity="mirrored"), attention(similarity="cholesky")
    mirrored.from_separate(cholesky)
    torch.testing.assert_close(mirrored(tokens()), cholesky(tokens()), **EXACT)


def test_identity_query_is_separate_with_an_identity():
    identity, separate = attention(similarity="identity-query", bias="all"), attention(bias="all")
    as_separate(identity, separate)
    torch.testing.assert_close(identity(tokens()), separate(tokens()), **EXACT)


def test_omitted_values_are_separate_with_identities():
    omitted, separate = attention(value="omitted"), attention()
    as_separate(omitted, separate)
    torch.testing.assert_close(omitted(tokens()), separate(tokens()), **EXACT)


@pytest.mark.parametrize("similarity", ["separate", "tied", "pairwise", "identity-query"])
def test_key_values_are_separate_with_the_key_projection_as_value_projection(similarity):
    key, separate = (
        attention(value="key", similarity=similarity, bias="all"),
        attention(similarity=similarity, bias="all"),
    )
    separate.similarity.load_state_dict(key.similarity.state_dict())
    key.value.as_separate(separate.value, key.similarity)
    torch.testing.assert_close(key(tokens()), separate(tokens()), **EXACT)


def test_stack_collapsed_is_collapsed_per_encoder_with_products():
    """S W_VO become one, the W_QK absorb the earlier products: (S + 1) N^2 instead of 2 S N^2."""
    stack_model = model_with("value", "stack-collapsed", similarity="collapsed", bias="none")
    plain_model = stack_model.model_copy(update={"value": model_with("value", "collapsed").value})
    plain, stack = build(plain_model), build(stack_model)
    stack.from_separate(plain)
    torch.testing.assert_close(stack(images()), plain(images()), **EXACT)


def test_shared_depth_is_unshared_with_copied_weights():
    shared, full = build(model_with("order", "shared")), build(model_with("order", "sequential"), seed=9)
    full.from_separate(shared)
    torch.testing.assert_close(shared(images()), full(images()), **EXACT)


def test_listed_order_runs_the_blocks_it_lists():
    listed, full = build(model_with("order", "listed")), build(model_with("order", "sequential"), seed=9)
    full.from_separate(listed)
    torch.testing.assert_close(listed(images()), full(images()), **EXACT)


def load_in_projection(ours: Attention, weight: torch.Tensor, bias: torch.Tensor) -> None:
    """Stacked q, k, v rows, as torch and timm store them."""
    linears = (ours.similarity.w_q, ours.similarity.w_k, ours.value.w_v)
    with torch.no_grad():
        for linear, w, b in zip(linears, weight.chunk(3), bias.chunk(3), strict=True):
            linear.weight.copy_(w)
            linear.bias.copy_(b)


def randomise(module: nn.Module) -> nn.Module:
    torch.manual_seed(11)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.5)
    return module.double().eval()


def test_baseline_attention_equals_torch_multihead_attention():
    theirs = randomise(nn.MultiheadAttention(12, 3, batch_first=True))
    ours = attention(heads=3, bias="all")
    load_in_projection(ours, theirs.in_proj_weight, theirs.in_proj_bias)
    ours.value.w_o.load_state_dict(theirs.out_proj.state_dict())
    x = tokens()
    torch.testing.assert_close(ours(x), theirs(x, x, x, need_weights=False)[0], **EXACT)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_baseline_block_equals_torch_encoder_layer(norm):
    theirs = randomise(
        nn.TransformerEncoderLayer(12, 3, 24, activation="gelu", batch_first=True, norm_first=norm == "pre")
    )
    ours = Block(ModelConfig.model_validate(SIZES | {"heads": 3, "norm": norm, "bias": "all"})).double()
    load_in_projection(ours.attention, theirs.self_attn.in_proj_weight, theirs.self_attn.in_proj_bias)
    pairs = [
        (ours.attention.value.w_o, theirs.self_attn.out_proj),
        (ours.mlp.w_1, theirs.linear1),
        (ours.mlp.w_2, theirs.linear2),
        (ours.attention_norm, theirs.norm1),
        (ours.mlp_norm, theirs.norm2),
    ]
    for mine, other in pairs:
        mine.load_state_dict(other.state_dict())
    torch.testing.assert_close(ours(tokens()), theirs(tokens()), **EXACT)
    assert count(ours) == count(theirs)


def test_baseline_block_equals_torchvision_and_timm_vit_blocks():
    ours = Block(
        ModelConfig.model_validate(SIZES | {"heads": 3, "norm": {"kind": "pre", "eps": 1e-6}, "bias": "all"})
    ).double()
    vision = randomise(EncoderBlock(3, 12, 24, 0.0, 0.0))
    load_in_projection(ours.attention, vision.self_attention.in_proj_weight, vision.self_attention.in_proj_bias)
    ours.attention.value.w_o.load_state_dict(vision.self_attention.out_proj.state_dict())
    ours.mlp.w_1.load_state_dict(vision.mlp[0].state_dict())
    ours.mlp.w_2.load_state_dict(vision.mlp[3].state_dict())
    ours.attention_norm.load_state_dict(vision.ln_1.state_dict())
    ours.mlp_norm.load_state_dict(vision.ln_2.state_dict())
    torch.testing.assert_close(ours(tokens()), vision(tokens()), **EXACT)

    timm = randomise(TimmBlock(12, 3, mlp_ratio=2, qkv_bias=True, norm_layer=partial(nn.LayerNorm, eps=1e-6)))
    load_in_projection(ours.attention, timm.attn.qkv.weight, timm.attn.qkv.bias)
    ours.attention.value.w_o.load_state_dict(timm.attn.proj.state_dict())
    ours.mlp.w_1.load_state_dict(timm.mlp.fc1.state_dict())
    ours.mlp.w_2.load_state_dict(timm.mlp.fc2.state_dict())
    ours.attention_norm.load_state_dict(timm.norm1.state_dict())
    ours.mlp_norm.load_state_dict(timm.norm2.state_dict())
    torch.testing.assert_close(ours(tokens()), timm(tokens()), **EXACT)
    assert count(ours) == count(vision) == count(timm)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("dim", "heads"), [(64, 1), (64, 4), (48, 3)])
@pytest.mark.parametrize(
    "kind", ["separate", "collapsed", "tied", "mirrored", "cholesky", "pairwise", "identity-query", "identity-key"]
)
def test_scores_start_with_the_variance_of_separate(kind, dim, heads):
    """Different tokens of independent unit-variance entries: variance 1 over many weights and tokens."""
    torch.manual_seed(0)
    model = ModelConfig.model_validate({"dim": dim, "heads": heads, "similarity": kind, "bias": "none"})
    off_diagonal = []
    for _ in range(40):
        module = Attention(model)
        x = torch.randn(4, 24, dim)
        queries, keys = module.similarity(x, x)
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(dim // heads)
        off_diagonal.append(scores[..., ~torch.eye(24, dtype=torch.bool)])
    variance = torch.cat([part.flatten() for part in off_diagonal]).var().item()
    # 88,000 correlated scores or more: the estimate scatters by a few percent; a wrong power of d is off by 2 or more.
    assert variance == pytest.approx(1.0, rel=0.15)
