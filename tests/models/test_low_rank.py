"""Parts of low rank are the separate ones with fewer columns a head; pivots change numbers stored, and no output."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from minform_cli.models.parts.attention import Attention
from minform_cli.models.parts.columns import Pivoted, pivot_rows, rebased
from tests.models.test_cross_attention import asked, asking, seen
from tests.models.test_export import check_any_size
from tests.models.test_identities import EXACT, attention, randomise, tokens
from tests.models.test_properties import gradients
from tests.zoo import SIZES, build, examples, images, model_with

TURNED = {"atol": 1e-10, "rtol": 1e-10}  # float64, through the inverse of a well-conditioned d x d matrix
RANKS = [3, (4, 2, 1), (4, 0, 3)]
"""Of three heads of four columns."""


def low_rank(rank: object = None, *, pivoted: bool = False, axes: str = "both", **settings: object) -> Attention:
    part = {"kind": "low-rank", "rank": rank, "pivoted": pivoted}
    parts = {axis: part for axis in ("similarity", "value") if axes in (axis, "both")}
    return attention(**{"heads": 3, "bias": "all"} | parts | settings)


def separate(**settings: object) -> Attention:
    return randomise(attention(**{"heads": 3, "bias": "all"} | settings))


@pytest.mark.parametrize("pivoted", [False, True])
@pytest.mark.parametrize("heads", [1, 2, 3])
def test_at_full_rank_nothing_is_lost(heads: int, pivoted: bool) -> None:
    whole, part = separate(heads=heads), low_rank(heads=heads, pivoted=pivoted)
    part.from_separate(whole)
    tolerance = TURNED if pivoted else EXACT
    torch.testing.assert_close(part(tokens()), whole(tokens()), **tolerance)
    torch.testing.assert_close(part(asking(), asked(), seen()), whole(asking(), asked(), seen()), **tolerance)


@pytest.mark.parametrize("axes", ["similarity", "value"])
@pytest.mark.parametrize("rank", RANKS)
def test_pivots_change_the_numbers_stored_and_no_output(rank: object, axes: str) -> None:
    if axes == "value" and rank == (4, 0, 3):
        axes = "both"  # a head that gives nothing asks nothing
    plain, pivoted = low_rank(rank, axes=axes), low_rank(rank, axes=axes, pivoted=True)
    whole = separate()
    plain.from_separate(whole)
    pivoted.from_separate(whole)
    expected = plain(asking(), asked(), seen())
    torch.testing.assert_close(pivoted(asking(), asked(), seen()), expected, **TURNED)
    single = copy.deepcopy(pivoted).float()
    given = (asking().float(), asked().float(), seen())
    torch.testing.assert_close(single(*given), expected.float(), atol=1e-5, rtol=1e-5)  # float32
    again = low_rank(rank, axes=axes, pivoted=True)
    again.from_separate(plain)
    torch.testing.assert_close(again(asking(), asked(), seen()), expected, **TURNED)


@pytest.mark.parametrize("pivoted", [False, True])
@pytest.mark.parametrize("rank", RANKS)
def test_a_product_of_the_rank_is_found_again(rank: object, pivoted: bool) -> None:
    """From the part to separate maps, whose products have its ranks, and from them to another of its kind."""
    part, whole, other = low_rank(rank, pivoted=pivoted), separate(), low_rank(rank, pivoted=pivoted)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.normal_()
    part.similarity.as_separate(whole.similarity)
    part.value.as_separate(whole.value, part.similarity)
    torch.testing.assert_close(whole(asking(), asked()), part(asking(), asked()), **EXACT)
    other.from_separate(whole)
    torch.testing.assert_close(other(asking(), asked()), part(asking(), asked()), **TURNED)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_nothing_of_the_rank_is_nearer_to_the_products(rank: int) -> None:
    """Eckart and Young: what is lost of each head are the smallest singular values, the query bias a row more."""
    whole, part = separate(), low_rank(rank)
    part.from_separate(whole)

    def scored(attention_: Attention) -> Tensor:
        queries, keys = attention_.similarity.projections()
        asks = torch.cat([queries.weight, queries.bias.unsqueeze(0)])
        return part.similarity.by_head(asks) @ part.similarity.by_head(keys.weight).transpose(1, 2)

    def mixed(attention_: Attention) -> Tensor:
        return attention_.value.products(attention_.value.maps(None))

    for products in (scored, mixed):
        wanted = products(whole)
        lost = torch.linalg.svdvals(wanted)[:, rank:].norm(dim=1)
        assert float(lost.min()) > 0.01
        torch.testing.assert_close((products(part) - wanted).norm(dim=(1, 2)), lost, **TURNED)


def test_a_bias_of_the_values_goes_through_the_whole_output_map() -> None:
    whole, part = separate(), low_rank(2)
    part.from_separate(whole)
    values, output = whole.value.maps(None)
    torch.testing.assert_close(part.value.w_o.bias, values.bias @ output.weight + output.bias, **EXACT)


@pytest.mark.parametrize("pivoted", [False, True])
@pytest.mark.parametrize("rank", RANKS)
def test_given_factors_are_what_it_then_does(rank: object, pivoted: bool) -> None:
    plain, part = low_rank(rank), low_rank(rank, pivoted=pivoted)
    generator = torch.Generator().manual_seed(8)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    queries, keys, values = ([random(12, r) for r in plain.similarity.ranks] for _ in range(3))
    biases, outputs = ([random(*shape, r) for r in plain.similarity.ranks] for shape in ((), (12,)))
    outputs = [each.T for each in outputs]
    bias = random(12)
    for module in (plain, part):
        module.similarity.set_factors(queries, biases, keys)
        module.value.set_factors(values, outputs, bias)
    head = 2
    scores = (asking() @ queries[head] + biases[head]) @ (asked() @ keys[head]).transpose(1, 2)
    compared = part.similarity(asking(), asked())
    torch.testing.assert_close(compared.queries[:, head] @ compared.keys[:, head].transpose(1, 2), scores, **TURNED)
    torch.testing.assert_close(part(asking(), asked()), plain(asking(), asked()), **TURNED)
    if pivoted:
        kept = part.similarity.w_k.matrix().split(part.similarity.ranks, dim=1)[head]
        own = part.similarity.w_k.pivots.split(part.similarity.ranks)[head]
        assert torch.equal(kept[own], torch.eye(len(own), dtype=torch.float64))


def test_dependent_columns_are_no_hindrance_and_lost_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = randomise(nn.Linear(3, 12)).weight.detach()
    columns[:, 2] = columns[:, 0] - 1e-9 * columns[:, 1]
    pivots, whole, turn = rebased(columns, "the columns")
    torch.testing.assert_close(whole @ turn, columns, **EXACT)
    assert torch.equal(whole[pivots], torch.eye(3, dtype=torch.float64))
    assert float(whole.abs().max()) < 10
    monkeypatch.setattr("minform_cli.models.parts.columns.MOST_CONDITION", 1.5)
    for bad, condition in ((columns, r"\d\.\d+"), (columns * torch.nan, "inf")):
        with pytest.raises(InputError, match=f"the columns: no rows .* without loss, .* of the best is {condition};"):
            rebased(bad, "the columns")


def test_pivots_are_the_rows_that_are_furthest_from_each_other() -> None:
    columns = torch.eye(6, dtype=torch.float64)[:, :3] + 0.01
    columns[5] = torch.tensor([0.0, 0.0, 9.0])  # longer than the third row, in its direction
    assert pivot_rows(columns).tolist() == [0, 1, 5]


@pytest.mark.parametrize("kind", [{"rank": (3, 1)}, {"rank": (6, 0), "pivoted": True}, {"rank": 4, "pivoted": True}])
@pytest.mark.parametrize("bias", ["live", "none"])
def test_every_number_gets_a_gradient(kind: Mapping[str, object], bias: str) -> None:
    part = {"kind": "low-rank", **kind}
    found = gradients(model_with("similarity", "low-rank", similarity=part, value=part, bias=bias))
    largest = max(float(g.max()) for g in found.values())
    for name, gradient in found.items():
        assert float(gradient.min()) > 1e-6 * largest, f"{name} has a number without gradient"


PIVOTED = {"kind": "low-rank", "rank": (4, 2), "pivoted": True}
MODEL = model_with("similarity", "low-rank", similarity=PIVOTED, value=PIVOTED, depth=1)


def test_pivots_are_saved_and_change_with_the_weights_that_are_put_in() -> None:
    first, second = build(MODEL, seed=1), build(MODEL, seed=2)
    first.blocks[0].attention.from_separate(randomise(attention()))
    saved = {name for name in first.state_dict() if name not in dict(first.named_parameters())}
    assert saved == {f"blocks.0.attention.{part}.pivots" for part in ("similarity.w_k", "value.w_v")}
    pivots = "blocks.0.attention.similarity.w_k.pivots"
    assert not torch.equal(first.state_dict()[pivots], second.state_dict()[pivots])
    with torch.no_grad():
        assert not torch.equal(first(images()), second(images()))
        second.load_state_dict(first.state_dict())
        assert torch.equal(first(images()), second(images()))


def test_the_matrix_is_kept_until_a_number_changes() -> None:
    """Whatever changes it: another's weights, a step, a number format, a copy that goes its own way."""
    part = build(MODEL).blocks[0].attention.similarity.w_k
    assert isinstance(part, Pivoted)
    with torch.no_grad():
        kept = part.built()
        assert part.built() is kept
        other = copy.deepcopy(part)
        other.free.add_(1)
        torch.testing.assert_close(other.built(), other.build())
        assert part.built() is kept
        part.load_state_dict(other.state_dict())
        assert torch.equal(part.built(), other.build())
        part.free.data.mul_(2)  # which no version tells: hence the mode
        part.train()
        part.eval()
        assert torch.equal(part.built(), part.build())
        assert part.float().built().dtype == torch.float32
        part.pivots.add_(1)
        assert torch.equal(part.built(), part.build())
    part.built().sum().backward()
    assert part.free.grad is not None
    optimizer = torch.optim.SGD(part.parameters(), lr=1.0)
    with torch.no_grad():
        before = part.built().clone()
    optimizer.step()
    with torch.no_grad():
        assert torch.equal(part.built(), part.build())
        assert not torch.equal(part.built(), before)


def test_what_was_kept_in_inference_serves_where_gradients_are_asked_of_the_input() -> None:
    module = build(MODEL).requires_grad_(False)
    with torch.inference_mode():
        expected = module(images()).clone()
    inputs = images().requires_grad_()
    outputs = module(inputs)
    outputs.sum().backward()
    assert inputs.grad is not None
    torch.testing.assert_close(outputs, expected, **EXACT)


def test_an_exported_model_of_pivots_takes_any_number_of_examples() -> None:
    module = build(MODEL)
    with torch.no_grad():
        module(*examples(MODEL))
        check_any_size(module, MODEL)


def test_a_value_path_of_low_rank_stands_before_any_similarity() -> None:
    part = {"kind": "low-rank", "rank": 2}
    for similarity in ("collapsed", "tied", "mirrored", "identity-key"):
        model = ModelConfig.model_validate(SIZES | {"similarity": similarity, "value": part})
        assert build(model)(images()).isfinite().all()
