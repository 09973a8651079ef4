"""Models of other people's libraries are counted to the last parameter, and what is in them is found, not guessed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

from minform_cli.config.presets import resolve
from minform_cli.counting.parameters import counted_groups
from minform_cli.counting.records import GROUPS
from minform_cli.data.spec import ImageSpec
from minform_cli.foreign.attention import find_attention
from minform_cli.foreign.model import count_model
from minform_cli.foreign.recognise import recognise
from minform_cli.foreign.reductions import REDUCTIONS, effects
from minform_cli.foreign.sources import build_source
from minform_cli.foreign.tree import Tree
from minform_cli.models.meta import weightless

IMAGES = [
    # source, published or library-documented parameters, attention blocks, MLP blocks, `other`
    ("timm:vit_small_patch16_224", 22_050_664, 12, 12, 0),
    ("timm:deit_tiny_distilled_patch16_224", 5_910_800, 12, 12, 0),
    ("timm:swin_tiny_patch4_window7_224", 28_288_354, 12, 12, 1_548_288),  # the patch merging between stages
    ("timm:beit_base_patch16_224", 86_530_984, 12, 12, 2 * 12 * 768),  # the scales of its sublayers
    ("timm:mixer_b16_224", 59_880_472, 0, 24, 0),
    ("timm:resnet18", 11_689_512, 0, 0, 11_689_512 - 513_000 - 9_600),
    ("torchvision:vit_b_16", 86_567_656, 12, 12, 0),
    ("torchvision:swin_t", 28_288_354, 12, 12, 1_548_288),
]
TEXTS = [
    # class, architecture, config's settings, parameters, attention blocks, MLP blocks
    ("BertConfig", None, {}, 109_482_240, 12, 12),
    ("BertConfig", "BertForMaskedLM", {}, 109_514_298, 12, 12),
    ("RobertaConfig", None, {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1},
     124_645_632, 12, 12),
    ("GPT2Config", "GPT2LMHeadModel", {}, 124_439_808, 12, 12),
    ("DistilBertConfig", None, {}, 66_362_880, 6, 6),
    ("T5Config", "T5ForConditionalGeneration", {}, 60_506_624, 18, 12),
    ("AlbertConfig", None, {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
     11_683_584, 1, 1),
    ("BartConfig", None, {}, 406_291_456, 36, 24),
]  # fmt: skip


def config_folder(folder: Path, kind: str, architecture: str | None = None, **settings: object) -> str:
    config = getattr(transformers, kind)(**settings)
    config.architectures = [architecture] if architecture else None
    config.save_pretrained(folder)
    return f"hf:{folder}"


def unique_parameters(source: str) -> int:
    module = build_source(source).module
    return sum(p.numel() for p in {id(p): p for p in module.parameters()}.values())


def groups_by_reduction(module: nn.Module) -> dict[str, dict[str, int] | None]:
    return {effect.name: effect.groups for effect in effects(recognise(module, GROUPS))}


@pytest.mark.parametrize(("source", "parameters", "attentions", "mlps", "other"), IMAGES)
def test_image_models_are_counted_exactly_and_no_block_is_missed(source, parameters, attentions, mlps, other):
    record = count_model(source)
    assert record["parameters"] == parameters == unique_parameters(source) == sum(record["groups"].values())
    assert (record["attention_blocks"], record["mlp_blocks"]) == (attentions, mlps)
    assert record["groups"]["other"] == other == sum(record["other"].values())


@pytest.mark.parametrize(("kind", "architecture", "settings", "parameters", "attentions", "mlps"), TEXTS)
def test_text_models_are_counted_exactly_with_nothing_left_over(
    tmp_path, kind, architecture, settings, parameters, attentions, mlps
):
    source = config_folder(tmp_path, kind, architecture, **settings)
    record = count_model(source)
    assert record["parameters"] == parameters == unique_parameters(source) == sum(record["groups"].values())
    assert (record["attention_blocks"], record["mlp_blocks"]) == (attentions, mlps)
    assert record["groups"]["other"] == 0


def test_groups_of_vit_b_16_are_those_counted_by_hand():
    n, hidden, blocks, tokens = 768, 3072, 12, 197
    projection = n * n + n
    assert count_model("torchvision:vit_b_16")["groups"] == {
        "embedding": 3 * 16 * 16 * n + n + n + tokens * n,
        "query_key": blocks * 2 * projection,
        "value_output": blocks * 2 * projection,
        "mlp": blocks * (2 * n * hidden + hidden + n),
        "norm": (2 * blocks + 1) * 2 * n,
        "head": n * 1000 + 1000,
        "other": 0,
    }
    (first, *_) = find_attention(Tree(build_source("torchvision:vit_b_16").module))
    assert [sum(piece.numel for piece in pieces) for pieces in (first.q, first.k, first.v, first.o)] == [projection] * 4
    assert first.heads == 12


def test_tied_output_of_gpt2_counts_once_and_is_named(tmp_path):
    record = count_model(config_folder(tmp_path, "GPT2Config", "GPT2LMHeadModel", n_layer=2))
    assert record["shared"] == [["transformer.wte.weight", "lm_head.weight"]]
    assert record["groups"]["embedding"] == (50_257 + 1024) * 768
    assert record["groups"]["head"] == 0
    assert any("transformer.wte.weight is also lm_head.weight" in note for note in record["notes"])


def test_bert_and_its_masked_head_differ_by_the_head_alone(tmp_path):
    plain = count_model(config_folder(tmp_path / "plain", "BertConfig", num_hidden_layers=2))["groups"]
    masked = count_model(config_folder(tmp_path / "masked", "BertConfig", "BertForMaskedLM", num_hidden_layers=2))
    n, vocabulary = 768, 30_522
    assert plain["head"] == n * n + n  # the pooler
    assert masked["groups"] == plain | {"head": n * n + n + vocabulary, "norm": plain["norm"] + 2 * n}


VIT_B = ImageSpec(
    name="images",
    title="images",
    source="test",
    channels=3,
    height=224,
    width=224,
    class_names=tuple(map(str, range(1000))),
    num_train=1,
    num_val=1,
    num_test=1,
)


@pytest.mark.parametrize("reduction", [reduction.name for reduction in REDUCTIONS])
def test_every_reduction_of_vit_b_16_equals_the_closed_form_of_the_shipped_variant(reduction):
    sizes = ["model.dim=768", "model.depth=12", "model.patch_size=16", "model.mlp_multiple=4", "model.bias=all"]
    heads = [] if reduction == "minimal" else ["model.heads=12"]
    expected = counted_groups(resolve("digits", reduction, [*sizes, *heads]).config.model, VIT_B, "classify-images")
    found = {row["variant"]: row for row in count_model("torchvision:vit_b_16")["reductions"]}[reduction]
    assert found["groups"] == expected | {"other": 0}
    assert found["parameters"] == sum(expected.values()) == 86_567_656 - found["saved"]


@pytest.mark.parametrize("source", ["timm:swin_tiny_patch4_window7_224", "timm:beit_base_patch16_224"])
def test_positions_of_relative_kind_are_no_part_of_what_symmetry_saves(source):
    record = count_model(source)
    rows = {row["variant"]: row["groups"] for row in record["reductions"]}
    assert rows["symmetric"]["embedding"] == record["groups"]["embedding"]
    assert rows["symmetric-cholesky"]["query_key"] < rows["symmetric"]["query_key"] < record["groups"]["query_key"]


def test_beit_keys_without_a_bias_lose_their_weights_alone():
    record = count_model("timm:beit_base_patch16_224")
    saved = {row["variant"]: row["saved"] for row in record["reductions"]}
    assert saved["symmetric"] == 12 * 768**2
    assert saved["identity-query"] == saved["key-value"] == 12 * (768**2 + 768)


def test_grouped_queries_and_rotary_positions_are_refused_with_the_reason(tmp_path):
    source = config_folder(
        tmp_path, "LlamaConfig", hidden_size=64, num_attention_heads=8, num_key_value_heads=2,
        num_hidden_layers=3, intermediate_size=96, vocab_size=100,
    )  # fmt: skip
    record = count_model(source)
    rows = {row["variant"]: row for row in record["reductions"]}
    assert rows["symmetric"]["not_applied"] == {"grouped-query attention: 8 query heads share 2 key heads": 3}
    assert rows["collapsed-qk"]["not_applied"] == {"rotary positions stand between W_Q and W_K": 3}
    assert rows["symmetric"]["groups"] is None
    assert rows["minimal"]["parameters"] is None
    assert rows["key-value"]["saved"] == 3 * 64 * 16
    assert rows["no-mlp"]["saved"] == 3 * (3 * 64 * 96 + 64)  # gate, up, down and the norm before them
    assert record["groups"]["other"] == 0


def test_cross_attention_of_another_key_width_keeps_its_own_keys():
    with weightless():
        module = nn.Sequential(nn.MultiheadAttention(32, 4, kdim=48, vdim=48))
    found = recognise(module, GROUPS)
    assert found.groups["query_key"] == 32 * 32 + 32 * 48 + 2 * 32
    (row,) = [effect for effect in effects(found) if effect.name == "symmetric"]
    assert row.groups is None
    assert list(row.reasons) == ["cross-attention: keys of tokens of width 48, queries of width 32"]
    assert groups_by_reduction(module)["key-value"]["value_output"] == 32 * 32 + 32


def test_blocks_that_share_weights_save_them_once():
    with weightless():
        layers = nn.ModuleList(nn.TransformerEncoderLayer(32, 4, 64) for _ in range(3))
        for layer in layers[1:]:
            for name in ("in_proj_weight", "in_proj_bias"):
                setattr(layer.self_attn, name, getattr(layers[0].self_attn, name))
    found = recognise(layers, GROUPS)
    assert sum(found.groups.values()) == sum(p.numel() for p in layers.parameters())
    rows = groups_by_reduction(layers)
    assert found.groups["query_key"] - rows["symmetric"]["query_key"] == 32 * 32 + 32
    assert rows["symmetric-cholesky"]["query_key"] == 4 * 8 * 9 // 2
    assert rows["no-vo"]["value_output"] == 0


def test_numbers_shared_with_an_attention_that_keeps_them_stay():
    with weightless():
        plain, crossed = nn.MultiheadAttention(32, 4, bias=False), nn.MultiheadAttention(32, 4, kdim=48, bias=False)
        plain.out_proj = crossed.out_proj
    rows = groups_by_reduction(nn.ModuleList([plain, crossed]))
    # Tokens of two widths keep the second W_V and W_O, and with them the first's W_O.
    assert rows["no-vo"]["value_output"] == 32 * 32 + 32 * 32


def test_a_third_norm_in_a_layer_keeps_all_of_them():
    with weightless():
        layer = nn.TransformerEncoderLayer(32, 4, 64)
        layer.norm3 = nn.LayerNorm(32)
    assert groups_by_reduction(layer)["no-mlp"]["norm"] == 3 * 2 * 32


def test_frozen_parameters_count_and_are_named():
    module = nn.TransformerEncoderLayer(32, 4, 64)
    module.linear1.weight.requires_grad_(False)
    assert recognise(module, GROUPS).frozen == {"linear1.weight": 32 * 64}
    assert recognise(module, GROUPS).groups["mlp"] == 2 * 32 * 64 + 64 + 32


class Fused(nn.Module):
    """Attention whose names say nothing; `heads` is what tells it."""

    def __init__(self, heads: int | None) -> None:
        super().__init__()
        if heads is not None:
            self.num_heads = heads
        self.a, self.b = nn.Linear(32, 96), nn.Linear(32, 32)


def test_a_fused_projection_without_a_telling_name_needs_the_number_of_heads():
    assert recognise(Fused(4), GROUPS).groups["query_key"] == 2 * (32 * 32 + 32)
    unknown = recognise(Fused(None), GROUPS)
    assert not unknown.attentions
    assert unknown.groups["query_key"] == unknown.groups["value_output"] == 0


class Strange(nn.Module):
    """A layer that is known before layers that nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        self.known = nn.TransformerEncoderLayer(32, 4, 64)
        self.mixers = nn.ModuleList(Mixing() for _ in range(3))
        self.scale = nn.Parameter(torch.ones(32))
        self.head = nn.Linear(32, 10)


class Mixing(nn.Module):
    """Receptance and gate: no attention, no MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.receptance, self.gate = nn.Linear(32, 32), nn.Linear(32, 40)


def test_layers_that_are_not_recognised_are_other_and_never_the_head():
    groups = recognise(Strange(), GROUPS).groups
    assert groups["other"] == 3 * (32 * 32 + 32 + 32 * 40 + 40) + 32
    assert groups["head"] == 32 * 10 + 10


def test_one_norm_for_both_sublayers_stays_without_the_mlp(tmp_path):
    config = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 50, "n_positions": 16, "rotary_dim": 4}
    record = count_model(config_folder(tmp_path, "GPTJConfig", **config))
    rows = {row["variant"]: row["groups"] for row in record["reductions"]}
    assert rows["no-mlp"]["norm"] == record["groups"]["norm"] == 3 * 2 * 32
    assert rows["no-mlp"]["mlp"] == 0


def test_nothing_is_allocated():
    module = build_source("torchvision:vit_b_16").module
    assert {p.device.type for p in module.parameters()} == {"meta"}


def test_record_survives_json(tmp_path):
    record = count_model(config_folder(tmp_path, "GPT2Config", n_layer=1))
    assert json.loads(json.dumps(record)) == record
