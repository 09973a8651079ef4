"""Convolutional tokenizer, depthwise sublayer and norms of every run: the formulas, their counts, what they go with."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from minform_cli.config import legality
from minform_cli.config.axes import AXES
from minform_cli.config.presets import resolve
from minform_cli.config.schema import ModelConfig
from minform_cli.counting.count import count_config
from minform_cli.data.spec import spec_for
from minform_cli.errors import IllegalModelError, InputError
from minform_cli.models.parts.base import choose_run
from minform_cli.models.parts.mlp import DepthwiseMlp, MixFfnMlp
from minform_cli.models.parts.norm import RunNorm
from minform_cli.training.optim import decays
from tests.zoo import SIZES, SPEC, build, examples, filled, images

FRONTIER = 13_858
"""4,008 of tokenizer and positions, 7,008 of attention, 480 of the convolution, 1,824 of norms and scales, 538 last."""


def model(**parts: object) -> ModelConfig:
    parsed = {axis: AXES[axis].parse(part) if axis in AXES else part for axis, part in parts.items()}
    return ModelConfig.model_validate(SIZES | {"readout": "mean"} | parsed)


def test_dense_convolutions_are_those_of_the_compact_transformer() -> None:
    part = {"kind": "convolutions", "widths": [7], "pool": True, "activation": "relu"}
    embedding = filled(build(model(embedding=part, bias="none", position="none"))).embedding
    first, second = (convolution.weight for convolution in embedding.convolutions)
    assert (first.shape, second.shape) == ((7, 2, 3, 3), (12, 7, 3, 3))
    expected = images()
    for weight in (first, second):
        expected = F.max_pool2d(F.relu(F.conv2d(expected, weight, padding=1)), 3, stride=2, padding=1)
    torch.testing.assert_close(embedding(images()), expected.flatten(2).mT)


def test_separable_ones_are_a_depthwise_convolution_and_a_map_of_channels() -> None:
    embedding = filled(build(model(embedding={"kind": "convolutions", "separable": True}, position="none"))).embedding
    first, depthwise, mixing = embedding.convolutions
    assert depthwise.bias is None
    x = F.gelu(F.conv2d(images(), first.weight, first.bias, stride=2, padding=1))
    apart = [F.conv2d(x[:, [c]], depthwise.weight[[c]], stride=2, padding=1) for c in range(6)]
    x = F.gelu(
        torch.einsum("bcyx,nc->bnyx", torch.cat(apart, 1), mixing.weight[:, :, 0, 0]) + mixing.bias[:, None, None]
    )
    torch.testing.assert_close(embedding(images()), x.flatten(2).mT)


@pytest.mark.parametrize(
    ("size", "widths", "grid"),
    [((28, 28), None, (7, 7)), ((8, 13), None, (2, 4)), ((9, 5), [4, 4], (2, 1)), ((3, 3), [], (2, 2))],
)
@pytest.mark.parametrize("pool", [True, False])
def test_images_of_any_size_fit(
    size: tuple[int, int], widths: list[int] | None, grid: tuple[int, int], pool: bool
) -> None:

    spec = replace(SPEC, height=size[0], width=size[1])
    made = build(model(embedding={"kind": "convolutions", "widths": widths, "pool": pool}), spec=spec)
    assert made.embedding.grid == grid
    assert made.embedding(images(spec=spec)).shape == (3, math.prod(grid), 12)


def test_the_depthwise_sublayer_mixes_neighbours_channel_by_channel() -> None:
    module = filled(build(model(mlp="depthwise", patch_size=2)))
    part = module.blocks[0].mlp
    assert isinstance(part, DepthwiseMlp) and part.grid == (4, 4)
    x = torch.randn(2, 16, 12, dtype=torch.float64)
    weight, bias, padded = (
        part.convolution.weight,
        part.convolution.bias,
        F.pad(x.view(2, 4, 4, 12), (0, 0, 1, 1, 1, 1)),
    )
    expected = bias + sum(padded[:, i : i + 4, j : j + 4] * weight[:, 0, i, j] for i in range(3) for j in range(3))
    torch.testing.assert_close(part(x), F.gelu(expected).view(2, 16, 12))


def test_mix_ffn_mixes_neighbours_between_its_maps() -> None:
    """Equation 3 of SegFormer, term by term; its counts; and the MLP with GELU, which it is without neighbours."""
    mixed = model(mlp={"kind": "mix-ffn", "width": 5, "kernel": 5}, patch_size=2)
    part = filled(build(mixed)).blocks[0].mlp
    assert isinstance(part, MixFfnMlp) and part.grid == (4, 4)
    assert [name for name, _ in part.named_children()] == ["w_1", "convolution", "w_2"]
    assert sum(parameter.numel() for parameter in part.parameters()) == 2 * 12 * 5 + 25 * 5 + 5 + 5 + 12
    x = torch.randn(2, 16, 12, dtype=torch.float64)
    hidden = x @ part.w_1.weight.T + part.w_1.bias
    padded = F.pad(hidden.view(2, 4, 4, 5), (0, 0, 2, 2, 2, 2))
    weight, bias = part.convolution.weight, part.convolution.bias
    summed = bias + sum(padded[:, i : i + 4, j : j + 4] * weight[:, 0, i, j] for i in range(5) for j in range(5))
    torch.testing.assert_close(part(x), F.gelu(summed).view(2, 16, 5) @ part.w_2.weight.T + part.w_2.bias)


@pytest.mark.parametrize("bias", ["live", "none"])
def test_mix_ffn_comes_out_of_the_mlp_exactly(bias: str) -> None:
    source = filled(build(model(mlp="gelu", bias=bias)))
    made = build(model(mlp={"kind": "mix-ffn", "width": 30}, bias=bias), seed=5)
    made.from_separate(source)
    torch.testing.assert_close(made(images()), source(images()))
    with pytest.raises(InputError, match="MixFfnMlp has no weights from ReluMlp"):
        made.from_separate(build(model(mlp="relu", bias=bias)))


def test_every_run_has_a_norm_of_its_own() -> None:
    shared = model(norm={"kind": "pre", "per_run": True}, order="shared")
    module, inputs = filled(build(shared)), examples(shared)
    (block,) = module.blocks
    norm = block.attention_norm
    assert isinstance(norm, RunNorm) and norm.gain.shape == norm.bias.shape == (3, 12)
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    for run in range(3):
        choose_run(block, run)
        torch.testing.assert_close(norm(x), F.layer_norm(x, (12,), norm.gain[run], norm.bias[run]))
    module(*inputs).square().sum().backward()
    for part in (norm.gain, norm.bias):
        assert part.grad is not None and len({tuple(row.tolist()) for row in part.grad}) == 3
    assert not any(decays(name, p) for name, p in block.named_parameters() if name.endswith(("norm.gain", "norm.bias")))


@pytest.mark.parametrize("order", ["sequential", "shared"])
def test_norms_of_every_run_come_out_of_one_exactly(order: str) -> None:
    source = filled(build(model(order=order)))
    made = build(model(norm={"kind": "pre", "per_run": True}, order=order), seed=5)
    made.from_separate(source)
    torch.testing.assert_close(made(images()), source(images()))


def test_the_frontier_has_the_numbers_of_its_parts() -> None:
    config = resolve("mnist", "frontier").config
    count = count_config(config, spec_for(config))
    stem = (9 + 1) * 24 + 9 * 24 + (24 + 1) * 48
    attention = (48 + 1) * 48 + 48 * 48 + (48 + 1) * 48
    runs = 6 * 2 * (2 * 48 + 48)
    last = 2 * 48 + 48 + (48 + 1) * 10
    assert count["parameters"] == stem + 49 * 48 + attention + (9 + 1) * 48 + runs + last == FRONTIER


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["model.mlp=depthwise"], "does not go with model.readout 'class-token'"),
        (["model.mlp={kind: depthwise, kernel: 2}", "model.readout=mean"], "has kernel 2; accepted: an odd number"),
        (["model.mlp=depthwise", "model.readout=mean", "model.mask=causal"], "does not go with model.mask 'causal'"),
        (["model.mlp={kind: mix-ffn, kernel: 4}", "model.readout=mean"], "'mix-ffn' has kernel 4; accepted: an odd"),
        (["model.mlp=mix-ffn", "model.readout=class-token"], "does not go with model.readout 'class-token'"),
        (["model.embedding={kind: convolutions, kernel: 4}"], "has kernel 4; accepted: an odd number"),
        (["model.embedding={kind: convolutions, widths: [8, 0]}"], "has a width of 0; accepted: 1 or more"),
        (["model.norm={kind: pre, per_run: true}", "model.order=[0,0,0,0,0,1]"], "run all as often"),
        (["model.norm={kind: pre, per_run: true, affine: false}"], "has no gain and bias to be of every run"),
        (["model.norm={kind: pre, per_run: true, centred: true}"], "norms of every run are none of centred tokens"),
        (["model.norm={kind: pre, centred: true}", "model.embedding=convolutions"], "an activation stands behind"),
    ],
)
def test_what_does_not_go_together_is_refused_in_a_line(settings: list[str], said: str) -> None:
    with pytest.raises(IllegalModelError, match=said.replace("[", r"\[")) as refused:
        resolve("mnist", "baseline", settings)
    assert "\n" not in str(refused.value)


def test_texts_have_no_grid() -> None:
    for settings in (["model.mlp=depthwise"], ["model.embedding=convolutions"]):
        with pytest.raises(InputError, match="embedding"):
            config = resolve("bert-tiny", "baseline", settings).config
            legality.check_embedding(config.model, "text", "texts")
