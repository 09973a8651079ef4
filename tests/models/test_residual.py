"""Scales of what sublayers give: the formula, one for every run, their counts, and where they come from."""

import pytest
import torch
import torch.nn.functional as F

from minform_cli.config import legality
from minform_cli.config.axes import AXES
from minform_cli.config.presets import resolve
from minform_cli.config.schema import ModelConfig
from minform_cli.counting.count import count_config
from minform_cli.data.spec import spec_for
from minform_cli.errors import InputError
from minform_cli.models.block import Block
from minform_cli.models.parts.base import choose_run
from minform_cli.models.parts.residual import ResidualScale
from minform_cli.training.optim import decays, orthogonalised
from tests.zoo import SIZES, build, examples


def model(residual: object, order: object = "sequential", **more: object) -> ModelConfig:
    parts = {"residual": AXES["residual"].parse(residual), "order": order}
    return ModelConfig.model_validate(SIZES | parts | more)


def scales(module: torch.nn.Module) -> dict[str, ResidualScale]:
    return {name: part for name, part in module.named_modules() if isinstance(part, ResidualScale)}


@pytest.mark.parametrize("norm", ["pre", "post", "none"])
def test_it_is_what_the_formula_says_in_every_run(norm: str) -> None:
    module = build(model("scaled", "shared", norm=norm))
    for scale in scales(module).values():
        torch.nn.init.normal_(scale.gain)
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    (block,) = module.blocks
    assert isinstance(block, Block)
    for run in range(3):
        choose_run(block, run)
        expected = x
        for sublayer, its_norm, scale in (
            (block.attention, block.attention_norm, block.attention_scale),
            (block.mlp, block.mlp_norm, block.mlp_scale),
        ):
            normed = expected if norm != "pre" else F.layer_norm(expected, (12,), its_norm.weight, its_norm.bias)
            expected = expected + scale.gain[run] * sublayer(normed)
            expected = expected if norm != "post" else F.layer_norm(expected, (12,), its_norm.weight, its_norm.bias)
        torch.testing.assert_close(block(x), expected)


def test_every_run_learns_a_scale_of_its_own() -> None:
    module, inputs = build(model("scaled", "shared")), examples(model("scaled", "shared"))
    module(*inputs).square().sum().backward()
    for name, scale in scales(module).items():
        assert scale.gain.shape == (3, 12)
        rows = scale.gain.grad
        assert rows is not None and (rows.abs().sum(1) > 0).all(), name
        assert len({tuple(row.tolist()) for row in rows}) == 3


@pytest.mark.parametrize(("order", "runs"), [("sequential", 3), ("shared", 3)])
def test_there_are_n_numbers_a_sublayer_and_run(order: str, runs: int) -> None:
    with_, without = (sum(p.numel() for p in build(model(each, order)).parameters()) for each in ("scaled", "on"))
    assert with_ - without == 2 * runs * 12


def test_the_shipped_variant_counts_them_among_the_norms() -> None:
    config, plain = (resolve("mnist", name).config for name in ("shared-depth-scaled", "shared-depth"))
    scaled, shared = (count_config(each, spec_for(each)) for each in (config, plain))
    assert scaled["parameters"] - shared["parameters"] == 2 * 6 * 64
    assert scaled["groups"]["norm"] - shared["groups"]["norm"] == 2 * 6 * 64


@pytest.mark.parametrize("order", ["sequential", "shared"])
def test_of_a_model_without_scales_it_is_exact(order: str) -> None:
    source, made = build(model("on", order)), build(model({"kind": "scaled", "initial": 0.1}, order), seed=5)
    made.from_separate(source)
    inputs = examples(model("on"))
    torch.testing.assert_close(made(*inputs), source(*inputs))


def test_of_equal_blocks_that_become_one_every_run_has_their_scale() -> None:
    source, made = build(model("scaled")), build(model("scaled", "shared"))
    state = source.blocks[0].state_dict()
    for part in source.blocks:
        part.load_state_dict(state)
        for scale in scales(part).values():
            torch.nn.init.constant_(scale.gain, 0.3)
    made.from_separate(source)
    inputs = examples(model("on"))
    torch.testing.assert_close(made(*inputs), source(*inputs))


def test_they_begin_as_told_never_decay_and_are_not_orthogonalised() -> None:
    module = build(model({"kind": "scaled", "initial": 0.5}, "shared"))
    found = {name: p for name, p in module.named_parameters() if name.endswith(".gain")}
    assert set(found) == {"blocks.0.attention_scale.gain", "blocks.0.mlp_scale.gain"}
    for name, parameter in found.items():
        assert (parameter == 0.5).all()
        assert not decays(name, parameter) and not orthogonalised(name, parameter)


def test_where_they_cannot_be_it_says_so() -> None:
    (problem,) = legality.problems(model("scaled", [0, 0, 1]))
    assert problem.startswith("model.residual 'scaled' is for blocks that run all as often, and the order is 0, 0, 1;")
    (problem,) = legality.problems(model("scaled", decoder_depth=3, readout="tokens", embedding="tokens"))
    assert problem == "model.residual 'scaled' is not for encoder-decoders; accepted: on, off"
    centred = {"kind": "pre", "centred": True}
    (problem,) = legality.problems(model("scaled", norm=AXES["norm"].parse(centred)))
    assert "residual 'scaled' scales one column more than another" in problem
    for wrong in ("0", "-1", "x"):
        with pytest.raises(InputError, match=r"model\.residual"):
            resolve("debug", "baseline", [f"model.residual={{kind: scaled, initial: {wrong}}}"])
