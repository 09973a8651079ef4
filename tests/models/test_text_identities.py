"""Text models are those of other people's code with the same weights: BERT, RoBERTa, GPT-2, torch's Transformer."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaConfig,
    RobertaModel,
)

from minform_cli.config.schema import ModelConfig
from minform_cli.data.spec import TextSpec
from minform_cli.models.build import build_counted
from minform_cli.models.stack import TextEncoder
from tests.models.test_identities import EXACT, randomise
from tests.zoo import PAIRS, SIZES, build, run_config

LONG = TextSpec(name="words", title="words", source="made here", vocab_size=11, seq_len=7)
PADDING = 1
"""What stands in padded places: RoBERTa's own, which numbers its positions by it."""


def text_model(**settings: object) -> ModelConfig:
    return ModelConfig.model_validate(SIZES | {"heads": 3, "bias": "all"} | settings)


def sentences(length: int = 7) -> Tensor:
    """Tokens of three sentences, none of them padding."""
    return torch.randint(2, 11, (3, length), generator=torch.Generator().manual_seed(8))


def padded() -> tuple[Tensor, Tensor]:
    """Tokens of three sentences of 7, 4 and 2, and which of them are real."""
    real = torch.arange(7) < torch.tensor([[7], [4], [2]])
    return torch.where(real, sentences(), PADDING), real


def load(ours: nn.Module, theirs: Iterable[tuple[str, Tensor]], rules: Mapping[str, str]) -> None:
    """Fills every tensor of `ours`, and uses every one of `theirs`: patterns of their names -> ours."""
    found: dict[str, Tensor] = {}
    for name, tensor in theirs:
        for pattern, ours_name in rules.items():
            name = re.sub(pattern, ours_name, name)
        found[name] = tensor
    mine = dict(ours.named_parameters())
    assert found.keys() == mine.keys()
    with torch.no_grad():
        for name, parameter in mine.items():
            assert parameter.shape == found[name].shape, name
            parameter.copy_(found[name])


def last_states(model: nn.Module, *inputs: Tensor | None) -> tuple[Tensor, Tensor]:
    """What goes into the readout, and what comes out of it."""
    states: list[Tensor] = []
    with model.readout.register_forward_pre_hook(lambda _, given: states.append(given[0])):
        outputs = model(*inputs)
    return states[0], outputs


BERT = {
    r"^(bert|roberta)\.": "",
    r"^embeddings\.word_embeddings\.": "embedding.words.",
    r"^embeddings\.token_type_embeddings\.weight": "embedding.types",
    r"^embeddings\.position_embeddings\.weight": "embedding.positions.table",
    r"^embeddings\.LayerNorm": "embedding.norm",
    r"^encoder\.layer": "blocks",
    r"\.attention\.self\.query": ".attention.similarity.w_q",
    r"\.attention\.self\.key": ".attention.similarity.w_k",
    r"\.attention\.self\.value": ".attention.value.w_v",
    r"\.attention\.output\.dense": ".attention.value.w_o",
    r"\.attention\.output\.LayerNorm": ".attention_norm",
    r"\.intermediate\.dense": ".mlp.w_1",
    r"\.output\.dense": ".mlp.w_2",
    r"\.output\.LayerNorm": ".mlp_norm",
    r"^pooler\.dense": "readout.pooler",
    r"^cls\.predictions\.transform\.dense": "readout.head.dense",
    r"^cls\.predictions\.transform\.LayerNorm": "readout.head.norm",
    r"^cls\.predictions\.bias": "readout.head.output.bias",
}
BERT_SIZES = {
    "vocab_size": 11, "hidden_size": 12, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 24,
}  # fmt: skip


def bert_model(**settings: object) -> ModelConfig:
    embedding, norm = {"kind": "tokens", "types": 2, "norm": True}, {"kind": "post", "eps": 1e-12}
    fields = {"embedding": embedding, "norm": norm, "position": {"kind": "learned", "rows": 7}, "readout": "pooler"}
    return text_model(**fields | settings)


def bert_config() -> BertConfig:
    return BertConfig(**BERT_SIZES, max_position_embeddings=7, type_vocab_size=2)


def counted(model: ModelConfig) -> TextEncoder:
    """The model without its task's head."""
    built = build_counted(run_config(model), LONG).double().eval()
    assert isinstance(built, TextEncoder)
    return built


