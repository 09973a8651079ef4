"""The same weights in `transformers` give the same outputs, and its search the same translations and scores.

Its length counts what was generated with the end and without the start token, as ours does. ``early_stopping="never"``
is its exact stopping: until the best that lives, over the most tokens where the penalty is positive, is no better than
the worst that ended. It compares float32 log-probabilities, whatever its model is in; a processor gives it float64
ones, computed by its own model from nothing, so that both searches see the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    LogitsProcessor,
    LogitsProcessorList,
    MarianConfig,
    MarianMTModel,
)

from minform_cli.config.schema import ModelConfig
from minform_cli.data.spec import PairSpec
from minform_cli.decoding import Beams, CachedDecoder, beam_search, greedy
from minform_cli.models.stack import EncoderDecoder
from tests.models.test_text_identities import load
from tests.zoo import build

PAD, START, END, VOCAB, MOST = 0, 2, 3, 20, 12
BANNED = (PAD, START, 4)
SPEC = PairSpec(name="pairs", title="pairs", source="made here", vocab_size=VOCAB, seq_len=MOST)
EXACT = {"atol": 1e-10, "rtol": 1e-10}  # float64: sums of up to a dozen log-probabilities of this size

SIZES = {
    "vocab_size": VOCAB, "d_model": 12, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 3,
    "decoder_attention_heads": 3, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "max_position_embeddings": MOST,
    "pad_token_id": PAD, "bos_token_id": START, "eos_token_id": END, "decoder_start_token_id": START,
    "forced_eos_token_id": None, "scale_embedding": True, "dropout": 0.0, "attention_dropout": 0.0,
}  # fmt: skip
FIELDS: dict[str, object] = {
    "dim": 12, "depth": 2, "decoder_depth": 2, "heads": 3, "mlp_multiple": 2, "norm": "post", "bias": "all",
    "readout": "tokens",
}  # fmt: skip
NAMES = {
    r"^model\.shared\.": "embedding.words.",
    r"^model\.encoder\.embed_positions\.weight": "embedding.positions.table",
    r"^model\.decoder\.embed_positions\.weight": "decoder_embedding.positions.table",
    r"^model\.encoder\.layernorm_embedding": "embedding.norm",
    r"^model\.decoder\.layernorm_embedding": "decoder_embedding.norm",
    r"^model\.encoder\.layers": "blocks",
    r"^model\.decoder\.layers": "decoder_blocks",
    r"\.self_attn_layer_norm": ".attention_norm",
    r"\.encoder_attn_layer_norm": ".cross_norm",
    r"\.final_layer_norm": ".mlp_norm",
    r"\.self_attn": ".attention",
    r"\.encoder_attn": ".cross",
    r"\.([qk])_proj": r".similarity.w_\1",
    r"\.v_proj": ".value.w_v",
    r"\.out_proj": ".value.w_o",
    r"\.fc([12])": r".mlp.w_\1",
}
Theirs = BartForConditionalGeneration | MarianMTModel


def bart() -> tuple[Theirs, dict[str, object]]:
    """Learned positions after two unused rows, and a norm over the embedding."""
    fields = {
        "embedding": {"kind": "tokens", "norm": True, "scale": True},
        "position": {"kind": "learned", "rows": MOST + 2, "unused": 2},
        "mlp": "gelu",
    }
    return BartForConditionalGeneration(BartConfig(**SIZES, activation_function="gelu")), fields


def marian() -> tuple[Theirs, dict[str, object]]:
    """Positions by sines."""
    fields = {"embedding": {"kind": "tokens", "scale": True}, "position": "sinusoidal", "mlp": "relu"}
    return MarianMTModel(MarianConfig(**SIZES, activation_function="relu")), fields


ENDING = 2.0
MADE = {"bart": bart, "marian": marian}


def both(kind: str, seed: int) -> tuple[Theirs, EncoderDecoder]:
    """One set of weights, large enough that outputs differ, in two implementations."""
    theirs, fields = MADE[kind]()
    theirs = theirs.double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if not parameter.requires_grad:  # Marian's sines
                continue
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(noise * 0.7 + (1 if "norm" in name and name.endswith("weight") else 0))
        # So that sentences end, some early and some late.
        last, words = theirs.model.decoder.layers[-1].final_layer_norm, theirs.model.shared.weight
        last.bias.copy_(ENDING * words[END] / words[END].norm())
    ours = build(ModelConfig.model_validate(FIELDS | fields), spec=SPEC)
    assert isinstance(ours, EncoderDecoder)
    load(ours, [(name, tensor) for name, tensor in theirs.named_parameters() if tensor.requires_grad], NAMES)
    if kind == "marian":  # their sines are made in float64 and kept in float32, ours made in float32
        for embedding, side in ((ours.embedding, theirs.model.encoder), (ours.decoder_embedding, theirs.model.decoder)):
            torch.testing.assert_close(embedding.positions.table, side.embed_positions.weight, atol=1e-5, rtol=0)
            embedding.positions.table.copy_(side.embed_positions.weight)
    return theirs, ours


def sources() -> tuple[Tensor, Tensor]:
    real = torch.arange(7) < torch.tensor([7, 4, 2, 7, 5]).unsqueeze(1)
    tokens = torch.randint(5, VOCAB, (5, 7), generator=torch.Generator().manual_seed(3))
    return torch.where(real, tokens, PAD), real


class InFloat64(LogitsProcessor):
    """Log-probabilities of what follows, by their model in float64 and without a cache."""

    def __init__(self, model: Theirs, source: Tensor, real: Tensor, beams: int) -> None:
        self.model = model
        self.source, self.real = (part.repeat_interleave(beams, 0) for part in (source, real.long()))

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        outputs = self.model(input_ids=self.source, attention_mask=self.real, decoder_input_ids=input_ids)
        found = outputs.logits[:, -1].log_softmax(1)
        # Their own numbers are these in float32.
        torch.testing.assert_close(scores, found.float(), atol=1e-4, rtol=1e-4)
        found[:, list(BANNED)] = -torch.inf
        return found


def generated(model: Theirs, source: Tensor, real: Tensor, beams: int, penalty: float):
    """Tokens of `beams` translations of every sentence, the best first, and their scores."""
    processor = InFloat64(model, source, real, beams)
    result = model.generate(
        input_ids=source, attention_mask=real.long(), num_beams=beams, num_return_sequences=beams, do_sample=False,
        length_penalty=penalty, early_stopping="never", max_new_tokens=MOST, return_dict_in_generate=True,
        output_scores=True, logits_processor=LogitsProcessorList([processor]), use_cache=True,
    )  # fmt: skip
    rows = [generated_tokens(row) for row in result.sequences.tolist()]
    return [rows[i : i + beams] for i in range(0, len(rows), beams)], result.sequences_scores.view(-1, beams)


def generated_tokens(row: Sequence[int]) -> tuple[int, ...]:
    """Between the start and the end, or what was cut."""
    assert row[0] == START
    return tuple(row[1 : row.index(END)] if END in row else row[1 : MOST + 1])


@pytest.mark.parametrize("kind", MADE)
def test_every_step_equals_theirs(kind: str) -> None:
    theirs, ours = both(kind, 0)
    source, real = sources()
    target = torch.randint(VOCAB, (5, MOST), generator=torch.Generator().manual_seed(4))
    decoder = CachedDecoder(ours)
    decoder.start(source, real)
    with torch.no_grad():
        expected = theirs(input_ids=source, attention_mask=real.long(), decoder_input_ids=target).logits
    for step in range(MOST):
        torch.testing.assert_close(decoder.step(target[:, step]), expected[:, step], **EXACT)


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0, 2.0, -0.5])
@pytest.mark.parametrize("kind", MADE)
def test_beam_search_finds_what_theirs_finds(kind: str, penalty: float) -> None:
    """All four translations of every sentence with their scores, of several models."""
    lengths: set[int] = set()
    for seed in range(6):
        theirs, ours = both(kind, seed)
        source, real = sources()
        sequences, scores = generated(theirs, source, real, 4, penalty)
        found = beam_search(ours, source, real, start=START, end=END, most=MOST, beams=Beams(4, penalty), banned=BANNED)
        assert [[one.tokens for one in hypotheses] for hypotheses in found] == sequences
        mine = torch.tensor([[one.score for one in hypotheses] for hypotheses in found], dtype=torch.float64)
        assert scores.dtype == torch.float64
        torch.testing.assert_close(mine, scores, **EXACT)
        lengths |= {len(one.tokens) for hypotheses in found for one in hypotheses if one.ended}
    assert len(lengths) >= 3, "too few lengths to tell one penalty from another"


@pytest.mark.parametrize("kind", MADE)
def test_greedy_search_finds_what_theirs_finds(kind: str) -> None:
    for seed in range(6):
        theirs, ours = both(kind, seed)
        source, real = sources()
        sequences = theirs.generate(
            input_ids=source, attention_mask=real.long(), num_beams=1, do_sample=False, max_new_tokens=MOST,
            suppress_tokens=list(BANNED),
        )  # fmt: skip
        found = greedy(ours, source, real, start=START, end=END, most=MOST, banned=BANNED)
        assert [one.tokens for one in found] == [generated_tokens(row) for row in sequences.tolist()]
