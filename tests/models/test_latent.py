"""Latent keys and values: the formula head by head, counts, what comes out of separate maps, what is kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from minform_cli.config.axes import AXES
from minform_cli.config.presets import resolve
from minform_cli.config.schema import ModelConfig
from minform_cli.counting.count import count_config
from minform_cli.data.spec import spec_for
from minform_cli.decoding.cache import CachedDecoder
from minform_cli.errors import InputError
from minform_cli.models.parts.attention import Attention
from tests.zoo import SIZES, build

EXACT = {"atol": 1e-9, "rtol": 1e-9}
N, HEADS, WIDE = 12, 3, 5


def attention(**parts: object) -> Any:
    fields = SIZES | {"heads": HEADS, "bias": "all"} | parts
    model = ModelConfig.model_validate({k: AXES[k].parse(v) if k in AXES else v for k, v in fields.items()})
    torch.manual_seed(4)
    made = Attention(model).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5)
    return made


def latent(**options: object) -> dict[str, object]:
    return {"similarity": {"kind": "latent", "width": WIDE, **options}, "value": "latent"}


def tokens(count: int = 7, seed: int = 1) -> Tensor:
    return torch.randn(2, count, N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("queries", [None, 4])
@pytest.mark.parametrize("across", [False, True])
def test_every_head_does_what_the_paper_says(queries: int | None, across: bool) -> None:
    """Keys and values are made of the latent, head by head, and attended to as ever."""
    part, x = attention(**latent(queries=queries)), tokens()
    y = tokens(4, seed=2) if across else x
    similarity, value = part.similarity, part.value
    c = y @ similarity.w_dkv.weight.T
    asking = x if queries is None else x @ similarity.w_dq.weight.T
    q, k, v = asking @ similarity.w_q.weight.T + similarity.w_q.bias, c @ similarity.w_uk, c @ value.w_uv
    heads = []
    for head in range(HEADS):
        own = slice(head * N // HEADS, (head + 1) * N // HEADS)
        weights = (q[..., own] @ k[..., own].mT / (N / HEADS) ** 0.5).softmax(-1)
        heads.append(weights @ v[..., own])
    expected = torch.cat(heads, -1) @ value.w_o.weight.T + value.w_o.bias
    torch.testing.assert_close(part(x, y if across else None), expected, **EXACT)
    kept = part.keep(y)
    assert kept.keys is kept.values and kept.keys.shape == (2, 1, y.shape[1], WIDE)


def test_what_reads_few_directions_of_a_token_is_taken_over_exactly() -> None:
    separate = attention()
    directions = torch.randn(N, WIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(8))
    with torch.no_grad():
        for part in (separate.similarity.w_k, separate.value.w_v):
            part.weight.copy_((directions @ torch.randn(WIDE, N, dtype=torch.float64)).T)
    made = attention(**latent())
    made.from_separate(separate)
    torch.testing.assert_close(made(tokens()), separate(tokens()), **EXACT)
    back = attention()
    made.similarity.as_separate(back.similarity)
    made.value.as_separate(back.value, made.similarity)
    torch.testing.assert_close(back(tokens()), made(tokens()), **EXACT)
    narrow = attention(**latent(width=WIDE - 1))
    narrow.from_separate(separate)
    assert float((narrow(tokens()) - separate(tokens())).detach().norm()) > 0.1


def test_at_full_width_nothing_is_lost() -> None:
    """Of keys alone N columns suffice; queries through all of theirs."""
    separate, made = attention(), attention(similarity={"kind": "latent", "width": N, "queries": N})
    made.from_separate(separate)
    torch.testing.assert_close(made(tokens()), separate(tokens()), **EXACT)
    with pytest.raises(InputError, match="Latent has no weights from Latent"):
        attention(**latent(width=WIDE + 1)).value.from_separate(attention(**latent()).value)


@pytest.mark.parametrize(("width", "queries"), [(0.25, None), (96, 0.5)])
def test_counts_are_those_of_the_formula(width: float, queries: float | None) -> None:
    options = f"{{kind: latent, width: {width}" + (f", queries: {queries}}}" if queries else "}")
    config = resolve("bert-base", settings=[f"model.similarity={options}", "model.value=latent"]).config
    groups, n = count_config(config, spec_for(config))["groups"], 768
    c, asked = round(width * n) if width < 1 else int(width), n * n
    if queries:
        asked = 2 * n * round(queries * n)
    assert groups["query_key"] == 12 * (asked + n + 2 * n * c)
    assert groups["value_output"] == 12 * (n * c + n * n + n)


def test_generation_keeps_the_latent_alone() -> None:
    parts = {"readout": "tokens", "embedding": "tokens", "decoder_depth": 2, **latent()}
    model = ModelConfig.model_validate(
        SIZES | {"heads": HEADS} | {k: AXES[k].parse(v) if k in AXES else v for k, v in parts.items()}
    )
    decoder = CachedDecoder(build(model))
    source = torch.randint(11, (2, 4), generator=torch.Generator().manual_seed(3))
    decoder.start(source)
    assert decoder.held_numbers == 2 * 2 * 4 * WIDE  # blocks, sentences, tokens of the source
    decoder.step(torch.tensor([1, 2]))
    assert decoder.held_numbers == 2 * 2 * (4 + 1) * WIDE


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            ["model.similarity={kind: latent, queries: 99}"],
            "'latent' has queries 99, above model.dim 64; accepted: 1 to 64",
        ),
        (["model.similarity={kind: latent, width: 65}"], "'latent' has width 65, above model.dim 64"),
        (["model.similarity={kind: latent, width: 0}"], "0: expected a whole number from 1 on, or a share below 1"),
        (["model.similarity={kind: latent, width: null}"], "None: expected a whole number from 1 on"),
        (["model.value=latent"], "model.value 'latent' does not go with model.similarity 'separate'"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(settings: list[str], said: str) -> None:
    with pytest.raises(InputError) as refused:
        resolve("mnist", settings=settings)
    assert said in str(refused.value) and "\n" not in str(refused.value)