def test_baseline_text_encoder_with_pooler_equals_bert() -> None:
    theirs = randomise(BertModel(bert_config()))
    ours = counted(bert_model())
    load(ours, theirs.named_parameters(), BERT)
    tokens, real = padded()
    types = (torch.arange(7) >= 2).long().expand(3, 7)
    expected = theirs(input_ids=tokens, token_type_ids=types, attention_mask=real.long())
    states, pooled = last_states(ours, tokens, types, real)
    torch.testing.assert_close(states[real], expected.last_hidden_state[real], **EXACT)
    torch.testing.assert_close(pooled, expected.pooler_output, **EXACT)


def test_text_encoder_without_types_or_padding_equals_bert_without() -> None:
    theirs = randomise(BertModel(bert_config()))
    ours = counted(bert_model())
    load(ours, theirs.named_parameters(), BERT)
    for length in (1, 7):
        expected = theirs(input_ids=sentences(length))
        states, pooled = last_states(ours, sentences(length))
        torch.testing.assert_close(states, expected.last_hidden_state, **EXACT)
        torch.testing.assert_close(pooled, expected.pooler_output, **EXACT)


def test_masked_token_outputs_equal_those_of_bert() -> None:
    theirs = randomise(BertForMaskedLM(bert_config()))
    ours = build(bert_model(), spec=LONG)
    load(ours, theirs.named_parameters(), BERT)
    tokens, real = padded()
    types = (torch.arange(7) >= 2).long().expand(3, 7)
    expected = theirs(input_ids=tokens, token_type_ids=types, attention_mask=real.long()).logits
    places = real.flatten().nonzero().squeeze(1)
    torch.testing.assert_close(ours(tokens, types, real, places), expected.flatten(0, 1)[places], **EXACT)


def test_text_encoder_whose_positions_begin_later_equals_roberta() -> None:
    config = RobertaConfig(**BERT_SIZES, max_position_embeddings=9, type_vocab_size=1, pad_token_id=PADDING)
    theirs = randomise(RobertaModel(config))
    ours = counted(
        bert_model(
            embedding={"kind": "tokens", "types": 1, "norm": True},
            position={"kind": "learned", "rows": 9, "unused": 2},
            norm={"kind": "post", "eps": config.layer_norm_eps},
        )
    )
    load(ours, theirs.named_parameters(), BERT)
    tokens, real = padded()
    expected = theirs(input_ids=tokens, attention_mask=real.long())
    states, pooled = last_states(ours, tokens, None, real)
    torch.testing.assert_close(states[real], expected.last_hidden_state[real], **EXACT)
    torch.testing.assert_close(pooled, expected.pooler_output, **EXACT)


GPT2 = {
    r"^transformer\.": "",
    r"^wte\.": "embedding.words.",
    r"^wpe\.weight": "embedding.positions.table",
    r"^h\.": "blocks.",
    r"\.ln_1\.": ".attention_norm.",
    r"\.ln_2\.": ".mlp_norm.",
    r"\.attn\.c_proj": ".attention.value.w_o",
    r"\.mlp\.c_fc": ".mlp.w_1",
    r"\.mlp\.c_proj": ".mlp.w_2",
    r"^ln_f\.": "final_norm.",
}


def gpt2_tensors(theirs: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """GPT-2 keeps its maps transposed, and Q, K and V in one."""
    for name, tensor in theirs.named_parameters():
        turned = tensor.T if re.search(r"c_(attn|proj|fc)\.weight", name) else tensor
        if "attn.c_attn" in name:
            places = ("attention.similarity.w_q", "attention.similarity.w_k", "attention.value.w_v")
            for place, part in zip(places, turned.chunk(3), strict=True):
                yield name.replace("attn.c_attn", place), part
        else:
            yield name, turned


@pytest.mark.parametrize(("mlp", "activation"), [("gelu", "gelu"), ("gelu-tanh", "gelu_new")])
def test_causal_encoder_with_norms_first_equals_gpt2(mlp: str, activation: str) -> None:
    config = GPT2Config(
        vocab_size=11, n_embd=12, n_layer=3, n_head=3, n_inner=24, n_positions=7, activation_function=activation
    )
    theirs = randomise(GPT2LMHeadModel(config))
    ours = build(
        text_model(
            embedding="tokens", position={"kind": "learned", "rows": 7}, mask="causal", readout="tokens", mlp=mlp
        ),
        spec=LONG,
    )
    load(ours, gpt2_tensors(theirs), GPT2)
    for length in (1, 7):
        tokens = sentences(length)
        torch.testing.assert_close(ours(tokens), theirs(input_ids=tokens).logits.flatten(0, 1), **EXACT)
    tokens, real = padded()
    expected = theirs(input_ids=tokens, attention_mask=real.long()).logits[real]
    torch.testing.assert_close(ours(tokens, None, real)[real.flatten()], expected, **EXACT)


def torch_transformer(norm: str, activation: str) -> nn.Transformer:
    """With the norms behind its stacks only where blocks have theirs first; no shortcut for padding."""
    pre = norm == "pre"
    layer = {"dim_feedforward": 24, "dropout": 0.0, "activation": activation, "batch_first": True, "norm_first": pre}
    last = [nn.LayerNorm(12) if pre else None for _ in range(2)]
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(12, 3, **layer), 3, last[0], enable_nested_tensor=False)
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(12, 3, **layer), 2, last[1])
    return nn.Transformer(12, 3, custom_encoder=encoder, custom_decoder=decoder, batch_first=True)


