"""An exported model takes any number of examples of any length: no part turns a size of the batch into a constant."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from minform_cli.config.schema import ModelConfig
from minform_cli.config.tensor_chain import PLANS, Plan
from minform_cli.models.parts.linear import TensorChain
from tests.models.test_identities import EXACT
from tests.zoo import ALL_PARTS, SIZES, build, covering, examples

MODELS = covering(depth=1)
CHAINS = {"kind": "tensor-chain", "length": 3, "qkv": 0.5, "output": 0.5, "mlp": 0.5}


def inputs_of(model: ModelConfig, batch: int) -> tuple[Tensor, ...]:
    """Whatever the model takes, filled up behind different places."""
    first, *others = examples(model, batch, seed=batch)
    if first.is_floating_point():
        return (first,)
    real = torch.arange(first.shape[1]) < (torch.arange(batch) % 3 + 2).unsqueeze(1)
    return (first, *(others or [torch.zeros_like(first)]), real)


def check_any_size(module: nn.Module, model: ModelConfig) -> None:
    """That `module`, exported at three examples, gives the same for one and for five, and for shorter text."""
    given = inputs_of(model, 3)
    size, length, of_target = (torch.export.Dim(name, min=1, max=5) for name in ("batch", "length", "of_target"))
    shapes = [{0: size} if inputs.is_floating_point() else {0: size, 1: length} for inputs in given]
    if model.decoder_depth:
        shapes[1] = {0: size, 1: of_target}
    exported = torch.export.export(module, given, dynamic_shapes=tuple(shapes)).module()
    for batch, cut in ((1, 5), (5, 3)):
        inputs = [each if each.is_floating_point() else each[:, :cut] for each in inputs_of(model, batch)]
        torch.testing.assert_close(exported(*inputs), module(*inputs), **EXACT)


def test_every_part_is_in_a_model_that_is_exported() -> None:
    found = {(axis, part.kind) for model in MODELS for axis, part in model.parts().items()}
    assert found == set(ALL_PARTS)
    assert any(model.decoder_depth for model in MODELS)


@pytest.mark.parametrize("number", range(len(MODELS)))
def test_an_exported_model_takes_any_number_of_examples_of_any_length(number: int) -> None:
    check_any_size(build(MODELS[number]), MODELS[number])


@pytest.mark.parametrize("plan", PLANS)
def test_an_exported_chain_takes_any_number_of_examples_of_any_length(plan: Plan) -> None:
    model = ModelConfig.model_validate(SIZES | {"depth": 1, "linear": CHAINS})
    module = build(model)
    for part in module.modules():
        if isinstance(part, TensorChain):
            part.plan = plan
    check_any_size(module, model)
