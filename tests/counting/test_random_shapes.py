"""Random models of every part at random shapes: counts and multiply-accumulates are exact."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from minform_cli.config import blocks, legality
from minform_cli.config.axes import AXES, PerBlock
from minform_cli.config.axes.embedding import embeddings_of
from minform_cli.config.axes.mlp import WithHidden
from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.counting.cost import forward_macs
from minform_cli.counting.form import head_numbers
from minform_cli.counting.parameters import counted_groups
from minform_cli.data.spec import DataSpec, ImageSpec, PairSpec, TextSpec
from minform_cli.models.build import build_counted, build_model
from minform_cli.models.meta import example_inputs, weightless
from minform_cli.models.verify import verify
from tests.soak.scale import reached, tries
from tests.soak.scale import seed as seed_of_soak
from tests.zoo import (
    ALL_PARTS,
    NOT_IN_DECODERS,
    ON_GRID,
    options,
    run_config,
)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_counts_and_macs_are_exact_at_200_random_shapes(part):
    first = 4 * int(seed_of_soak()) * tries(200) // 200 + part  # of the soak's slices, each after the last
    for seed in range(first, first + 4 * tries(200) // 200, 4):
        check_fifty(seed)
        reached("R13", 50)


def check_fifty(seed):
    for config, spec in fifty(seed):
        verify(config, spec)
        with weightless():
            whole = sum(p.numel() for p in build_model(config, spec).parameters())
        model = config.model
        apart = head_numbers(model, spec, config.task)
        last = blocks.after(model)
        of_readout = sum(held.numbers for held in last.readout.form(last).holds)
        unbuilt = of_readout if apart else 0  # which that task does not use
        assert whole == sum(counted_groups(model, spec, config.task).values()) + apart - unbuilt
        chains = {"tensor-chain", "kronecker"} & set(kinds(model, "linear"))
        for examples in (1, 3) if chains else (1 + 2 * (seed % 2),):
            assert measured_macs(config, spec, examples) == forward_macs(config, spec, examples), (model, spec)


def test_random_shapes_have_every_part_and_every_embedding_often():
    models = [config.model for seed in range(4) for config, _ in fifty(seed)]
    found = Counter(f"{axis} {kind}" for model in models for axis in AXES for kind in set(kinds(model, axis)))
    assert set(found) == {f"{axis} {kind}" for axis, kind in ALL_PARTS}
    assert min(found[f"embedding {kind}"] for kind in AXES["embedding"].names()) >= 20
    both = Counter((kind, m.embedding.kind) for m in models if m.decoder_depth for kind in set(kinds(m, "linear")))
    beside = set(AXES["linear"].names()) - {kind for axis, kind in NOT_IN_DECODERS if axis == "linear"}
    assert min(both[linear, "h-softpos"] for linear in beside) >= 5


def test_random_shapes_have_heads_that_are_wider_and_narrower_together_than_tokens_often() -> None:
    models = [config.model for seed in range(4) for config, _ in fifty(seed)]
    widths = [(model.inner_dim, model.dim, model.similarity.kind) for model in models if model.head_width]
    assert sum(inner > dim for inner, dim, _ in widths) >= 4
    assert sum(inner < dim for inner, dim, _ in widths) >= 4
    assert len({kind for *_, kind in widths}) >= 5


def test_random_shapes_have_lists_on_every_axis_and_on_both_sides_often():
    models = [config.model for seed in range(4) for config, _ in fifty(seed)]
    found = Counter(
        (axis, model.decoder_depth > 0)
        for model in models
        for axis, part in model.parts().items()
        if isinstance(part, PerBlock)
    )
    assert {axis for axis, _ in found} == PER_BLOCK
    assert min(found[axis, decodes] for axis in PER_BLOCK for decodes in (False, True)) >= 3
    absent = [model for model in models if 0 < kinds(model, "similarity").count("none") < model.num_blocks]
    assert len(absent) >= 5


PER_BLOCK = {axis for axis in AXES if AXES[axis].per_block}


def kinds(model: ModelConfig, axis: str) -> list[str]:
    """What stands on the axis in each block with weights."""
    if axis not in PER_BLOCK:
        return [model.parts()[axis].kind]
    return [model.at(block).parts()[axis].kind for block in range(model.num_blocks)]


def fifty(seed: int) -> list[tuple[RunConfig, DataSpec]]:
    """Random models that are legal, and data for them."""
    rng, found = random.Random(seed), []
    while len(found) < 50:
        config, spec = drawn(rng)
        model = config.model
        unfit = model.decoder_depth and (isinstance(spec, ImageSpec) or model.readout.kind != "tokens")
        if not unfit and not legality.problems(model):
            found.append((config, spec))
    return found


def drawn(rng: random.Random) -> tuple[RunConfig, DataSpec]:
    """A random model, maybe illegal, and data for it; chains are planned for few tokens or for many."""
    heads, patch, decoder = rng.choice([1, 1, 2, 3, 4]), rng.choice([1, 2, 3]), rng.choice([0, 0, 3])
    axes = {axis: options(axis, rng.choice(AXES[axis].names())) for axis in AXES}
    if decoder and rng.random() < 0.8:
        axes["readout"], axes["mask"] = "tokens", "none"
    if axes["readout"] == "tokens" and axes["embedding"] in OF_IMAGES:
        axes["embedding"] = rng.choice(["tokens", "h-softpos", "h-softpos"])
    elif not decoder and rng.random() < 0.3:
        axes["embedding"] = rng.choice(OF_IMAGES)
    if axes["embedding"] in OF_IMAGES and without_grid(axes["mlp"]) != axes["mlp"]:
        needed = AXES["mlp"].get(str(axes["mlp"])).requires
        axes |= {axis: rng.choice(needed[axis]) for axis in ("readout", "mask")}
    if axes["embedding"] == "h-softpos" and rng.random() < 0.85:  # which few positions go with
        axes["position"] = rng.choice(AXES["embedding"].get("h-softpos").requires["position"])
    if "none" in (axes["similarity"], axes["value"]):
        axes |= dict.fromkeys(("similarity", "value"), "separate" if decoder or rng.random() < 0.5 else "none")
    if axes["linear"] == "lora" and not decoder:
        axes["order"] = "shared"
    if axes["value"] == "latent":
        axes["similarity"] = "latent"
    if axes["value"] == "stack-collapsed":
        axes |= {axis: accepted[0] for axis, accepted in AXES["value"].get("stack-collapsed").requires.items()}
        heads, decoder = 1, 0
    if axes["value"] != "stack-collapsed" and rng.random() < 0.5:
        axes |= in_lists(rng, axes)
    own = {
        "tokens": {"types": rng.choice([0, 2]), "norm": rng.random() < 0.5, "tied": rng.random() < 0.5},
        "h-softpos": {"levels": rng.choice([1, 2, 3, 4])},
        "convolutions": {
            "separable": rng.random() < 0.5,
            "pool": rng.random() < 0.5,
            "widths": [2, 3][: rng.randint(0, 2)],
        },
    }
    axes["embedding"] = {"kind": axes["embedding"], **own.get(axes["embedding"], {})}
    if decoder:
        axes["residual"] = unscaled(axes["residual"])
    if axes["embedding"]["kind"] not in OF_IMAGES:
        axes["mlp"] = without_grid(axes["mlp"])
    axes["linear"] = chained(rng, axes["linear"], adapts=axes["order"] == "shared" and not decoder)
    fields = {
        # A 1 x 1 matrix made of a chain ends in a product of two vectors, which torch's counter does not know.
        "dim": heads
        * rng.randint(2 if "tensor-chain" in (made := str(axes["linear"])) or "kronecker" in made else 1, 9),
        "depth": 3,
        "heads": heads,
        "patch_size": patch,
        "mlp_multiple": rng.choice([1, 2, 0.5, 4]),
        "embedding_width": (None, 1, 0.5)[(heads + patch) % 3] if axes["embedding"]["kind"] == "tokens" else None,
        "decoder_depth": decoder,
    }
    config = run_config(with_own_width(ModelConfig.model_validate(fields | axes), (0, 0.3, 0.7)[(heads + patch) % 3]))
    train = config.train.model_copy(update={"batch_size": rng.choice([1, 3, 1000])})
    text = {"name": "r", "title": "r", "source": "r", "vocab_size": rng.randint(3, 40), "seq_len": rng.randint(2, 9)}
    if axes["embedding"]["kind"] not in OF_IMAGES:
        train = train.model_copy(update={"batch_tokens": rng.choice([None, 1, 100])})
        return config.model_copy(update={"train": train}), (PairSpec if decoder else TextSpec)(**text)
    shape = {"channels": rng.choice([1, 3]), "height": patch * rng.randint(1, 4), "width": patch * 2}
    spec = ImageSpec(name="r", title="r", source="r", class_names=tuple("ab"), num_train=9, **shape)
    return config.model_copy(update={"train": train}), spec


def with_own_width(model: ModelConfig, share: float) -> ModelConfig:
    """The model with heads of that share of its width, if its attention can have them and it is any."""
    fields = {name: getattr(model, name) for name in type(model).model_fields}
    made = ModelConfig.model_validate(fields | {"head_width": round(share * model.dim) or None})
    return model if legality.problems(made) else made


OF_IMAGES = embeddings_of("images")


def in_lists(rng: random.Random, axes: dict[str, Any]) -> dict[str, Any]:
    """Lists with a part for each block, for some of the axes that take them; nothing where there is one block."""
    number = {"sequential": 3, "shared": 1, "shared-mlp": 4, "shared-attention": 4, "macaron": 6}.get(
        str(axes["order"]), 2
    )
    if number == 1:
        return {}
    listed = {axis: [rng.choice(AXES[axis].names()) for _ in range(number)] for axis in sorted(PER_BLOCK)}
    listed["mlp"] = [
        {"kind": kind, "width": rng.randint(1, 9)} if issubclass(AXES["mlp"].get(kind), WithHidden) else kind
        for kind in listed["mlp"]
    ]
    listed["value"] = [kind if kind != "stack-collapsed" else "omitted" for kind in listed["value"]]
    for block, both in enumerate(zip(listed["similarity"], listed["value"], strict=True)):
        if "none" in both:
            listed["similarity"][block] = listed["value"][block] = "none"
        if both[1] == "latent":
            listed["similarity"][block] = "latent"
    pair = ["similarity", "value"] if rng.random() < 0.6 else []
    others = [axis for axis in sorted(PER_BLOCK - {"similarity", "value"}) if rng.random() < 0.5]
    return {axis: listed[axis] for axis in (*pair, *others)}


def without_grid(mlp: Any) -> Any:
    """What models of other than images can have in its place."""
    if isinstance(mlp, list):
        return [without_grid(each) for each in mlp]
    kind = mlp["kind"] if isinstance(mlp, dict) else mlp
    return "gelu" if kind in ON_GRID else mlp


def unscaled(residual: Any) -> Any:
    """What models with a decoder can have in its place."""
    return (
        [unscaled(each) for each in residual] if isinstance(residual, list) else str(residual).replace("scaled", "on")
    )


def chained(rng: random.Random, linear: Any, *, adapts: bool = False) -> Any:
    """The part (or each of a list) with ratios or ranks of its own, if it is no dense one.

    Another for additions to each run, where blocks do not run often.
    """
    if linear == "lora" and adapts:
        return {"kind": "lora", "rank": rng.choice([1, 3, 0.2])}
    if linear == "lora":
        return chained(rng, rng.choice(["dense", "low-rank", "tensor-chain", "kronecker", "monarch"]))
    if linear in ("kronecker", "monarch"):
        size = {"kronecker": "rank", "monarch": "blocks"}[linear]
        return {"kind": linear, size: rng.randint(2, 6), "output": rng.random() < 0.5}
    if isinstance(linear, list):
        return [chained(rng, each) for each in linear]
    if linear == "low-rank" or isinstance(linear, dict):
        return {"kind": "low-rank", **{role: rng.choice([None, 1, 2, 0.1, 0.6]) for role in ("qkv", "output", "mlp")}}
    if linear != "tensor-chain":
        return linear
    ratios = {role: rng.choice([None, 0.001, rng.uniform(0.01, 0.5), 3.0]) for role in ("qkv", "output", "mlp")}
    return {"kind": linear, "length": rng.choice([2, 3, 4]), **ratios}


def measured_macs(config: RunConfig, spec: DataSpec, examples: int = 1) -> int:
    """MACs of a batch by torch's own counter; with the MATH backend it sees every product of attention.

    In real memory: at small shapes that is several times faster than the meta device, whose kernels are Python.
    """
    built = build_counted(config, spec)
    inputs = example_inputs(config, spec, examples)
    with torch.no_grad(), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        built(*inputs)
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return flops // 2


# papers.md, third-party reproduction of arXiv 2410.13732: heads, variant, published parameters and Q (two decimals).
