"""Parts that differ from block to block: what a list means, what is refused, and that one model has one config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minform_cli.config import blocks, legality
from minform_cli.config.axes import AXES, PerBlock
from minform_cli.config.presets import dump_config, load_config, read_variant, resolve
from minform_cli.config.schema import ModelConfig
from minform_cli.counting.form import counted_form
from minform_cli.counting.parameters import counted_groups, modules
from minform_cli.errors import IllegalModelError, InputError
from tests.zoo import PAIRS, SIZES, SPEC, run_config

MIXED = "model.mlp=[gelu, none, {kind: gelu, width: 5}]"
THREE = "model.depth=3"
PER_BLOCK = [axis for axis in AXES if AXES[axis].per_block]


def model(**settings: object) -> ModelConfig:
    return ModelConfig.model_validate(SIZES | settings)


def test_the_axes_below_a_block_take_lists_and_the_others_refuse_them() -> None:
    assert set(PER_BLOCK) == {"similarity", "value", "mlp", "linear", "norm", "residual", "bias"}
    for axis in set(AXES) - {*PER_BLOCK, "order"}:
        name = AXES[axis].names()[0]
        with pytest.raises(InputError, match=f"there is one {axis} for all blocks, not a list"):
            resolve("digits", settings=[f"model.{axis}=[{name}, {name}]"])


def test_the_json_schema_takes_lists_where_the_axes_do() -> None:
    fields = ModelConfig.model_json_schema()["properties"]
    for axis in set(AXES) - {"order"}:
        forms = fields[axis]["anyOf"]
        assert any(form.get("type") == "array" for form in forms) == AXES[axis].per_block


def test_a_block_has_its_own_part_of_every_list() -> None:
    mixed = model(mlp=["gelu", "none", "swiglu"], norm=["pre", {"kind": "post", "eps": 1e-3}, "none"])
    assert [mixed.at(block).mlp.kind for block in range(3)] == ["gelu", "none", "swiglu"]
    assert [mixed.at(block).norm.kind for block in range(3)] == ["pre", "post", "none"]
    assert not any(mixed.at(block).has_lists for block in range(3))
    assert (blocks.before(mixed), blocks.after(mixed)) == (mixed.at(0), mixed.at(2))
    turned = model(mlp=["gelu", "none"], order=[1, 0, 1])
    assert (blocks.before(turned), blocks.after(turned)) == (turned.at(1), turned.at(1))


def test_a_list_of_equal_parts_is_the_part() -> None:
    for axis in PER_BLOCK:
        name = AXES[axis].names()[0]
        assert model(**{axis: [name] * 3}) == model(**{axis: name})
    one, other = (
        resolve("digits", settings=[THREE, f"model.mlp={mlp}"]).config for mlp in ("[relu,relu,relu]", "relu")
    )
    assert one.identity() == other.identity()
    assert isinstance(model(mlp=["relu"] * 2).mlp, PerBlock)  # whose length is wrong, and is to be told


def test_lists_come_back_from_yaml_and_identity_tells_them_apart(tmp_path: Path) -> None:
    config = resolve("digits", settings=[THREE, MIXED]).config
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config))
    assert load_config(path) == config
    assert config.model_dump(mode="json")["model"]["mlp"] == ["gelu", "none", {"kind": "gelu", "width": 5}]
    swapped = resolve("digits", settings=[THREE, "model.mlp=[none, gelu, {kind: gelu, width: 5}]"]).config
    assert swapped.identity() != config.identity()


def test_a_preset_and_a_variant_hold_lists_and_variants_that_disagree_are_refused(tmp_path: Path) -> None:
    preset = tmp_path / "three.yaml"
    preset.write_text("extends: digits\nmodel:\n  depth: 3\n  norm: [pre, post, post]\n")
    thin = tmp_path / "thin.yaml"
    thin.write_text("model:\n  mlp: [gelu, none, none]\n")
    config = resolve(str(preset), f"{thin}+symmetric").config
    assert [config.model.at(block).mlp.kind for block in range(3)] == ["gelu", "none", "none"]
    assert config.model.at(2).norm.kind == "post" and config.model.similarity.kind == "tied"
    with pytest.raises(InputError, match="must not contradict each other"):
        read_variant(f"{thin}+no-mlp")


REFUSED = [
    (["model.mlp=[gelu, none]"], "model.mlp lists 2 parts, and 3 blocks have weights; accepted: 3, or one for all"),
    (["model.order=shared", "model.norm=[pre, post]"], "model.norm lists 2 parts, and 1 block has weights"),
    (
        ["model.mlp=[none, gelu, gelu]", "model.similarity=[none, tied, tied]", "model.value=[none, key, key]"],
        "block 0: model.similarity 'none' and model.mlp 'none' leave nothing of the block",
    ),
    (
        ["model.similarity=[tied, none, tied]"],
        "block 1: model.similarity 'none' does not go with model.value 'separate'",
    ),
    (["model.value=none"], "model.value 'none' does not go with model.similarity 'separate'"),
    (["model.mlp=[]"], "model.mlp: expected one part for each block, not an empty list"),
    (["model.mlp=[gelu, [none], gelu]"], "model.mlp.1: expected a part, not a list in a list"),
    (["model.mlp=[gelu, gleu, none]"], "model.mlp.1: unknown mlp 'gleu'; did you mean 'gelu'"),
    (["model.mlp=[gelu, none, {kind: relu, width: 0}]"], "model.mlp.2.width: should be greater than or equal to 1"),
    (["model.mlp=[gelu, {kind: none, width: 3}, gelu]"], "model.mlp.1: unknown option 'width' of mlp 'none'"),
    (
        ["model.similarity=none", "model.value=none"],
        "model.readout 'class-token' reads the first token, which sees no other where no block attends",
    ),
    (
        ["model.value=[separate, key, key]", "model.similarity=[collapsed, tied, collapsed]"],
        "block 2: model.value 'key' does not go with model.similarity 'collapsed'",
    ),
    (
        ["model.value=[separate, separate, stack-collapsed]", "model.mlp=none", "model.norm=none", "model.heads=1",
         "model.residual=off"],
        "model.value 'stack-collapsed' stands in some blocks alone",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "told"), REFUSED)
def test_wrong_lists_are_refused_in_one_line(settings: list[str], told: str) -> None:
    with pytest.raises(InputError) as refused:
        resolve("digits", settings=[THREE, *settings])
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_wrong_in_every_block_is_said_once_and_of_none() -> None:
    found = legality.problems(model(value="key", similarity="collapsed", mlp=["gelu", "relu", "none"]))
    assert len(found) == 1 and found[0].startswith("model.value 'key'")


def test_a_list_serves_encoder_and_decoder_and_needs_as_many_blocks_in_both() -> None:
    text: dict[str, Any] = {"embedding": "tokens", "readout": "tokens", "mlp": ["gelu", "none", "gelu"]}
    mixed = model(**text, decoder_depth=3)
    assert not legality.problems(mixed)
    found = {module.path for module in modules(counted_form(mixed, PAIRS, run_config(mixed).task))}
    for side in ("blocks", "decoder_blocks"):
        assert [f"{side}.{block}.mlp" in found for block in range(3)] == [True, False, True]
        assert [f"{side}.{block}.mlp_norm" in found for block in range(3)] == [True, False, True]
    absent = {"similarity": "none", "value": "none", "mlp": "gelu"}
    with pytest.raises(IllegalModelError, match="leaves the decoder without the source"):
        legality.check(model(**text | absent, decoder_depth=3))
    with pytest.raises(IllegalModelError, match="its 2 blocks with weights must be as many as the encoder's 3"):
        legality.check(model(**text, decoder_depth=2))


def test_counts_of_a_list_are_those_of_its_parts_block_by_block() -> None:
    uniform = {mlp: counted_groups(model(mlp=mlp), SPEC, "classify-images") for mlp in ("gelu", "swiglu", "none")}
    mixed = counted_groups(model(mlp=["gelu", "none", "swiglu"]), SPEC, "classify-images")
    assert 3 * mixed["mlp"] == sum(groups["mlp"] for groups in uniform.values())
    assert mixed["norm"] == uniform["gelu"]["norm"] - 2 * 12
    assert mixed["query_key"] == uniform["gelu"]["query_key"]


@pytest.mark.parametrize(("norms", "last"), [(["pre", "pre", "post"], 0), (["post", "none", "pre"], 1)])
def test_the_final_norm_is_there_where_the_last_blocks_norm_stands_first(norms: list[str], last: int) -> None:
    form = counted_form(model(norm=norms), SPEC, "classify-images")
    assert ("final_norm" in form.children) == bool(last)
    sublayers = 2 * sum(norm != "none" for norm in norms)
    assert counted_groups(model(norm=norms), SPEC, "classify-images")["norm"] == (sublayers + last) * 2 * 12


@pytest.mark.parametrize("kind", ["gelu", "relu", "swiglu"])
def test_an_mlp_is_as_wide_as_it_says_and_says_nothing_by_default(kind: str) -> None:
    assert model(mlp=kind).model_dump(mode="json")["mlp"] == kind
    (form,) = [
        each for path, each in counted_form(wide(kind), SPEC, "classify-images").walk() if path == "blocks.0.mlp"
    ]
    assert {(each.dim_in, each.dim_out) for each in form.holds} == {(12, 7), (7, 12)}


def wide(kind: str) -> ModelConfig:
    return model(mlp={"kind": kind, "width": 7}, mlp_multiple=0.01)
