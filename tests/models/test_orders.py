"""Orders with two blocks at every depth: one MLP or one attention for all, and halves of an MLP around attention."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from minform_cli.config import legality
from minform_cli.config.axes import AXES
from minform_cli.config.presets import resolve
from minform_cli.config.schema import ModelConfig
from minform_cli.counting.count import count_config
from minform_cli.data.spec import spec_for
from minform_cli.errors import InputError
from tests.zoo import SIZES, build, examples, filled, model_with

EXACT = {"atol": 1e-10, "rtol": 1e-10}
N, L, HIDDEN = 12, 3, 24


def model(order: str, **parts: object) -> ModelConfig:
    parsed = {axis: AXES[axis].parse(part) if axis in AXES else part for axis, part in parts.items()}
    return ModelConfig.model_validate(SIZES | {"order": order} | parsed)


def outputs(module: nn.Module, of: ModelConfig) -> torch.Tensor:
    with torch.no_grad():
        return module(*examples(of))


@pytest.mark.parametrize("norm", ["pre", "post", "none"])
@pytest.mark.parametrize(
    ("order", "alike"), [("shared-mlp", ("mlp",)), ("shared-attention", ("attention",))], ids=lambda given: given[0]
)
@pytest.mark.parametrize("decoder_depth", [0, L])
def test_one_sublayer_for_all_depths_is_a_model_whose_sublayers_are_equal(
    order: str, alike: tuple[str, ...], norm: str, decoder_depth: int
) -> None:
    """There and back; and where they are not equal, the one is their mean."""
    parts: dict[str, object] = {"norm": norm}
    if decoder_depth:
        parts |= {"embedding": "tokens", "readout": "tokens", "decoder_depth": decoder_depth}
    one, whole = model(order, **parts), model("sequential", **parts)
    source, made, back = filled(build(whole)), build(one, seed=5), build(whole, seed=6)
    stacks = [source.blocks, *([source.decoder_blocks] if decoder_depth else [])]
    for blocks in stacks:
        for block in blocks[1:]:
            for name in (*alike, *(f"{each}_norm" for each in alike)):
                part = getattr(block, name)
                if part is not None:
                    part.load_state_dict(getattr(blocks[0], name).state_dict())
            if decoder_depth and "attention" in alike and block.cross is not None:
                block.cross.load_state_dict(blocks[0].cross.state_dict())
                if block.cross_norm is not None:
                    block.cross_norm.load_state_dict(blocks[0].cross_norm.state_dict())
    made.from_separate(source)
    torch.testing.assert_close(outputs(made, one), outputs(source, whole), **EXACT)
    back.from_separate(made)
    torch.testing.assert_close(outputs(back, whole), outputs(source, whole), **EXACT)
    if "mlp" in alike:
        other = filled(build(whole))
        made.from_separate(other)
        mean = torch.stack([block.mlp.w_1.weight for block in other.blocks]).mean(0)
        torch.testing.assert_close(made.blocks[L].mlp.w_1.weight, mean, **EXACT)


def test_macaron_is_half_an_mlp_attention_and_half_an_mlp() -> None:
    """Block by block, by hand; and out of whole blocks whose MLPs have a half that gives nothing."""
    made = filled(build(model("macaron", readout="mean")))
    assert len(made.blocks) == 2 * L and made.order == tuple(range(2 * L))
    x = torch.randn(2, 4, N, dtype=torch.float64)
    expected = x
    for depth in range(L):
        first, second = made.blocks[2 * depth], made.blocks[2 * depth + 1]
        assert first.attention is None and first.mlp.w_1.weight.shape == second.mlp.w_1.weight.shape == (HIDDEN // 2, N)
        expected = expected + first.mlp(first.mlp_norm(expected))
        expected = expected + second.attention(second.attention_norm(expected))
        expected = expected + second.mlp(second.mlp_norm(expected))
    torch.testing.assert_close(made.run(x), made.final_norm(expected), **EXACT)

    whole = model("sequential")
    source = filled(build(whole))
    with torch.no_grad():
        for block in source.blocks:
            block.mlp.w_2.weight[:, ::2] = 0
    other = build(model("macaron"), seed=5)
    other.from_separate(source)
    torch.testing.assert_close(outputs(other, whole), outputs(source, whole), **EXACT)
    with pytest.raises(InputError, match="blocks with an MLP before attention become no one block"):
        source.from_separate(other)


@pytest.mark.parametrize("preset", ["bert-base", "mnist", "transformer-base", "gpt2"])
def test_counts_are_those_of_the_formulas(preset: str) -> None:
    """L - 1 MLPs less with their norms, or as many attentions; macaron's maps have as many numbers, and more biases."""

    def groups(order: str) -> dict[str, int]:
        config = resolve(preset, settings=[f"model.order={order}"]).config
        return dict(count_config(config, spec_for(config))["groups"])

    config = resolve(preset).config.model
    n, hidden, depth = config.dim, config.mlp_dim, config.depth + config.decoder_depth
    stacks = 2 if config.decoder_depth else 1
    whole, mlp, attention, macaron = map(groups, ("sequential", "shared-mlp", "shared-attention", "macaron"))
    assert whole["mlp"] == depth * (2 * n * hidden + hidden + n)
    assert mlp["mlp"] == stacks * (2 * n * hidden + hidden + n) and mlp["query_key"] == whole["query_key"]
    assert attention["query_key"] * depth == stacks * whole["query_key"] and attention["mlp"] == whole["mlp"]
    assert attention["value_output"] * depth == stacks * whole["value_output"]
    assert macaron["mlp"] == depth * (2 * n * hidden + hidden + 2 * n)
    assert macaron["norm"] == whole["norm"] + depth * 2 * n
    assert whole["norm"] - mlp["norm"] == (depth - stacks) * 2 * n


