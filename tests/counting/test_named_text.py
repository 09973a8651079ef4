"""Presets of known text models have the parameters of the libraries that build them, group by group."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaModel,
)

from minform_cli.config.names import preset_names
from minform_cli.config.presets import resolve
from minform_cli.config.schema import RunConfig
from minform_cli.counting.count import count_config
from minform_cli.counting.records import CountRecord
from minform_cli.data.spec import TextSpec, spec_for
from tests.counting.test_named import by_name

BERT_GROUPS = {
    "LayerNorm": "norm", "embeddings": "embedding", "query": "query_key", "key": "query_key", "value": "value_output",
    "attention.output": "value_output", "intermediate": "mlp", "output.dense": "mlp", "pooler": "head",
}  # fmt: skip
GPT2_GROUPS = {
    "wte": "embedding", "wpe": "embedding", "ln_": "norm", "attn.c_proj": "value_output", "mlp": "mlp",
    "lm_head": "head",
}  # fmt: skip
TRANSFORMER_GROUPS = {
    "words": "embedding", "out_proj": "value_output", "linear": "mlp", "norm": "norm", "output": "head",
}  # fmt: skip


def bert_sizes(config: RunConfig, spec: TextSpec) -> dict[str, object]:
    model = config.model
    return {
        "vocab_size": spec.vocab_size,
        "hidden_size": model.dim,
        "num_hidden_layers": model.depth,
        "num_attention_heads": model.heads,
        "intermediate_size": model.mlp_dim,
        "max_position_embeddings": model.position.rows or spec.seq_len,
        "type_vocab_size": model.embedding.types,
    }


def bert(config: RunConfig, spec: TextSpec) -> nn.Module:
    return BertModel(BertConfig(**bert_sizes(config, spec)), add_pooling_layer=config.model.readout.kind == "pooler")


def roberta(config: RunConfig, spec: TextSpec) -> nn.Module:
    return RobertaModel(RobertaConfig(**bert_sizes(config, spec)), add_pooling_layer=True)


def gpt2(config: RunConfig, spec: TextSpec) -> nn.Module:
    model = config.model
    sizes = {"n_embd": model.dim, "n_layer": model.depth, "n_head": model.heads, "n_inner": model.mlp_dim}
    return GPT2LMHeadModel(GPT2Config(vocab_size=spec.vocab_size, n_positions=model.position.rows, **sizes))


class Transformer(nn.Module):
    """`torch.nn.Transformer` without the norms that it puts behind its stacks, between embedding and output."""

    def __init__(self, config: RunConfig, spec: TextSpec) -> None:
        super().__init__()
        model = config.model
        layer = {"dim_feedforward": model.mlp_dim, "activation": "relu", "batch_first": True}
        encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(model.dim, model.heads, **layer), model.depth, norm=None
        )
        decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(model.dim, model.heads, **layer), model.decoder_depth, norm=None
        )
        self.body = nn.Transformer(
            model.dim, model.heads, custom_encoder=encoder, custom_decoder=decoder, batch_first=True
        )
        self.words = nn.Embedding(spec.vocab_size, model.dim)
        if not model.embedding.tied:
            self.target_words = nn.Embedding(spec.vocab_size, model.dim)
            self.output = nn.Linear(model.dim, spec.vocab_size)


Library = Callable[[RunConfig, TextSpec], nn.Module]

BERT = (bert, BERT_GROUPS, "(no fused map)")

LIBRARIES: dict[str, tuple[Library, dict[str, str], str]] = {
    "bert-*": BERT,
    "glue-*": BERT,
    "pydoc-*": BERT,
    "roberta-*": (roberta, BERT_GROUPS, "(no fused map)"),
    "gpt2*": (gpt2, GPT2_GROUPS, "c_attn"),
    "transformer-*": (Transformer, TRANSFORMER_GROUPS, "in_proj"),
    "wmt-*": (Transformer, TRANSFORMER_GROUPS, "in_proj"),
    "multi30k*": (Transformer, TRANSFORMER_GROUPS, "in_proj"),
}
"""Presets by name: who builds the model, which group a tensor is of, the name of Q, K and V in one tensor."""

# Published sizes and totals: width, blocks, heads, numbers. arXiv 1810.04805, section 3; arXiv 1908.08962
# (tiny to small, in millions 4.4, 11.3, 29.1 with the head); arXiv 1907.11692, section 3;
# GPT-2 (2019), table 2 (its counts were corrected in the published code); arXiv 1706.03762, table 3 (65 million).
PUBLISHED = {
    "bert-base": (768, 12, 12, 109_482_240),
    "bert-large": (1024, 24, 16, 335_141_888),
    "bert-tiny": (128, 2, 2, 4_385_920),
    "bert-mini": (256, 4, 4, 11_170_560),
    "bert-small": (512, 4, 8, 28_763_648),
    "roberta-base": (768, 12, 12, 124_645_632),
    "roberta-large": (1024, 24, 16, 355_359_744),
    "gpt2": (768, 12, 12, 124_439_808),
    "gpt2-medium": (1024, 24, 16, 354_823_168),
    "gpt2-large": (1280, 36, 20, 774_030_080),
    "gpt2-xl": (1600, 48, 25, 1_557_611_200),
    "transformer-base": (512, 6, 8, 63_082_496),
}


def text_presets() -> list[str]:
    return [name for name in preset_names() if resolve(name).config.model.embedding.kind == "tokens"]


def counted(preset: str, variant: str = "baseline", *settings: str) -> CountRecord:
    config = resolve(preset, variant, list(settings)).config
    return count_config(config, spec_for(config))


def built_by_its_library(preset: str, *settings: str) -> tuple[nn.Module, dict[str, int]]:
    """The library's model on the meta device, and its numbers by group."""
    config = resolve(preset, settings=list(settings)).config
    spec = spec_for(config)
    assert isinstance(spec, TextSpec)
    build, rules, fused = next(entry for pattern, entry in LIBRARIES.items() if fnmatchcase(preset, pattern))
    with torch.device("meta"):
        model = build(config, spec)
    return model, by_name(model, rules, fused)


