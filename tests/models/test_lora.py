"""One matrix and an addition for every depth: algebra, numbers, weights out of other blocks, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from minform_cli.config import legality
from minform_cli.config.presets import resolve
from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from minform_cli.models.parts.linear import AdaptedMap, read_map
from tests.models.test_identities import randomise
from tests.zoo import SIZES, build, examples, model_with

SHARED = {"order": "shared", "linear": {"kind": "lora", "rank": 2}}


def model(**settings: Any) -> ModelConfig:
    return ModelConfig.model_validate(SIZES | {"norm": "pre", "bias": "all"} | settings)


def maps_of(module: nn.Module) -> dict[str, AdaptedMap]:
    return {name: part for name, part in module.named_modules() if isinstance(part, AdaptedMap)}


@pytest.mark.parametrize("order", ["shared", [0, 1, 0, 1]])
def test_it_is_the_deep_model_whose_maps_are_the_sums(order: Any) -> None:
    depth = 4
    shared = randomise(build(model(order=order, depth=depth, linear=SHARED["linear"])))
    deep = build(model(depth=depth))
    theirs, own = dict(deep.named_parameters()), dict(shared.named_parameters())
    runs: dict[int, int] = {}
    for at, block in enumerate(shared.order):
        run = runs[block] = runs.get(block, -1) + 1
        for name, parameter in theirs.items():
            if not name.startswith(f"blocks.{at}."):
                continue
            inner = name.removeprefix(f"blocks.{at}.")
            parameter.data = own[f"blocks.{block}.{inner}"].data.clone()
            stem = f"blocks.{block}.{inner.removesuffix('.weight')}"
            if f"{stem}.a" in own:
                parameter.data += own[f"{stem}.b"][run] @ own[f"{stem}.a"][run]
    for name, parameter in theirs.items():
        if not name.startswith("blocks."):
            parameter.data = own[name].data.clone()
    inputs = [each.double() if each.is_floating_point() else each for each in examples(model(), 3)]
    with torch.no_grad():
        for _ in range(2):  # which run it is does not stay from one batch to the next
            assert torch.allclose(shared(*inputs), deep(*inputs), atol=1e-12)


def test_its_numbers_are_those_of_the_matrix_and_of_two_factors_a_run() -> None:
    settings = ["model.depth=6", "model.order=shared", "model.linear={kind: lora, rank: 3, output: false}"]
    from minform_cli.counting.count import count_config
    from tests.zoo import SPEC

    config = resolve("mnist", settings=settings).config
    found = count_config(config, SPEC)["groups"]
    plain = count_config(resolve("mnist", settings=settings[:2]).config, SPEC)["groups"]
    dim, hidden = config.model.dim, config.model.mlp_dim
    assert found["query_key"] - plain["query_key"] == 2 * 6 * 3 * 2 * dim
    assert found["value_output"] - plain["value_output"] == 6 * 3 * 2 * dim
    assert found["mlp"] - plain["mlp"] == 2 * 6 * 3 * (dim + hidden)


def test_of_blocks_that_differ_by_the_rank_nothing_is_lost_and_of_others_less_than_without() -> None:
    source = randomise(build(model(depth=3)))
    first = dict(source.named_parameters())
    for name, parameter in source.named_parameters():
        number = name.split(".")[1]
        if name.startswith("blocks.") and ("norm" in name or "bias" in name):
            parameter.data = first[name.replace(f"blocks.{number}.", "blocks.0.")].data.clone()
        if name.endswith(("w_q.bias", "w_k.bias", "w_v.bias")):
            parameter.data.zero_()  # heads are turned to the first block's, biases with them, and those are shared
    inputs = [each.double() if each.is_floating_point() else each for each in examples(model(), 4)]
    with torch.no_grad():
        wanted = source(*inputs)
        far: dict[str, float] = {}
        for rank in ("none", "1", "3", "12"):
            linear: Any = "dense" if rank == "none" else {"kind": "lora", "rank": int(rank)}
            made = build(model(order="shared", linear=linear))
            made.from_separate(source)
            far[rank] = sum(
                float((read_map(part).weight - wanted_map).square().sum()) for part, wanted_map in _turned(made, source)
            )
            if rank == "12":
                assert torch.allclose(made(*inputs), wanted, atol=1e-9)
    assert far["12"] < 1e-18
    assert far["12"] < far["3"] < far["1"] < far["none"]


def _turned(made: nn.Module, source: nn.Module) -> Any:
    """Maps of the MLP of each run beside those of the block there: what heads leave open does not touch them."""
    from minform_cli.models.parts.base import choose_run

    shared: Any = made
    for run, block in enumerate(source.blocks):  # type: ignore[arg-type, union-attr]
        choose_run(shared.blocks[0], run)
        for name in ("w_1", "w_2"):
            yield getattr(shared.blocks[0].mlp, name), read_map(getattr(block.mlp, name)).weight


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"order": "sequential"}, "model.linear 'lora' does not go with model.order"),
        ({"order": [0, 1, 0]}, "blocks that run several times, all as often, and the order is 0, 1, 0"),
        ({"depth": 1}, "blocks that run several times"),
        ({"decoder_depth": 3, "embedding": "tokens", "readout": "tokens"}, "is not for encoder-decoders"),
        ({"linear": {"kind": "lora", "qkv": False, "output": False, "mlp": False}}, "is for no role"),
    ],
)
def test_where_nothing_runs_several_times_it_is_refused(settings: dict[str, Any], told: str) -> None:
    found = legality.problems(model(**SHARED | settings))
    assert any(told in text for text in found), found


@pytest.mark.parametrize("rank", ["0", "1.5", "null", "-1", "true", "x"])
def test_a_rank_that_is_none_is_refused(rank: str) -> None:
    with pytest.raises(InputError, match="rank"):
        resolve("digits", settings=["model.order=shared", f"model.linear={{kind: lora, rank: {rank}}}"])


def test_the_rank_may_be_a_share_of_the_matrix() -> None:
    part = model_with("linear", "lora", linear={"kind": "lora", "rank": 0.5}, dim=12)
    (first, *_) = maps_of(build(part)).values()
    assert first.a.shape == (part.depth, 3, 12)
