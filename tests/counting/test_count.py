"""Counts are exact: built model = its Form = sum of groups, at any shape; published tables come out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from minform_cli.config.axes import AXES, PartOptions
from minform_cli.config.axes.norm import Pre
from minform_cli.config.form import Weights
from minform_cli.config.presets import preset_names, read_preset, resolve
from minform_cli.config.schema import ModelConfig
from minform_cli.counting.count import count_config
from minform_cli.counting.form import counted_form
from minform_cli.counting.records import GROUPS
from minform_cli.data.spec import ImageSpec, spec_for
from minform_cli.models.build import build_counted
from minform_cli.models.meta import weightless
from minform_cli.models.parts.mlp import MLPS
from minform_cli.models.parts.norm import NORMS
from minform_cli.models.parts.position import POSITIONS
from minform_cli.models.parts.readout import READOUTS
from minform_cli.models.parts.similarity import SIMILARITIES
from minform_cli.models.parts.value import VALUES
from minform_cli.models.verify import check, count_groups, verify
from tests.zoo import (
    ALL_PARTS,
    ALL_VARIANTS,
    BIASES,
    SIZES,
    SPEC,
    model_with,
    run_config,
    spec_of,
    variant_config,
)

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
    ("axis", "modules"),
    [
        ("similarity", SIMILARITIES), ("value", VALUES), ("mlp", MLPS), ("norm", NORMS), ("position", POSITIONS),
        ("readout", READOUTS),
    ],
)  # fmt: skip
def test_options_and_modules_name_the_same_parts(axis, modules):
    assert set(modules.names()) == set(AXES[axis].names())


@pytest.mark.parametrize("axis", AXES)
def test_a_part_that_does_not_say_what_it_is_made_of_is_not_registered(axis):
    base, names = AXES[axis].base, AXES[axis].names()
    assert all(issubclass(AXES[axis].get(kind), base) for kind in names)

    class Formless(base, frozen=True):
        kind: str = "formless"

    class Foreign(PartOptions, frozen=True):
        kind: str = "foreign"

    for part, problem in ((Formless, "lacks form"), (Foreign, f"is no {base.__name__}")):
        with pytest.raises(AssertionError, match=problem):
            AXES[axis].part(part)
    assert AXES[axis].names() == names


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize(("axis", "kind"), ALL_PARTS)
def test_built_count_equals_the_form_for_every_part(axis, kind, bias):
    model = model_with(axis, kind, **({} if axis == "bias" else {"bias": bias}))
    config, spec = run_config(model), spec_of(model)
    built = build_counted(config, spec)
    verify(config, spec)
    groups = count_config(config, spec)["groups"]
    assert groups == count_groups(built)
    assert sum(groups.values()) == sum(p.numel() for p in built.parameters() if p.requires_grad)
    assert all(p.requires_grad for p in built.parameters()), "a frozen parameter is registered"


def _changed(form, path: str, change):
    """`form` with the Form at `path` replaced by what `change` makes of it."""
    name, _, rest = path.partition(".")
    child = form.children[name]
    made = _changed(child, rest, change) if rest else change(child)
    return replace(form, children={**form.children, name: made})


DIFFERENCES = {
    "a number": ("final_norm", lambda norm: replace(norm, holds=(Weights(name="", numbers=23),))),
    "a group": ("blocks.1.attention.value", lambda value: replace(value, group="query_key")),
    "a name": ("blocks.0.mlp", lambda mlp: replace(mlp, holds=(replace(mlp.holds[0], name="w_9"), *mlp.holds[1:]))),
    "a class": ("blocks.0.mlp", lambda mlp: replace(mlp, holds=(replace(mlp.holds[0], module="X"), *mlp.holds[1:]))),
    "one more": ("readout", lambda readout: replace(readout, children={**readout.children, "x": Pre().form(SMALL)})),
    "one less": ("readout", lambda readout: replace(readout, children={})),
}
SMALL = ModelConfig.model_validate(SIZES)


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_a_form_that_is_not_what_is_built_is_told(difference):
    config = run_config(SMALL)
    form = counted_form(SMALL, SPEC, config.task)
    with weightless():
        built = build_counted(config, SPEC)
    check(config, built, form)
    with pytest.raises(AssertionError, match=r"the Form says|only in one of"):
        check(config, built, _changed(form, *DIFFERENCES[difference]))


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
    config = variant_config(variant)
    spec = spec_of(config.model)
    count = count_config(config, spec)
    assert tuple(count["groups"]) == GROUPS
    assert sum(count["groups"].values()) == count["parameters"]
    # Convolutions make more tokens than patches do here: more positions; norms and biases weigh more at this width.
    few = 1.2 if variant in ("macaron", "mix-ffn", "peri") else 1.01
    assert 0 < count["share_of_baseline"] <= (1.1 if config.model.embedding.kind == "convolutions" else few)
    counted = isinstance(spec, ImageSpec)  # examples of text are cuts, and their number means nothing
    assert count["determination_ratio"] == (pytest.approx(100 * 5 / count["parameters"]) if counted else None)


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
