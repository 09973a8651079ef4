"""Weights that a model keeps elsewhere than in its parameters are counted as what they stand for, or named."""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from minform_cli.foreign.model import count_model

WIDTH, HIDDEN, CLASSES = 16, 24, 5


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.attn = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.fc1, self.fc2 = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)


class Model(nn.Module):
    """An embedding, two blocks and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.head = nn.Linear(WIDTH, CLASSES)


class Packed(nn.Module):
    """Four bits a weight in integers, as GPTQ and AWQ keep them."""

    def __init__(self, dim_in: int, dim_out: int, *, told: bool = True) -> None:
        super().__init__()
        if told:
            self.in_features, self.out_features = dim_in, dim_out
        self.register_buffer("qweight", torch.zeros(dim_in // 8, dim_out, dtype=torch.int32))
        self.register_buffer("qzeros", torch.zeros(1, dim_out // 8, dtype=torch.int32))
        self.register_buffer("scales", torch.zeros(1, dim_out, dtype=torch.float16))
        self.register_buffer("bias", torch.zeros(dim_out))


class Four(nn.Linear):
    """Two weights a byte in a parameter of its own kind, as bitsandbytes keeps them."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__(dim_in, dim_out)
        packed = torch.zeros(dim_in * dim_out // 2, 1, dtype=torch.uint8)
        self.weight = nn.Parameter(packed, requires_grad=False)


class Buffers(nn.Module):
    """Frozen in a buffer."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.in_features, self.out_features = dim_in, dim_out
        self.register_buffer("weight", torch.zeros(dim_out, dim_in))
        self.bias = nn.Parameter(torch.zeros(dim_out))


class Product(nn.Module):
    """A map of low rank: smaller, and no packed one."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.in_features, self.out_features = dim_in, dim_out
        self.down, self.up = nn.Parameter(torch.zeros(dim_in, 2)), nn.Parameter(torch.zeros(2, dim_out))
        self.register_buffer("order", torch.arange(dim_in * dim_out))


def counted(monkeypatch: pytest.MonkeyPatch, build: Callable[[], nn.Module]) -> dict[str, object]:
    module = types.ModuleType("packed_models")
    module.build = build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "packed_models", module)
    return dict(count_model("python:packed_models:build"))


def with_maps(make: Callable[[int, int], nn.Module]) -> Callable[[], nn.Module]:
    """`Model` whose MLPs and head are made by `make`."""

    def build() -> nn.Module:
        model = Model()
        for block in model.blocks:
            block.fc1, block.fc2 = make(WIDTH, HIDDEN), make(HIDDEN, WIDTH)
        model.head = make(WIDTH, CLASSES)
        return model

    return build


def quantized() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(Model())


def halved() -> nn.Module:
    """Which torch does on the CPU alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(Model(), {nn.Linear}, dtype=torch.float16)


@pytest.mark.parametrize(
    "build",
    [quantized, halved, *(with_maps(make) for make in (Packed, Four, Buffers))],
    ids=["torch.ao", "float16", "integers", "bytes", "buffers"],
)
def test_quantised_weights_count_as_what_they_stand_for(
    build: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, found = counted(monkeypatch, Model), counted(monkeypatch, build)
    assert found["parameters"] == plain["parameters"] == sum(p.numel() for p in Model().parameters())
    assert found["groups"] == plain["groups"]
    reductions = [[{**row, "shared": None} for row in each["reductions"]] for each in (found, plain)]  # type: ignore[attr-defined]
    assert reductions[0] == reductions[1]
    (note,) = [note for note in found["notes"] if "quantised" in note]  # type: ignore[attr-defined]
    assert "counted as the" in note
    assert "blocks.0.fc1" in note


def test_packed_weights_of_unknown_sizes_are_named_and_shares_are_said_to_be_meaningless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = counted(monkeypatch, with_maps(lambda a, b: Packed(a, b, told=False)))
    (note,) = [note for note in found["notes"] if "NOT COUNTED" in note]  # type: ignore[attr-defined]
    assert "shares are meaningless" in note
    assert "blocks.0.fc1, blocks.0.fc2, blocks.1.fc1, blocks.1.fc2 and 1 more" in note


def test_what_torch_does_not_know_as_a_part_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> nn.Module:
        model = Model()
        model.more = [nn.Linear(3, 3)]  # type: ignore[assignment]
        model.tied = [model.head]  # type: ignore[assignment]
        model.blocks[0].free = (torch.zeros(3, requires_grad=True),)  # type: ignore[assignment]
        return model

    (note,) = [note for note in counted(monkeypatch, build)["notes"] if "NOT COUNTED" in note]  # type: ignore[attr-defined]
    assert note.endswith("plain lists: more, blocks.0.free")


def test_what_is_wrapped_factored_or_only_constant_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrapped() -> nn.Module:
        model = Model()
        parametrizations.weight_norm(model.head)
        prune.l1_unstructured(model.blocks[0].fc1, "weight", 0.5)
        model.register_buffer("positions", torch.zeros(1, 50, WIDTH))
        model.register_buffer("relative_position_index", torch.zeros(50, 50, dtype=torch.int64))
        return model

    found = counted(monkeypatch, wrapped)
    assert found["parameters"] == sum(p.numel() for p in wrapped().parameters())
    assert any("pruned by masks, what they hide counted too: blocks.0.fc1" in note for note in found["notes"])  # type: ignore[attr-defined]
    products = with_maps(Product)
    for build in (wrapped, products, Model):
        each = counted(monkeypatch, build)
        assert each["parameters"] == sum(p.numel() for p in build().parameters())
        assert not any("NOT COUNTED" in note or "quantised" in note for note in each["notes"])  # type: ignore[attr-defined]


def test_complex_numbers_are_said_to_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> nn.Module:
        model = Model()
        model.filter = nn.Parameter(torch.zeros(3, 4, dtype=torch.complex64))
        return model

    found = counted(monkeypatch, build)
    assert any("complex, each number counted once and worth two: filter" in note for note in found["notes"])  # type: ignore[attr-defined]