TRANSFORMER = {
    r"^encoder\.layers": "blocks",
    r"^decoder\.layers": "decoder_blocks",
    r"^encoder\.norm": "final_norm",
    r"^decoder\.norm": "decoder_norm",
    r"\.self_attn": ".attention",
    r"\.multihead_attn": ".cross",
    r"\.out_proj": ".value.w_o",
    r"\.linear(\d)": r".mlp.w_\1",
    r"\.norm1": ".attention_norm",
    r"(^blocks\.\d+)\.norm2": r"\1.mlp_norm",
    r"\.norm2": ".cross_norm",
    r"\.norm3": ".mlp_norm",
}


def transformer_tensors(theirs: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """torch keeps Q, K and V in one map."""
    for name, tensor in theirs.named_parameters():
        if "in_proj_" in name:
            for place, part in zip(("similarity.w_q.", "similarity.w_k.", "value.w_v."), tensor.chunk(3), strict=True):
                yield name.replace("in_proj_", place), part
        else:
            yield name, tensor


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_encoder_decoder_equals_torch_transformer_between_embedding_and_output(
    activation: str, norm: str, tied: bool
) -> None:
    theirs = randomise(torch_transformer(norm, activation))
    words, target_words, output = (torch.randn(11, 12, dtype=torch.float64) for _ in range(3))
    bias = torch.randn(11, dtype=torch.float64)
    own = {"decoder_embedding.words.weight": target_words, "readout.head.weight": output, "readout.head.bias": bias}
    if tied:
        target_words, output, bias, own = words, words, torch.zeros_like(bias), {}
    ours = build(
        text_model(
            embedding={"kind": "tokens", "scale": True, "tied": tied}, position="sinusoidal", readout="tokens",
            mlp=activation, norm=norm, decoder_depth=2,
        ),
        spec=PAIRS,
    )  # fmt: skip
    load(ours, [*transformer_tensors(theirs), ("embedding.words.weight", words), *own.items()], TRANSFORMER)

    source, target = sentences(5), sentences(4)
    real = torch.arange(5) < torch.tensor([[5], [3], [1]])
    positions = ours.embedding.positions.table  # whose numbers the next test compares

    def embedded(table: Tensor, tokens: Tensor) -> Tensor:
        return table[tokens] * math.sqrt(12) + positions[: tokens.shape[1]]

    future = nn.Transformer.generate_square_subsequent_mask(4, dtype=torch.float64)
    states = theirs(
        embedded(words, source),
        embedded(target_words, target),
        tgt_mask=future,
        src_key_padding_mask=~real,
        memory_key_padding_mask=~real,
    )
    torch.testing.assert_close(ours(source, target, real), (states @ output.T + bias).flatten(0, 1), **EXACT)
    unpadded = theirs(embedded(words, source), embedded(target_words, target), tgt_mask=future)
    torch.testing.assert_close(ours(source, target), (unpadded @ output.T + bias).flatten(0, 1), **EXACT)


@pytest.mark.parametrize("dim", [2, 12])
def test_sinusoidal_positions_are_the_sines_and_cosines_of_the_paper(dim: int) -> None:
    """arXiv 1706.03762, section 3.5, with the sines in the first half of the columns."""
    spec = TextSpec(name="words", title="words", source="made here", vocab_size=11, seq_len=256)
    model = text_model(embedding="tokens", position="sinusoidal", readout="tokens", mask="causal", dim=dim, heads=1)
    table = build(model, spec=spec).embedding.positions.table
    expected = torch.zeros(256, dim, dtype=torch.float64)
    for t, i in itertools.product(range(256), range(dim // 2)):
        angle = t / 10_000 ** (2 * i / dim)
        expected[t, i], expected[t, dim // 2 + i] = math.sin(angle), math.cos(angle)
    # The table is made in float32, where an angle below 256 is off by up to 256 / 2^24 a rounding.
    torch.testing.assert_close(table, expected, atol=1e-4, rtol=0)
