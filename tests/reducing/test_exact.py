"""Exact reductions: outputs stay, what is said to go is gone, and nothing is left to go."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minform_cli.api.counts import counted_configs
from minform_cli.config import legality
from minform_cli.config.axes import AXES, PerBlock
from minform_cli.config.presets import preset_names
from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.counting.exact import exact_plan
from minform_cli.data.spec import DataSpec, ImageSpec
from minform_cli.models.build import build_model
from minform_cli.models.verify import verify
from minform_cli.reducing.exact import Exact, apply_exact, exact_reductions
from tests.models.test_identities import randomise
from tests.zoo import SIZES, examples, run_config, spec_of

TOLERANCE = 1e-10
"""Of the outputs' scale in float64: rounding of products of a few dozen numbers, pivots of a condition up to 1e4."""
SMALL = ["model.dim=12", "model.depth=2", "model.heads=2", "model.dropout=0"]
TEXT = {"embedding": {"kind": "tokens", "tied": False, "types": 2}, "readout": "tokens", "mask": "causal"}
PAIRS = {"embedding": {"kind": "tokens", "tied": False}, "readout": "tokens", "decoder_depth": 3}


@cache
def small_models() -> dict[str, tuple[RunConfig, DataSpec]]:
    """Every shipped preset with every variant that is for it, shrunk; each model once."""
    found: dict[object, tuple[str, RunConfig, DataSpec]] = {}
    for preset in preset_names():
        text = preset.startswith(("bert", "roberta", "gpt2", "glue", "multi30k", "wmt", "transformer", "pydoc"))
        decodes = preset.startswith(("multi30k", "wmt", "transformer"))
        cut = ["data.vocab_size=19"] if text else []
        cut += ["data.seq_len=6"] if text and not preset.startswith(("pydoc", "glue")) else []
        cut += ["model.decoder_depth=1"] if decodes else []
        configs, spec = counted_configs(preset, [], SMALL + cut)
        if isinstance(spec, ImageSpec) and spec.height > 32:
            spec = ImageSpec(**{**vars(spec), "height": 32, "width": 32})
        for config in configs:
            key = (config.model, config.task, spec.kind, spec.num_outputs, getattr(spec, "height", spec.name))
            found.setdefault(key, (f"{preset} {config.variant}", config, spec))
    return {name: (config, spec) for name, config, spec in found.values()}


def inputs_for(config: RunConfig, spec: DataSpec, seed: int = 1) -> tuple[Tensor, ...]:
    """Random examples of full length."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(spec, ImageSpec):
        return (torch.randn(2, spec.channels, spec.height, spec.width, generator=generator, dtype=torch.float64),)
    text = cast(Any, spec)
    times = 2 if config.model.decoder_depth else 1
    return tuple(torch.randint(text.vocab_size, (2, text.seq_len), generator=generator) for _ in range(times))


def random_model(config: RunConfig, spec: DataSpec) -> nn.Module:
    torch.manual_seed(0)
    return randomise(build_model(config, spec))


def told(outputs: Tensor, made: Exact) -> Tensor:
    """Outputs as softmax sees them, where a class has gone."""
    return F.log_softmax(outputs, -1) if "reference_class" in str(made.config.model.readout.model_dump()) else outputs


def error(model: nn.Module, made: Exact, inputs: tuple[Tensor, ...]) -> float:
    """Largest difference of the outputs over their scale."""
    with torch.no_grad():
        wanted, found = told(model(*inputs), made), told(made.model(*inputs), made)
    return float((wanted - found).abs().max() / wanted.abs().max())


def reduced(config: RunConfig, spec: DataSpec, inputs: tuple[Tensor, ...], **known: Any) -> Exact:
    """The model of `config` with random weights, reduced, once everything about it is as promised."""
    model = random_model(config, spec)
    made = apply_exact(model, config, spec, **known)
    assert error(model, made, inputs) < TOLERANCE
    gone = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in made.model.parameters())
    assert gone == sum(each.numbers for each in made.reductions)
    assert all(each.numbers or each.why_not for each in made.reductions)
    assert not legality.problems(made.config.model)
    verify(made.config, spec)
    again = exact_plan(made.config, spec, segments=known.get("segments"))
    assert (again.numbers, again.model) == (0, made.config.model)
    return made


def some(names: list[str], every: int) -> Iterator[Any]:
    """All of them, most under make soak alone."""
    for place, name in enumerate(names):
        yield pytest.param(name, marks=() if place % every == 0 else pytest.mark.soak)


@pytest.mark.parametrize("name", list(some(list(small_models()), 3)))
def test_every_preset_and_variant_keeps_its_outputs_and_loses_what_is_said_once(name: str) -> None:
    config, spec = small_models()[name]
    reduced(config, spec, inputs_for(config, spec))


MODELS: dict[str, dict[str, object]] = {
    "one head": {"heads": 1},
    "no bias": {"bias": "none"},
    "pairwise, one head": {"heads": 1, "similarity": "pairwise"},
    "K = V": {"value": "key", "bias": "all"},
    "low rank": {"similarity": {"kind": "low-rank", "rank": 4}, "value": {"kind": "low-rank", "rank": [2, 5]}},
    "pivoted already": {"similarity": {"kind": "low-rank", "pivoted": True}, "value": {"kind": "low-rank"}},
    "a part a block": {
        "similarity": ["separate", "tied", "cholesky"],
        "value": ["omitted", "separate", "kgv"],
        "mlp": ["gelu", "none", "swiglu"],
        "bias": ["all", "live", "none"],
    },
    "post in one block": {"norm": ["pre", "post", "pre"]},
    "shared": {"order": {"kind": "listed", "list": [0, 1, 0]}, "bias": "all"},
    "no skips": {"residual": "off"},
    "text": TEXT,
    "unused positions": {**TEXT, "position": {"kind": "learned", "rows": 9, "unused": 2}},
    "sums of waves": {**TEXT, "position": "sinusoidal"},
    "pairs": PAIRS,
    "other depths": {**PAIRS, "decoder_depth": 1, "depth": 2, "bias": "all", "mlp": "swiglu"},
    "tied pairs": {**PAIRS, "similarity": "tied", "embedding": {"kind": "tokens", "scale": True}},
    "pool": {"readout": "sequence-pool", "bias": "all"},
    "pooler": {"readout": "pooler"},
}


@pytest.mark.parametrize("name", MODELS)
def test_parts_of_all_kinds_keep_their_outputs(name: str) -> None:
    model = ModelConfig.model_validate(SIZES | MODELS[name])
    reduced(run_config(model), spec_of(model), examples(model), segments=1)


def test_in_float32_outputs_are_as_near_as_its_rounding_and_the_model_is_left_as_it_was() -> None:
    config, spec = small_models()["deit-base-16 baseline"]
    model = random_model(config, spec).float().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    made = apply_exact(model, config, spec)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert made.model.training and {p.dtype for p in made.model.parameters()} == {torch.float32}
    assert (made.config.variant, made.config.baseline) == ("exact", config.model)
    (images,) = inputs_for(config, spec)
    model.eval()
    made.model.eval()
    assert error(model, made, (images.float(),)) < 1e-5  # of the scale, as promised


def test_where_nothing_can_go_the_run_is_what_it_was() -> None:
    config, spec = next(pair for name, pair in small_models().items() if name.endswith(" anthe"))
    made = apply_exact(random_model(config, spec), config, spec)
    assert made.config == config and not sum(each.numbers for each in made.reductions)


def parts(made: Exact, axis: str) -> list[str]:
    part = made.config.model.parts()[axis]
    return [each.kind for each in part.parts] if isinstance(part, PerBlock) else [part.kind]


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Next to no condition is good enough; makes a map one of columns whose pivots have one."""
    monkeypatch.setattr("minform_cli.models.parts.columns.MOST_CONDITION", 1.2)

    def ease(linear: nn.Module) -> None:
        weight = cast(Tensor, linear.weight)
        with torch.no_grad():
            weight.copy_(torch.eye(len(weight)) + 0.01 * weight)

    return ease