def test_lists_say_the_parts_of_both_kinds_of_blocks() -> None:
    listed = model(
        "shared-mlp", norm=["pre", "none", "none", "pre"], similarity=["separate", "tied", "separate", "tied"]
    )
    assert not legality.problems(listed)
    kinds = [(each.similarity.kind, each.mlp.kind, each.norm.kind) for each in map(listed.at, range(4))]
    assert kinds == [
        ("separate", "none", "pre"), ("tied", "none", "none"), ("separate", "none", "none"), ("none", "gelu", "pre"),
    ]  # fmt: skip
    widths = model("macaron", mlp=[{"kind": "gelu", "width": width} for width in (1, 2, 3, 4, 5, 6)])
    assert [widths.at(block).mlp.hidden(widths) for block in range(6)] == [1, 2, 3, 4, 5, 6]  # type: ignore[attr-defined]


def test_a_blocks_own_model_is_one_of_whole_blocks() -> None:
    for order in ("shared-mlp", "shared-attention", "macaron"):
        config = model_with("order", order)
        for block in range(config.num_blocks):
            own = config.at(block)
            assert not own.has_lists and own.at(block) == own and own.block_order == config.block_order


@pytest.mark.parametrize(
    ("preset", "settings", "said"),
    [
        ("mnist", ["model.order=shared-mlp", "model.mlp=none"], "'shared-mlp' needs an MLP, and model.mlp is 'none'"),
        (
            "mnist",
            ["model.order=shared-attention", "model.similarity=none", "model.value=none"],
            "'shared-attention' needs attention, and model.similarity is 'none'; accepted: separate",
        ),
        (
            "mnist",
            ["model.order=macaron", "model.mlp=depthwise"],
            "'macaron' halves a hidden layer, and mlp 'depthwise'",
        ),
        ("mnist", ["model.order=shared-mlp", "model.norm={kind: pre, per_run: true}"], "all as often"),
        (
            "mnist",
            ["model.order=shared-mlp", "model.linear=lora"],
            "model.linear 'lora' does not go with model.order 'shared-mlp'",
        ),
        ("mnist", ["model.order=shared-mlp", "model.mlp=[gelu, relu]"], "model.mlp lists 2 parts, and 7 blocks have"),
        (
            "mnist",
            ["model.order=macaron", "model.value=stack-collapsed", "model.heads=1"],
            "model.value 'stack-collapsed' does not go with model.order 'macaron'",
        ),
        ("transformer-base", ["model.order=macaron", "model.decoder_depth=3"], "model.decoder_depth 3 must be 6"),
    ],
)
def test_what_does_not_go_together_is_refused_in_a_line(preset: str, settings: list[str], said: str) -> None:
    with pytest.raises(InputError) as refused:
        resolve(preset, "baseline", settings)
    assert said in str(refused.value) and "\n" not in str(refused.value)
