"""Every shipped preset with every variant: it resolves, says what it is, and survives being written and read."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from minform_cli.config.axes import AXES
from minform_cli.config.names import preset_names, shipped_folder, variant_names
from minform_cli.config.presets import Recipe, dump_config, load_config, read_preset, read_variant, resolve
from minform_cli.config.schema import RunConfig
from minform_cli.config.strict_yaml import read_yaml
from minform_cli.errors import InputError

PRESETS = preset_names()
NAMED = ("vit-", "deit-", "bert-", "roberta-", "gpt2", "transformer-", "glue-", "pydoc-", "multi30k", "wmt-")
FILES = sorted(shipped_folder().rglob("*.yaml"))


@cache
def legal_with(preset: str) -> tuple[str, ...]:
    """The shipped variants whose parts go together with the preset's."""
    return tuple(config.variant for config in Recipe(preset).legal())


def test_the_presets_and_variants_that_are_promised_are_there() -> None:
    assert set(PRESETS) >= {
        "debug", "digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "imagenet-folder",
        "paper-mnist-6", "paper-mnist-12", "paper-cifar10-6", "paper-cifar10-12",
        "reproduction-mnist", "reproduction-cifar10",
    }  # fmt: skip
    assert set(variant_names()) >= {
        "baseline", "no-mlp", "collapsed-qk", "collapsed-vo", "no-vo", "minimal", "symmetric", "symmetric-mirrored",
        "symmetric-cholesky", "symmetric-pairwise", "identity-query", "stack-collapsed", "shared-depth",
        "kgv", "tensor-chain", "h-softpos", "swiglu", "anthe", "low-rank", "low-rank-qk", "pivoted",
        "shared-depth-lora", "shared-depth-scaled", "conv-tokenizer", "conv-tokenizer-separable",
        "depthwise", "frontier", "frontier-mix-ffn", "grouped-query", "multi-query", "symmetric-start",
        "geglu", "kronecker", "monarch", "factorised-embedding", "mix-ffn",
        "shared-mlp", "shared-attention", "macaron", "peri", "latent", "cross-layer", "first-values",
    }  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
def test_every_variant_makes_a_model_with_every_preset(preset: str) -> None:
    model = resolve(preset).config.model
    without: set[str] = set()
    if model.decoder_depth:  # which mixes two sequences: nothing to collapse
        without |= {"stack-collapsed", "shared-depth-lora", "shared-depth-scaled"}
    if "images" not in AXES["embedding"].get(model.embedding.kind).takes:
        without |= {"depthwise", "mix-ffn"}
    else:
        without |= {"factorised-embedding"}
    if not model.readout.per_example:  # which predicts entries of a vocabulary
        without |= {"conv-tokenizer", "conv-tokenizer-separable", "frontier", "frontier-mix-ffn"}
    expected = [name for name in variant_names() if name not in without]
    assert list(legal_with(preset)) == expected


