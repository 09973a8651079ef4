"""Word vectors of E columns and the map that widens them: sizes, the tied output, weights out of whole vectors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from minform_cli.config.presets import resolve
from minform_cli.data.spec import PairSpec, TextSpec
from minform_cli.errors import InputError
from minform_cli.models.parts.embedding.tokens import TokenEmbedding
from minform_cli.models.stack import EncoderDecoder, TextEncoder
from minform_cli.tasks.masked_tokens import MaskedTokenHead
from minform_cli.tasks.vocabulary import VocabularyMap
from tests.zoo import build, model_with

V, N, E = 30, 16, 6
TEXT = TextSpec(name="t", title="t", source="made here", vocab_size=V, seq_len=5)
PAIRS = PairSpec(name="p", title="p", source="made here", vocab_size=V, seq_len=5)
BERT = {"embedding": {"kind": "tokens", "types": 2, "norm": True}, "norm": "post", "readout": "tokens", "dim": N}


def embedding(width: float | None, seed: int = 0, **options: object) -> TokenEmbedding:
    torch.manual_seed(seed)
    model = model_with("norm", "post", **BERT | {"embedding": {"kind": "tokens", **options}}, embedding_width=width)
    return TokenEmbedding(model, TEXT).double()


def test_it_stores_v_e_and_e_n() -> None:
    module = embedding(E)
    assert module.widen is not None
    assert (module.words.weight.numel(), module.widen.weight.numel()) == (V * E, E * N)
    assert embedding(0.25).words.weight.shape == (V, N // 4)
    assert embedding(0.01).words.weight.shape == (V, 1)
    assert embedding(None).words.weight.shape == (V, N)


def test_whole_vectors_become_the_nearest_of_their_rank() -> None:
    whole, narrow = embedding(None, seed=1), embedding(E)
    narrow.from_separate(whole)
    left, values, right = torch.linalg.svd(whole.words.weight.detach())
    nearest = left[:, :E] * values[:E] @ right[:E]
    torch.testing.assert_close(narrow.whole(), nearest, rtol=0, atol=1e-12)
    apart = torch.linalg.norm(narrow.whole() - whole.words.weight)
    torch.testing.assert_close(apart, values[E:].square().sum().sqrt(), rtol=1e-10, atol=0)


@pytest.mark.parametrize("scale", [False, True])
def test_of_full_rank_it_embeds_as_whole_vectors_do(scale: bool) -> None:
    whole, factors = embedding(None, seed=1, scale=scale, types=2, norm=True), embedding(
        N, scale=scale, types=2, norm=True
    )  # fmt: skip
    factors.from_separate(whole)
    tokens, types = torch.randint(V, (2, 5)), torch.randint(2, (2, 5))
    torch.testing.assert_close(factors(tokens, types), whole(tokens, types), rtol=0, atol=1e-10)
    back = embedding(None, scale=scale, types=2, norm=True)
    back.from_separate(factors)
    torch.testing.assert_close(back(tokens, types), whole(tokens, types), rtol=0, atol=1e-10)


def test_fewer_words_than_columns_leave_the_rest_at_zero() -> None:
    torch.manual_seed(0)
    few = TextSpec(name="t", title="t", source="made here", vocab_size=4, seq_len=5)
    made = {
        width: TokenEmbedding(model_with("norm", "post", **BERT, embedding_width=width), few).double()
        for width in (None, E)
    }
    made[E].from_separate(made[None])
    torch.testing.assert_close(made[E].whole(), made[None].words.weight, rtol=0, atol=1e-12)


def test_a_tied_output_reads_as_many_columns_as_are_stored() -> None:
    model = build(model_with("mask", "causal", **BERT | {"embedding": "tokens"}, embedding_width=E), 0, TEXT)
    assert isinstance(model, TextEncoder)
    head = model.readout.head
    assert isinstance(head, VocabularyMap) and head.narrow is not None and head.weight is None
    x = torch.randn(3, N, dtype=torch.float64)
    table = model.embedding.words.weight
    torch.testing.assert_close(head(x, model.embedding.table), x @ head.narrow.weight.T @ table.T)
    tokens = torch.randint(V, (2, 5))
    model(tokens).logsumexp(-1).sum().backward()
    assert table.grad is not None and bool((table.grad.abs().sum(1) > 0).all())  # words that are not read are output


def test_source_and_target_share_the_stored_columns_and_widen_them_apart() -> None:
    model = build(model_with("norm", "post", **BERT, decoder_depth=2, embedding_width=E), 0, PAIRS)
    assert isinstance(model, EncoderDecoder)
    source, target = model.embedding, model.decoder_embedding
    assert isinstance(source, TokenEmbedding) and isinstance(target, TokenEmbedding)
    assert source.words is target.words and source.widen is not target.widen


def test_the_head_of_hidden_tokens_is_alberts() -> None:
    albert = pytest.importorskip("transformers.models.albert.modeling_albert")
    config = albert.AlbertConfig(vocab_size=V, embedding_size=E, hidden_size=N, hidden_act="gelu")
    theirs = albert.AlbertMLMHead(config).double().eval()
    torch.manual_seed(0)
    head = MaskedTokenHead(model_with("norm", "post", **BERT, embedding_width=E), TEXT).double()
    table = torch.randn(V, E, dtype=torch.float64)
    with torch.no_grad():
        theirs.dense.load_state_dict(head.dense.state_dict())
        theirs.LayerNorm.load_state_dict(head.norm.state_dict())
        theirs.decoder.weight.copy_(table)
        nn.init.normal_(head.output.bias)
        theirs.decoder.bias.copy_(head.output.bias)
    head.norm.eps = theirs.LayerNorm.eps
    x = torch.randn(4, N, dtype=torch.float64)
    torch.testing.assert_close(head(x, table), theirs(x), rtol=0, atol=1e-12)


def test_an_output_tied_to_whole_vectors_gives_none_of_fewer_columns() -> None:
    models = [
        build(model_with("mask", "causal", **BERT | {"embedding": "tokens"}, embedding_width=width), 0, TEXT)
        for width in (None, E)
    ]
    with pytest.raises(InputError, match="the head has no weights from VocabularyMap: it is of another size"):
        models[1].from_separate(models[0])


@pytest.mark.parametrize(
    ("preset", "width", "message"),
    [
        ("digits", "8", "model.embedding_width has no meaning with model.embedding 'patches'"),
        (
            "bert-tiny",
            "129",
            "model.embedding_width 129 is above model.dim 128; accepted: 1 to 128, or a share below 1",
        ),
        ("bert-tiny", "1.0", "1.0: expected a whole number from 1 on, or a share below 1"),
        ("bert-tiny", "0", "0: expected a whole number from 1 on, or a share below 1"),
        ("bert-tiny", "true", "True: expected a whole number from 1 on, or a share below 1"),
    ],
)
def test_other_widths_are_refused(preset: str, width: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        resolve(preset, settings=[f"model.embedding_width={width}"])
    assert message in str(refused.value)
