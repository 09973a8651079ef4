"""Counts are exact: built model = closed form = sum of groups, at any shape; published tables come out."""

from __future__ import annotations

import random

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from minform_cli.config import legality
from minform_cli.config.axes import AXES
from minform_cli.config.presets import preset_names, read_preset, resolve
from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.counting import formulas
from minform_cli.counting.cost import MLP, PROJECT_QUERY_KEY, PROJECT_VALUE, forward_macs
from minform_cli.counting.count import checked_groups, count_config, count_groups
from minform_cli.counting.formulas import POOLER, closed_form, sizes, task_head
from minform_cli.counting.meta import example_inputs
from minform_cli.data.spec import DataSpec, ImageSpec, PairSpec, TextSpec, spec_for
from minform_cli.models.build import build_counted, build_model
from minform_cli.models.parts.mlp import MLPS
from minform_cli.models.parts.norm import NORMS
from minform_cli.models.parts.position import POSITIONS
from minform_cli.models.parts.readout import READOUTS
from minform_cli.models.parts.similarity import SIMILARITIES
from minform_cli.models.parts.value import VALUES
from minform_cli.results import GROUPS
from tests.zoo import ALL_PARTS, ALL_VARIANTS, BIASES, SPEC, model_with, options, run_config, spec_of, variant_model

MNIST = ImageSpec(
    name="mnist",
    title="MNIST",
    source="test",
    channels=1,
    height=28,
    width=28,
    class_names=tuple("0123456789"),
    num_train=60_000,
    num_val=10_000,
    num_test=10_000,
)


@pytest.mark.parametrize(
    ("axis", "modules", "closed_forms"),
    [
        ("similarity", SIMILARITIES, [formulas.QUERY_KEY, PROJECT_QUERY_KEY]),
        ("value", VALUES, [formulas.VALUE_OUTPUT, PROJECT_VALUE]),
        ("mlp", MLPS, [formulas.MLP, MLP]),
        ("norm", NORMS, [formulas.NORMS_PER_SUBLAYER, formulas.FINAL_NORMS]),
        ("position", POSITIONS, [formulas.POSITION]),
        ("readout", READOUTS, [formulas.CLASS_TOKENS, formulas.POOLER]),
    ],
)
def test_options_modules_and_closed_forms_name_the_same_parts(axis, modules, closed_forms):
    names = set(AXES[axis].names())
    assert set(modules.names()) == names
    for table in closed_forms:
        assert set(table) == names


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize(("axis", "kind"), ALL_PARTS)
def test_built_count_equals_closed_form_for_every_part(axis, kind, bias):
    model = model_with(axis, kind, **({} if axis == "bias" else {"bias": bias}))
    config, spec = run_config(model), spec_of(model)
    built = build_counted(config, spec)
    groups = checked_groups(config, spec)
    assert groups == count_groups(built)
    assert sum(groups.values()) == sum(p.numel() for p in built.parameters() if p.requires_grad)
    assert all(p.requires_grad for p in built.parameters()), "a frozen parameter is registered"


def test_counts_and_macs_are_exact_at_200_random_shapes():
    rng = random.Random(0)
    done = 0
    while done < 200:
        heads, patch = rng.choice([1, 1, 2, 3, 4]), rng.choice([1, 2, 3])
        axes = {axis: options(axis, rng.choice(AXES[axis].names())) for axis in AXES}
        fields = {
            "dim": heads * rng.randint(1, 9),
            "depth": 3,
            "heads": heads,
            "patch_size": patch,
            "mlp_multiple": rng.choice([1, 2, 0.5, 4]),
            "decoder_depth": rng.choice([0, 0, 3]),
        }
        model = ModelConfig.model_validate(fields | axes)
        unfit = model.decoder_depth and (model.embedding.kind, model.readout.kind) != ("tokens", "tokens")
        if unfit or legality.problems(model):
            continue
        spec = ImageSpec(
            name="r",
            title="r",
            source="r",
            channels=rng.choice([1, 3]),
            height=patch * rng.randint(1, 4),
            width=patch * 2,
            class_names=tuple("ab"),
            num_train=9,
            num_val=1,
            num_test=1,
        )
        config = run_config(model)
        if model.embedding.kind == "tokens":
            size = {"vocab_size": rng.randint(3, 40), "seq_len": rng.randint(2, 9)}
            cls = PairSpec if model.decoder_depth else TextSpec
            spec = cls(name="r", title="r", source="r", **size)
        checked_groups(config, spec)
        whole = sum(p.numel() for p in build_model(config, spec).parameters())
        apart = task_head(model, spec, config.task)
        pooler = POOLER[model.readout.kind](sizes(model)) if apart else 0  # which that task does not build
        assert whole == sum(closed_form(model, spec, config.task).values()) + apart - pooler
        assert measured_macs(config, spec) == forward_macs(model, spec, config.task), (model, spec)
        done += 1