def test_a_gauge_with_bad_pivots_is_left_alone_in_its_block_and_its_biases_go(strict: Any) -> None:
    model = ModelConfig.model_validate(SIZES | {"bias": "all"})
    config, spec = run_config(model), spec_of(model)
    module = cast(Any, random_model(config, spec))
    for block in (0, 2):
        strict(module.blocks[block].attention.similarity.w_k)
    for block in (0, 1):
        strict(module.blocks[block].attention.value.w_v)
    made = apply_exact(module, config, spec)
    assert error(module, made, examples(model)) < TOLERANCE
    assert parts(made, "similarity") == ["low-rank", "separate", "low-rank"]
    values = cast(PerBlock, made.config.model.value).parts
    assert [each.model_dump()["pivoted"] for each in values] == [True, True, False]
    by = {each.name: each for each in made.reductions}
    assert by["key biases"].numbers == by["value biases"].numbers == 3 * 12
    assert by["gauge of query and key"].numbers == by["gauge of value and output"].numbers == 2 * 12 * 6
    assert (by["gauge of query and key"].why_not or "").startswith("block 1: ")
    assert "condition" in (by["gauge of value and output"].why_not or "")
    gone = sum(p.numel() for p in module.parameters()) - sum(p.numel() for p in made.model.parameters())
    assert gone == sum(each.numbers for each in made.reductions)


def test_blocks_of_other_numbers_on_two_sides_leave_all_gauges_alone_where_one_is_bad(strict: Any) -> None:
    model = ModelConfig.model_validate(SIZES | PAIRS | {"decoder_depth": 1})
    config, spec = run_config(model), spec_of(model)
    module = cast(Any, random_model(config, spec))
    own = module.decoder_blocks[0]
    for each in (*(block.attention for block in module.blocks), own.attention, own.cross):
        strict(each.value.w_v)
        if each is not own.cross:
            strict(each.similarity.w_k)
    made = apply_exact(module, config, spec)
    assert error(module, made, examples(model)) < TOLERANCE
    assert parts(made, "similarity") == ["separate"] and parts(made, "value") == ["low-rank"]


def test_one_sentence_is_what_somebody_says_or_the_task_knows() -> None:
    typed = AXES["embedding"].parse({"kind": "tokens", "types": 2, "norm": True})
    numbers = {}
    for preset in ("glue-sst2", "glue-mrpc", "bert-tiny"):
        (config, *_), spec = counted_configs(preset, ["baseline"], SMALL)
        assert config.model.embedding == typed
        for segments in (None, 1):
            found = {each.name: each for each in exact_reductions(config, spec, segments=segments)}["token types"]
            numbers[preset, segments] = found.numbers, found.why_not
    assert numbers["glue-sst2", None] == (2 * 12, None)
    assert numbers["glue-mrpc", None] == numbers["glue-mrpc", 1] == (0, "an example has two sentences")
    assert numbers["bert-tiny", 1] == (2 * 12, None)
    assert numbers["bert-tiny", None][0] == 0 and "--segments 1" in (numbers["bert-tiny", None][1] or "")
