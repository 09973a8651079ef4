"""What nobody reads the last block does not compute; what is read is the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from minform_cli.models.parts import products
from minform_cli.models.stack import Encoder
from tests.zoo import ALL_PARTS, build, examples, model_with


def outputs_and_gradients(module: torch.nn.Module, inputs: tuple[Any, ...]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    module.zero_grad()
    outputs = module(*inputs)
    outputs.square().sum().backward()
    return outputs, [p.grad.clone() for p in module.parameters() if p.grad is not None]


@pytest.mark.parametrize(("axis", "kind"), ALL_PARTS)
def test_the_last_block_gives_what_is_read_as_if_it_gave_everything(axis: str, kind: str) -> None:
    model = model_with(axis, kind)
    module, inputs = (
        build(model).double(),
        tuple(x.double() if x is not None and x.is_floating_point() else x for x in examples(model, 3, seed=1)),
    )
    short, of_short = outputs_and_gradients(module, inputs)
    handles = [block.register_forward_hook(lambda *_: None) for block in module.blocks]
    whole, of_whole = outputs_and_gradients(module, inputs)
    for handle in handles:
        handle.remove()
    assert torch.allclose(short, whole, rtol=1e-10, atol=1e-12)
    for ours, theirs in zip(of_short, of_whole, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-11)


def test_a_model_that_reads_its_class_token_alone_computes_less(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_with("readout", "class-token")
    module, inputs = build(model), examples(model, 3, seed=1)
    seen: list[int] = []
    assert isinstance(module, Encoder)
    norm = module.final_norm
    assert norm is not None
    forward = norm.forward

    def spy(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.shape[1])
        return forward(x)

    monkeypatch.setattr(norm, "forward", spy)
    module(*inputs)
    module.blocks[-1].register_forward_hook(lambda *_: None)
    module(*inputs)
    assert seen[0] == 1 < seen[1]


@pytest.mark.parametrize("where", ["readout", "final_norm"])
def test_who_listens_behind_the_last_block_sees_all_tokens(where: str) -> None:
    model = model_with("readout", "class-token")
    module, inputs = build(model), examples(model, 3, seed=1)
    alone = module(*inputs)
    seen: list[int] = []
    module.get_submodule(where).register_forward_pre_hook(lambda _module, given: seen.append(given[0].shape[1]))
    assert torch.allclose(module(*inputs), alone, rtol=1e-4, atol=1e-5)
    assert seen[0] > 1


@pytest.mark.parametrize("size", [1.0, 100.0])
@pytest.mark.parametrize("shared", ["nothing", "keys", "all"])
def test_products_are_the_attention_that_torch_computes(size: float, shared: str) -> None:
    torch.manual_seed(0)
    q = (size * torch.randn(3, 7, 2, 5, dtype=torch.float64)).requires_grad_()
    k, v = (torch.randn(3, 7, 2, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    given = [x.transpose(1, 2) for x in (q, k, v)]
    if shared != "nothing":
        given[1] = given[0]
    if shared == "all":
        given[2] = given[0]
    ours = products.attend(*given, 0.5)
    theirs = F.scaled_dot_product_attention(*given, scale=0.5)
    assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-12)
    weight = torch.randn_like(ours)
    wanted = [q] if shared == "all" else [q, v] if shared == "keys" else [q, k, v]
    for one, other in zip(
        torch.autograd.grad((ours * weight).sum(), wanted), torch.autograd.grad((theirs * weight).sum(), wanted),
        strict=True,
    ):  # fmt: skip
        assert torch.allclose(one, other, rtol=1e-8, atol=1e-10)


def test_products_hold_what_is_no_number() -> None:
    q = torch.full((1, 1, 2, 3), float("nan"))
    assert products.attend(q, q, q, 1.0).isnan().all()


def test_models_of_products_agree_with_the_fused_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_with("similarity", "separate")
    module, inputs = build(model), examples(model, 3, seed=1)
    found = []
    for preferred in (True, False):
        monkeypatch.setattr(products, "preferred", lambda preferred=preferred: preferred)
        found.append(outputs_and_gradients(module, inputs))
    (ours, of_ours), (theirs, of_theirs) = found
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in zip(of_ours, of_theirs, strict=True))