def measured_macs(config: RunConfig, spec: DataSpec) -> int:
    """MACs of one example by torch's own counter; with the MATH backend it sees every product of attention."""
    with torch.device("meta"):
        built = build_counted(config, spec)
        inputs = example_inputs(config, spec, 1)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        built(*inputs)
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return flops // 2


# papers.md, third-party reproduction of arXiv 2410.13732: heads, variant, published parameters and Q (two decimals).
REPRODUCTION = [
    (1, "baseline", 156_298, 3.84),
    (4, "baseline", 156_298, 3.84),
    (1, "collapsed-qk", 131_338, 4.57),
    (1, "collapsed-qk+no-vo", 81_418, 7.37),
    (1, "no-mlp", 106_378, 5.64),
    (4, "no-mlp", 106_378, 5.64),
    (1, "no-mlp+symmetric-cholesky", 68_938, 8.70),
    (4, "no-mlp+symmetric-cholesky", 59_722, 10.05),
    (1, "no-mlp+collapsed-qk", 81_418, 7.37),
    (1, "minimal", 31_498, 19.05),
]


@pytest.mark.parametrize(("heads", "variant", "published", "published_q"), REPRODUCTION)
def test_reproduction_table_comes_out_row_for_row(heads, variant, published, published_q):
    config = resolve("reproduction-mnist", variant, [f"model.heads={heads}"]).config
    count = count_config(config, MNIST)
    # The reproduction keeps the unused second LayerNorm of an encoder without MLP: 2 N each, which we never build.
    unused_norms = 2 * config.model.dim * config.model.depth if config.model.mlp.kind == "none" else 0
    total = count["parameters"] + unused_norms
    assert total == published
    assert round(60_000 * 10 / total, 2) == published_q


def test_paper_shares_follow_from_a_multiple_of_four():
    """arXiv 2410.13732: symmetric without MLP keeps about 25 %, the minimum variant about 10 % of the encoder."""
    shares = {}
    for variant in ("baseline", "no-mlp+symmetric", "minimal"):
        count = count_config(resolve("paper-mnist-6", variant).config, MNIST)
        shares[variant] = sum(count["groups"][g] for g in ("query_key", "value_output", "mlp"))
    assert shares["no-mlp+symmetric"] / shares["baseline"] == pytest.approx(0.25, abs=0.005)
    assert shares["minimal"] / shares["baseline"] == pytest.approx(0.083, abs=0.005)


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_states_its_count(preset):
    stated = read_preset(preset).about.get("expected_parameters")
    config = resolve(preset).config
    assert stated == count_config(config, spec_for(config))["parameters"]


@pytest.mark.parametrize("variant", ALL_VARIANTS)
def test_every_variant_has_a_count_line(variant):
    config = run_config(variant_model(variant)).model_copy(update={"baseline": variant_model("baseline")})
    count = count_config(config, SPEC)
    assert tuple(count["groups"]) == GROUPS
    assert sum(count["groups"].values()) == count["parameters"]
    assert 0 < count["share_of_baseline"] <= 1.01
    assert count["determination_ratio"] == pytest.approx(100 * 5 / count["parameters"])


def test_heads_that_make_a_reduction_dearer_are_said():
    dear = count_config(resolve("digits", "collapsed-qk", ["model.heads=4"]).config, SPEC)
    assert any("more than" in note for note in dear["notes"])
    single = count_config(resolve("digits", "collapsed-qk").config, SPEC)
    assert not any("more than" in note for note in single["notes"])


def test_dead_key_biases_are_named_under_all_and_absent_otherwise():
    dead = count_config(resolve("digits", settings=["model.bias=all"]).config, SPEC)["dead_parameters"]
    assert dead == {"similarity.w_k.bias": 64 * resolve("digits").config.model.depth}
    for setting in ("model.bias=live", "model.bias=none"):
        assert count_config(resolve("digits", settings=[setting]).config, SPEC)["dead_parameters"] == {}
    assert count_config(resolve("digits", "key-value", ["model.bias=all"]).config, SPEC)["dead_parameters"] == {}


def test_shared_depth_costs_as_much_and_weighs_one_block():
    shared, full = (count_config(resolve("digits", v).config, SPEC) for v in ("shared-depth", "baseline"))
    assert shared["macs"] == full["macs"]
    depth = resolve("digits").config.model.depth
    assert full["groups"]["mlp"] == depth * shared["groups"]["mlp"]


def test_imagenet_preset_counts_without_data():
    config = resolve("imagenet-folder").config
    spec = spec_for(config)
    assert (spec.num_train, spec.num_classes) == (1_281_167, 1_000)
    count = count_config(config, spec)
    assert count["determination_ratio"] == pytest.approx(1_281_167 * 1_000 / count["parameters"])