def numbers(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("preset", text_presets())
def test_every_text_preset_is_in_the_table_of_libraries(preset: str) -> None:
    assert [pattern for pattern in LIBRARIES if fnmatchcase(preset, pattern)], "no library builds this preset"


def test_every_published_model_is_here() -> None:
    assert set(PUBLISHED) <= set(text_presets())


@pytest.mark.parametrize("preset", text_presets())
def test_text_presets_have_the_groups_of_the_library_that_builds_them(preset: str) -> None:
    model, groups = built_by_its_library(preset)
    count = counted(preset)
    assert count["groups"] == groups
    assert count["parameters"] == numbers(model)


@pytest.mark.parametrize("preset", PUBLISHED)
def test_text_presets_have_the_published_sizes_and_totals(preset: str) -> None:
    model = resolve(preset).config.model
    dim, depth, heads, total = PUBLISHED[preset]
    assert (model.dim, model.depth, model.heads, model.mlp_dim) == (dim, depth, heads, 4 * dim)
    assert model.decoder_depth == (depth if preset == "transformer-base" else 0)
    assert counted(preset)["parameters"] == total


def test_the_smallest_of_each_family_are_the_libraries_own_defaults() -> None:
    """Sizes that no count shows (heads, lengths, eps) are those that the library itself has for the name."""
    for preset, theirs in (("bert-base", BertConfig()), ("gpt2", GPT2Config())):
        config = resolve(preset).config
        model = config.model
        assert (model.dim, model.depth, model.heads) == (
            theirs.hidden_size,
            theirs.num_hidden_layers,
            theirs.num_attention_heads,
        )
        assert config.data.vocab_size == theirs.vocab_size
        assert config.data.seq_len == model.position.rows == theirs.max_position_embeddings
        eps = theirs.layer_norm_eps if preset == "bert-base" else theirs.layer_norm_epsilon
        assert model.norm.eps == eps


# papers.md, section 2: separate / pairwise / symmetric, with biases, with pooler, without the language model's head.
SIMILARITIES = [
    ("roberta-base", "baseline", 124_645_632),
    ("roberta-base", "symmetric-pairwise", 118_148_352),
    ("roberta-base", "symmetric", 117_558_528),
    ("bert-base", "baseline", 109_482_240),
    ("bert-base", "symmetric-pairwise", 102_984_960),
    ("bert-base", "symmetric", 102_395_136),
]


@pytest.mark.parametrize(("preset", "variant", "published"), SIMILARITIES)
def test_symmetric_attention_has_the_parameters_of_its_paper(preset: str, variant: str, published: int) -> None:
    assert counted(preset, variant)["parameters"] == published


def test_symmetric_bert_saves_the_shares_that_its_paper_says() -> None:
    saved = [
        round(100 * (1 - counted("bert-base", v)["share_of_baseline"]), 2) for v in ("symmetric-pairwise", "symmetric")
    ]
    assert saved == [5.93, 6.47]


@pytest.mark.parametrize(("tied", "published"), [("true", 60_522_496), ("false", 93_322_496)])
def test_the_transformer_that_anthe_is_measured_against_has_its_parameters(tied: str, published: int) -> None:
    """papers.md, section 3: d 512, d_ff 2048, 6 + 6 blocks, vocabulary 32,000."""
    settings = ("data.vocab_size=32000", f"model.embedding={{kind: tokens, scale: true, tied: {tied}}}")
    model, groups = built_by_its_library("transformer-base", *settings)
    count = counted("transformer-base", "baseline", *settings)
    assert count["parameters"] == numbers(model) == published
    assert count["groups"] == groups


def test_an_untied_language_model_counts_its_output_as_head_with_a_bias() -> None:
    tied, untied = counted("gpt2"), counted("gpt2", "baseline", "model.embedding={kind: tokens, tied: false}")
    assert tied["groups"]["head"] == 0
    assert untied["groups"]["head"] == 768 * 50_257 + 50_257
    assert {**untied["groups"], "head": 0} == tied["groups"]


@pytest.mark.parametrize(
    ("preset", "library"),
    [("bert-base", BertForMaskedLM), ("bert-large", BertForMaskedLM), ("roberta-base", RobertaForMaskedLM)],
)
def test_the_masked_token_head_told_apart_is_that_of_the_library(preset: str, library: type[nn.Module]) -> None:
    config = resolve(preset).config
    spec = spec_for(config)
    sizes = bert_sizes(config, spec)
    with torch.device("meta"):
        whole = library((BertConfig if library is BertForMaskedLM else RobertaConfig)(**sizes))
    body = whole.bert if library is BertForMaskedLM else whole.roberta
    count = counted(preset)
    assert count["task_head_parameters"] == numbers(whole) - numbers(body)
    dim = config.model.dim
    assert count["parameters"] == numbers(body) + dim**2 + dim  # and the pooler, which that library model leaves out


@pytest.mark.parametrize("preset", text_presets())
def test_heads_are_told_apart_only_where_models_are_published_without(preset: str) -> None:
    count = counted(preset)
    assert (count["task_head_parameters"] > 0) == (preset.startswith(("bert-", "roberta-", "glue-", "pydoc-")))


@pytest.mark.parametrize(("preset", "labels"), [("glue-sst2", 2), ("glue-mnli", 3), ("glue-stsb", 1)])
def test_the_sentence_head_told_apart_is_that_of_the_library(preset: str, labels: int) -> None:
    config = resolve(preset).config
    with torch.device("meta"):
        whole = BertForSequenceClassification(BertConfig(**bert_sizes(config, spec_for(config)), num_labels=labels))
    assert counted(preset)["task_head_parameters"] == numbers(whole) - numbers(whole.bert)


def test_dead_numbers_of_roberta_are_two_positions_and_the_key_biases() -> None:
    for preset, dim, depth in (("roberta-base", 768, 12), ("roberta-large", 1024, 24)):
        dead = counted(preset)["dead_parameters"]
        assert dead == {"embedding.positions.table, first rows": 2 * dim, "similarity.w_k.bias": depth * dim}
    assert counted("bert-base")["dead_parameters"] == {"similarity.w_k.bias": 12 * 768}
    assert counted("roberta-base", "symmetric")["dead_parameters"] == {"embedding.positions.table, first rows": 2 * 768}


def test_dead_key_biases_of_a_decoder_are_those_of_both_its_attentions() -> None:
    dead = counted("transformer-base")["dead_parameters"]
    assert dead == {"similarity.w_k.bias": (6 + 2 * 6) * 512}


@pytest.mark.parametrize("preset", text_presets())
def test_dead_numbers_are_said_in_the_notes(preset: str) -> None:
    count = counted(preset)
    for path, dead in count["dead_parameters"].items():
        assert any(f"{dead:,} dead numbers in {path}" in note for note in count["notes"])
