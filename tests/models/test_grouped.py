"""Groups of heads with one key and one value each: the separate ones with columns repeated, held once, counted so."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from minform_cli.config import legality
from minform_cli.config.presets import resolve
from minform_cli.config.schema import ModelConfig
from minform_cli.counting.cost import cached_numbers
from minform_cli.counting.count import count_config
from minform_cli.counting.form import counted_form
from minform_cli.data.spec import spec_for
from minform_cli.decoding.cache import CachedDecoder
from minform_cli.errors import InputError
from minform_cli.models.parts.attention import Attention
from minform_cli.models.stack import EncoderDecoder
from minform_cli.models.verify import verify
from tests.decoding.translators import FIELDS, pairs, sources
from tests.models.test_cross_attention import asked, asking, seen
from tests.models.test_identities import EXACT, attention, randomise
from tests.zoo import PAIRS, SIZES, build, run_config, spec_of

GROUPS = [1, 2, 4]
"""Of four heads of three columns."""


def grouped(keys: float, values: float | None = None, **settings: object) -> Attention:
    parts = {"similarity": keys, "value": keys if values is None else values}
    made = {axis: {"kind": "grouped", "groups": groups} for axis, groups in parts.items()}
    return attention(**{"heads": 4, "bias": "all"} | made | settings)


@pytest.mark.parametrize("values", GROUPS)
@pytest.mark.parametrize("keys", GROUPS)
def test_heads_of_a_group_have_the_keys_and_values_of_their_group(keys: int, values: int) -> None:
    part = randomise(grouped(keys, values))
    x, y = asking(), asked()

    def by_group(made: Tensor, groups: int, head: int) -> Tensor:
        group = head // (4 // groups)
        return made[..., 3 * group : 3 * group + 3]

    heads = []
    for head in range(4):
        q = by_group(part.similarity.w_q(x), 4, head)
        scores = q @ by_group(part.similarity.w_k(y), keys, head).mT / 3**0.5
        heads.append(scores.softmax(-1) @ by_group(part.value.w_v(y), values, head))
    torch.testing.assert_close(part(x, y), part.value.w_o(torch.cat(heads, -1)), **EXACT)


@pytest.mark.parametrize("groups", GROUPS)
def test_separate_heads_that_are_alike_are_taken_over_and_given_back(groups: int) -> None:
    part, separate, other = (randomise(each) for each in (grouped(groups), grouped(4), grouped(groups)))
    whole = randomise(attention(heads=4, bias="all"))
    part.similarity.as_separate(whole.similarity)
    part.value.as_separate(whole.value, part.similarity)
    for made in (other, separate):
        made.from_separate(whole)
        torch.testing.assert_close(made(asking(), asked(), seen()), part(asking(), asked(), seen()), **EXACT)


@pytest.mark.parametrize("groups", [1, 2])
def test_other_heads_lose_what_no_keys_and_values_so_wide_can_hold(groups: int) -> None:
    """Eckart and Young, of the products of all heads of a group beside each other."""
    whole, part = randomise(attention(heads=4, bias="all")), grouped(groups)
    part.from_separate(whole)

    def scored(of: Attention) -> Tensor:
        queries, keys = of.similarity.projections()
        asks = of.similarity.by_head(torch.cat([queries.weight, queries.bias.unsqueeze(0)]))
        products = asks @ of.similarity.by_head(keys.weight).mT
        return products.unflatten(0, (groups, -1)).flatten(1, 2)

    def mixed(of: Attention) -> Tensor:
        products = of.value.products(of.value.maps(None))
        return products.unflatten(0, (groups, -1)).transpose(1, 2).flatten(2)

    for products in (scored, mixed):
        wanted = products(whole)
        lost = torch.linalg.svdvals(wanted)[:, 3:].norm(dim=1)
        assert float(lost.min()) > 0.01
        torch.testing.assert_close((products(part) - wanted).norm(dim=(1, 2)), lost, atol=1e-10, rtol=1e-10)
    values, output = whole.value.maps(None)
    torch.testing.assert_close(part.value.w_o.bias, values.bias @ output.weight + output.bias, **EXACT)


@pytest.mark.parametrize(("keys", "values", "held"), [(2, 2, 12), (1, 4, 15), (4, 1, 15), (2, "key", 6)])
def test_generation_keeps_keys_and_values_of_groups_alone(keys: int, values: object, held: int) -> None:
    value = values if values == "key" else {"kind": "grouped", "groups": values}
    parts = {"similarity": {"kind": "grouped", "groups": keys}, "value": value, "heads": 4}
    model = ModelConfig.model_validate(SIZES | FIELDS | parts)
    assert cached_numbers(counted_form(model, PAIRS, "translate")) == 2 * held
    built = build(model, spec=pairs())
    assert isinstance(built, EncoderDecoder)
    decoder = CachedDecoder(built)
    source, real = sources(1)
    decoder.start(source, real)
    assert decoder.held_numbers == 2 * held * source.numel()


@pytest.mark.parametrize(("groups", "number"), [(1, 1), (0.5, 2), (0.3, 1), (0.75, 2), (4, 4)])
def test_counts_are_the_formula_and_a_share_is_what_divides_the_heads(groups: float, number: int) -> None:
    part = {"kind": "grouped", "groups": groups}
    model = ModelConfig.model_validate(SIZES | {"heads": 4, "similarity": part, "value": part, "bias": "none"})
    record = count_config(run_config(model), spec_of(model))
    assert record["groups"]["query_key"] == record["groups"]["value_output"] == 3 * (12 * 12 + 12 * number * 3)
    verify(run_config(model), spec_of(model))


@pytest.mark.parametrize(("variant", "groups"), [("grouped-query", 6), ("multi-query", 1)])
def test_of_bert_base_they_save_columns_of_keys_and_values(variant: str, groups: int) -> None:
    """2 N (N - g d) weights a layer, and as many biases of either as columns."""
    one, whole = (resolve("bert-base", name).config for name in (variant, "baseline"))
    saved = count_config(whole, spec_for(whole))["parameters"] - count_config(one, spec_for(one))["parameters"]
    assert saved == 12 * 2 * (768 + 1) * (768 - groups * 64)


def test_groups_that_cannot_be_are_refused() -> None:
    model = ModelConfig.model_validate(SIZES | {"heads": 4, "value": {"kind": "grouped", "groups": 3}})
    (problem,) = legality.problems(model)
    assert problem == "model.value 'grouped' has 3 groups, which do not divide model.heads 4; accepted: 1, 2, 4"
    for wrong in ("0", "1.5", "true", "x", "null"):
        with pytest.raises(InputError, match=r"model\.similarity\.groups: .*expected a whole number from 1 on"):
            resolve("debug", "baseline", [f"model.similarity={{kind: grouped, groups: {wrong}}}"])
