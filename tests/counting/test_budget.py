"""A budget finds every combination that fits, and the tree of modules adds up."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from minform_cli import api
from minform_cli.config import presets
from minform_cli.config.names import variant_names
from minform_cli.config.presets import Recipe, read_variant, resolve
from minform_cli.config.schema import ModelConfig
from minform_cli.counting.budget import combinations, fitting, models, parse_budget, reductions
from minform_cli.counting.count import count_config
from minform_cli.counting.form import counted_form
from minform_cli.counting.variants import fits
from minform_cli.data.spec import spec_for
from minform_cli.errors import InputError
from minform_cli.models.build import build_model


@pytest.mark.parametrize(
    ("text", "limit"),
    [("10%", 1000), ("0.5 %", 50), ("500k", 500_000), ("1.5M", 1_500_000), ("30000", 30_000), ("30,000", 30_000)],
)
def test_a_budget_is_a_share_or_a_number(text: str, limit: int) -> None:
    assert parse_budget(text, baseline=10_000) == limit


@pytest.mark.parametrize("text", ["", "x", "-5", "10 %%", "0", "0%", "1e5", "5kB"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--budget"):
        parse_budget(text, baseline=10_000)


def test_each_model_has_one_name_and_the_shortest() -> None:
    """Of variants that are made of others, others that are not, and one that changes many axes."""
    recipe = Recipe("debug")
    paper = ("baseline", "no-mlp", "collapsed-qk", "no-vo", "minimal", "symmetric")
    others = ("symmetric-pairwise", "key-value", "shared-depth", "low-rank", "frontier")
    every = {name: recipe.own_values(name) for name in (*paper, *others)}
    names = [config.variant for config in combinations(recipe, every)]
    assert len(names) == len(set(names))
    assert {"baseline", "minimal", "no-mlp+symmetric"} <= set(names)
    assert "no-mlp+collapsed-qk+no-vo" not in names  # which is minimal
    settings = [repr(sorted((k, v.value) for k, v in read_variant(name).settings.items())) for name in names]
    assert len(settings) == len(set(settings))


def test_what_costs_parameters_by_itself_is_not_combined() -> None:
    recipe = Recipe("mnist")
    spec = spec_for(resolve("mnist").config)
    left_out = set(variant_names()) - set(reductions(recipe, spec))
    assert left_out == {
        "baseline",
        "kgv",
        "conv-tokenizer",
        "conv-tokenizer-separable",
        "symmetric-start",
        "macaron",
        "peri",
    }
    baseline, *others = (count_config(resolve("mnist", name).config, spec) for name in ("baseline", *sorted(left_out)))
    assert all(other["parameters"] >= baseline["parameters"] for other in others)


def test_where_a_part_has_nothing_left_to_act_on_there_is_one_line() -> None:
    """The same tensors from the same seed: storing maps as chains changes nothing where no map is stored so."""
    recipe = Recipe("debug")
    spec = spec_for(recipe.resolve().config)
    found = {config.variant: config for _, config in models(recipe, spec)}
    every = {config.variant: config for config in combinations(recipe, reductions(recipe, spec)) if fits(config, spec)}
    assert len(found) < len(every)
    dropped = every.keys() - found.keys()
    without = {
        "tensor-chain": (),
        "low-rank": (),
        "kronecker": (),
        "monarch": (),
        "shared-depth-lora": ("shared-depth",),
    }
    assert {name for name in dropped if not without.keys() & set(name.split("+"))} == set()
    alike = "no-mlp+no-vo+shared-depth+symmetric-cholesky"
    assert alike in found and f"{alike}+tensor-chain" in dropped
    for name in sorted(dropped):
        states = []
        parts = [left for part in name.split("+") for left in without.get(part, (part,))]
        more = "shared-depth-scaled" in parts  # than sharing alone, which it says anyway
        left = "+".join(part for part in parts if not (more and part == "shared-depth"))
        for config in (every[name], found[left]):
            torch.manual_seed(1)
            states.append(build_model(config, spec).state_dict())
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(tensor, states[1][key]) for key, tensor in states[0].items())


def test_parts_that_differ_in_what_they_do_alone_stay_two_models() -> None:
    spec = spec_for(resolve("debug").config)
    pairs = [("mlp", "gelu", "relu"), ("residual", "on", "off"), ("norm", "post", {"kind": "post", "eps": 1e-3})]
    pairs += [("position", "sinusoidal", "none"), ("mask", "none", "causal"), ("similarity", "mirrored", "cholesky")]
    for axis, *values in pairs:
        fields = [{"readout": "mean"} | {axis: value} for value in values]
        one, other = (counted_form(ModelConfig.model_validate(each), spec, "classify-images") for each in fields)
        assert one != other, axis


def test_every_file_is_read_once_and_few_configs_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    built: list[str] = []
    read_yaml, build = presets.read_yaml, presets.build
    monkeypatch.setattr(presets, "read_yaml", lambda path: read.append(path) or read_yaml(path))
    monkeypatch.setattr(
        presets, "build", lambda names, *rest, **more: built.append(names["variant"]) or build(names, *rest, **more)
    )
    for budget in (None, "20%"):
        read.clear()
        built.clear()
        configs, _ = api.counted_configs("mnist", [], [], budget)
        assert len(configs) > 10
        assert len(read) == len(set(read)) <= len(variant_names()) + 1
        assert len(built) <= len(variant_names()) + 1


def test_the_tree_marks_what_runs_again_in_a_decoder_too() -> None:
    for order, again in (("shared", {0}), ("[0,1,0]", {0}), ("sequential", set())):
        sizes = ["model.depth=3", "model.decoder_depth=3", f"model.order={order}"]
        records = api.layers("transformer-base", settings=sizes)
        for path in ("blocks", "decoder_blocks"):
            blocks = [r for r in records if r["level"] == 2 and r["path"].startswith(f"{path}.")]
            assert {i for i, block in enumerate(blocks) if block["shared"]} == again
            assert not any(r["shared"] for r in records if r not in blocks and r["path"].count(".") != 1)


def test_what_fits_is_what_counts_no_more_and_the_rest_is_larger() -> None:
    recipe = Recipe("debug")
    spec = spec_for(resolve("debug").config)
    configs = fitting(recipe, "30%", spec)
    sizes = {config.variant: count_config(config, spec)["parameters"] for config in configs}
    limit = int(0.3 * count_config(resolve("debug").config, spec)["parameters"])
    assert list(sizes.values()) == sorted(sizes.values())
    assert max(sizes.values()) <= limit
    small = 0
    for config in combinations(recipe, reductions(recipe, spec)):
        if config.variant not in sizes and fits(config, spec):  # some are for text alone
            assert config == resolve("debug", config.variant).config
            small += count_config(config, spec)["parameters"] <= limit
    assert small < len(sizes) / 10  # those that are the same models


def test_a_budget_too_small_names_the_smallest_model() -> None:
    with pytest.raises(InputError, match=r"no combination has 10 parameters or fewer; the smallest, .*, has [\d,]+"):
        api.count("debug", budget="10")
    with pytest.raises(InputError, match="finds the variants itself"):
        api.count("debug", ["minimal"], budget="10%")


def test_the_tree_of_modules_adds_up_level_by_level() -> None:
    for variant in ("baseline", "minimal", "shared-depth"):
        records = api.layers("digits", [variant])
        (count,) = api.count("digits", [variant])
        assert records[0]["parameters"] == count["parameters"]
        for i, record in enumerate(records):
            below = [later for later in records[i + 1 :] if later["path"].startswith(f"{record['path']}.")]
            children = [later for later in below if later["level"] == record["level"] + 1]
            assert sum(child["parameters"] for child in children) <= record["parameters"]
        blocks = [record for record in records if record["level"] == 2 and record["path"].startswith("blocks.")]
        assert [record["shared"] for record in blocks] == (
            [True] if variant == "shared-depth" else [False] * len(blocks)
        )