def test_a_config_is_read_back_equal_from_what_was_dumped(tmp_path: Path) -> None:
    """Every variant, and every preset with a variant in turn; the soak takes each with each."""
    assert_read_back("digits", legal_with("digits"), tmp_path)
    for turn, preset in enumerate(PRESETS):
        legal = legal_with(preset)
        assert_read_back(preset, [legal[turn % len(legal)]], tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("preset", PRESETS)
def test_every_config_is_read_back_equal_from_what_was_dumped(preset: str, tmp_path: Path) -> None:
    assert_read_back(preset, legal_with(preset), tmp_path)


def assert_read_back(preset: str, variants: Sequence[str], tmp_path: Path) -> None:
    for variant in variants:
        config = resolve(preset, variant, seed=3).config
        path = tmp_path / f"{variant}.yaml"
        path.write_text(dump_config(config), encoding="utf-8")
        assert load_config(path) == config


@pytest.mark.parametrize(
    "setting",
    [
        "model.order=[0,1,0,1,0,0]",
        "model.similarity={kind: pairwise, noise: 0.5}",
        "model.norm={kind: post, eps: 1e-12}",
        "data.path='/a b/ü: #1/\\u2028'",
        "data.path=1e-3.zip",
        "data.path='true'",
        "train.learning_rate=1e-300",
        "train.learning_rate=123456789.123456789",
    ],
)
def test_unusual_values_survive_being_dumped_and_read(setting: str, tmp_path: Path) -> None:
    config = resolve("digits", "baseline", [setting]).config
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config), encoding="utf-8")
    assert load_config(path) == config


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("preset: debug\n", "", ": preset: is missing"),
        ("seed: 0\n", "seed: 0\nspeed: 9\n", ":5: unknown key 'speed'"),
        ("  dim: 16\n", "  dim: sixteen\n", ": model.dim: expected a whole number, not 'sixteen'"),
        ("  dim: 16\n", "  dmi: 16\n", ": unknown key 'model.dmi'; did you mean 'model.dim'?"),
        ("  heads: 2\n", "  heads: 3\n", ": model.heads 3 does not divide model.dim 16"),
        ("model:\n", "model:\n  dim: 16\n", ": key 'dim' is given twice"),
        ("data:\n", "data: 3\nxdata:\n", ": data: expected a mapping of keys to values"),
    ],
)
def test_a_damaged_config_file_is_refused_by_name(old: str, new: str, message: str, tmp_path: Path) -> None:
    text = dump_config(resolve("debug").config)
    assert old in text
    path = tmp_path / "config.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_config(path)
    assert str(caught.value).startswith(str(path))
    assert message.lstrip(":") in str(caught.value)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_shipped_file_opens_with_a_comment_and_says_what_it_is_and_whence(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# "), "no comment header"
    readers = {"variants": lambda name: read_variant(name).about, "studies": lambda _: read_yaml(path)[0]}
    about = readers.get(path.parent.name, lambda name: read_preset(name).about)(path.stem)
    for key in ("summary", "source"):
        assert isinstance(about[key], str)
        assert 0 < len(about[key]) <= 120
        assert "\n" not in about[key]
    assert re.search(r"^summary: ", text, re.MULTILINE), "its own summary, not that of what it extends"


def test_minimal_is_no_mlp_and_collapsed_qk_and_no_vo() -> None:
    def unnamed(config: RunConfig) -> RunConfig:
        return config.model_copy(update={"variant": ""})

    for preset in PRESETS:
        combined = resolve(preset, "no-mlp+collapsed-qk+no-vo").config
        assert unnamed(resolve(preset, "minimal").config) == unnamed(combined)


def test_anthe_is_its_four_parts_and_as_published() -> None:
    for preset in PRESETS:
        combined = resolve(preset, "kgv+tensor-chain+h-softpos+swiglu").config
        anthe = resolve(preset, "anthe").config
        assert anthe.model_copy(update={"variant": ""}) == combined.model_copy(update={"variant": ""})
    linear, embedding = anthe.model.linear, anthe.model.embedding
    assert linear.model_dump() == {"kind": "tensor-chain", "length": 2, "qkv": 0.07, "output": None, "mlp": 0.005}
    assert embedding.model_dump() == {"kind": "h-softpos", "levels": 2}


@pytest.mark.parametrize("variant", ["collapsed-qk", "collapsed-vo", "minimal", "stack-collapsed"])
def test_what_the_paper_ran_with_one_head_sets_one_head_and_set_overrides_it(variant: str) -> None:
    assert resolve("digits", variant).config.model.heads == 1
    if variant != "stack-collapsed":
        assert resolve("digits", variant, ["model.heads=2"]).config.model.heads == 2


@pytest.mark.parametrize("preset", [name for name in PRESETS if name.startswith(("paper-", "reproduction-"))])
def test_presets_that_follow_a_source_validate_on_the_test_set_as_it_does(preset: str) -> None:
    assert resolve(preset).config.data.validation == "test"


@pytest.mark.parametrize("preset", [name for name in PRESETS if not name.startswith(("paper-", "reproduction-"))])
def test_our_own_presets_hold_out_validation_data(preset: str) -> None:
    config = resolve(preset).config
    assert config.data.validation == "holdout"
    named = preset.startswith(NAMED)  # which have the biases of the libraries that build them
    assert config.model.bias.kind == ("all" if named else "live")


@pytest.mark.parametrize("preset", [name for name in PRESETS if name.startswith("reproduction-")])
def test_presets_of_a_known_architecture_have_all_its_biases(preset: str) -> None:
    assert resolve(preset).config.model.bias.kind == "all"
