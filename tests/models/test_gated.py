"""Gated MLPs: the formula at any width, their numbers, and GEGLU out of an MLP with GELU."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from minform_cli.config.presets import resolve
from minform_cli.config.schema import ModelConfig
from minform_cli.counting.count import count_config
from minform_cli.data.spec import spec_for
from minform_cli.errors import InputError
from minform_cli.models.parts.mlp import MLPS
from minform_cli.models.verify import verify
from tests.models.test_cross_attention import asked
from tests.models.test_identities import EXACT, randomise
from tests.zoo import SIZES, run_config, spec_of


def model(kind: str, width: int | None = None, **settings: object) -> ModelConfig:
    return ModelConfig.model_validate(SIZES | {"mlp": {"kind": kind, "width": width}} | settings)


def mlp(kind: str, width: int | None = None, **settings: object) -> nn.Module:
    return randomise(MLPS.get(kind)(model(kind, width, **settings)))


@pytest.mark.parametrize("width", [None, 1, 50])
@pytest.mark.parametrize(("kind", "activation"), [("swiglu", F.silu), ("geglu", F.gelu)])
def test_it_is_what_the_formula_says_at_any_width(kind: str, activation: object, width: int | None) -> None:
    part = mlp(kind, width)
    gate, let_through = F.linear(asked(), part.w_1.weight, part.w_1.bias), part.w_3(asked())
    assert gate.shape[-1] == (2 * 24 // 3 if width is None else width)
    torch.testing.assert_close(part(asked()), part.w_2(activation(gate) * let_through), **EXACT)  # type: ignore[operator]


@pytest.mark.parametrize("width", [1, 50])
@pytest.mark.parametrize("bias", ["all", "none"])
def test_numbers_are_three_maps(width: int, bias: str) -> None:
    asked_for = model("geglu", width, bias=bias)
    counted = count_config(run_config(asked_for), spec_of(asked_for))["groups"]["mlp"]
    assert counted == 3 * (3 * 12 * width + (2 * width + 12 if bias == "all" else 0))
    verify(run_config(asked_for), spec_of(asked_for))


def test_the_shipped_variant_has_as_many_numbers_as_the_other_gated_one() -> None:
    one, other = (resolve("mnist", name).config for name in ("geglu", "swiglu"))
    assert count_config(one, spec_for(one))["groups"] == count_config(other, spec_for(other))["groups"]


def test_a_gate_that_lets_one_through_is_an_mlp_with_gelu() -> None:
    whole, wider, narrower = mlp("gelu", 10), mlp("geglu", 13), mlp("geglu", 6)
    wider.from_separate(whole)
    torch.testing.assert_close(wider(asked()), whole(asked()), **EXACT)
    silent = torch.arange(10) % 5 < 2
    with torch.no_grad():
        whole.w_2.weight[:, silent] = 0
    narrower.from_separate(whole)
    torch.testing.assert_close(narrower(asked()), whole(asked()), **EXACT)
    again = mlp("geglu", 6)
    again.from_separate(narrower)
    torch.testing.assert_close(again(asked()), narrower(asked()), **EXACT)


@pytest.mark.parametrize(("source", "bias"), [("gelu", "none"), ("relu", "all"), ("swiglu", "all")])
def test_without_a_bias_or_of_another_activation_there_are_no_weights(source: str, bias: str) -> None:
    with pytest.raises(InputError, match=r"^GeGlu has no weights from \w+: it is of another kind or size$"):
        mlp("geglu", bias=bias).from_separate(mlp(source, bias=bias))
