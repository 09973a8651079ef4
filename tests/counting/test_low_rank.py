"""Numbers, multiplications and what generation keeps, of parts of low rank: as their formulas say, and as built."""

from __future__ import annotations

import pytest
import torch

from minform_cli.config import legality
from minform_cli.config.axes import AXES
from minform_cli.config.axes.ranks import ranks_of
from minform_cli.config.matrix_rank import Factors
from minform_cli.config.presets import resolve
from minform_cli.config.schema import ModelConfig
from minform_cli.counting.cost import cached_numbers, forward_macs
from minform_cli.counting.count import count_config
from minform_cli.counting.form import counted_form
from minform_cli.counting.parameters import counted_groups
from minform_cli.data.spec import spec_for
from minform_cli.decoding.cache import CachedDecoder
from minform_cli.errors import IllegalModelError, InputError
from minform_cli.models.stack import EncoderDecoder
from minform_cli.models.verify import verify
from tests.zoo import SIZES, build, examples, run_config, spec_of

RANKS = [None, 3, (6, 2), (5, 0)]
"""Of two heads of six columns, N = 12."""


def model(rank: object, *, pivoted: bool = False, **settings: object) -> ModelConfig:
    part = {"kind": "low-rank", "rank": rank, "pivoted": pivoted}
    return ModelConfig.model_validate(SIZES | {"similarity": part, "value": part} | settings)


@pytest.mark.parametrize("bias", ["all", "live", "none"])
@pytest.mark.parametrize("pivoted", [False, True])
@pytest.mark.parametrize("rank", RANKS)
def test_numbers_are_the_formulas(rank: int | tuple[int, ...] | None, pivoted: bool, bias: str) -> None:
    """2 N R and R (N) of a bias; pivoted, sum of r_h^2 less. Of three blocks, and as built."""
    asked = model(rank, pivoted=pivoted, bias=bias)
    ranks = rank if isinstance(rank, tuple) else (rank or 6,) * 2
    each = 2 * 12 * sum(ranks) - (sum(r * r for r in ranks) if pivoted else 0)
    groups = counted_groups(asked, spec_of(asked), "classify-images")
    biased = bias != "none"
    assert groups["query_key"] == 3 * (each + (sum(ranks) if biased else 0))
    assert groups["value_output"] == 3 * (each + (12 if biased else 0))
    verify(run_config(asked), spec_of(asked))


def test_both_gauges_of_vit_base_save_what_is_known_of_them() -> None:
    """2 N d a layer: 1,179,648 of 86 M, but the key biases and those of the values (12 x 2 x 768) too."""
    part = "{kind: low-rank, pivoted: true}"
    config = resolve("vit-base-16", settings=[f"model.similarity={part}", f"model.value={part}"]).config
    baseline = resolve("vit-base-16").config
    spec = spec_for(config)
    before, after = (sum(counted_groups(each.model, spec, "classify-images").values()) for each in (baseline, config))
    assert before - after == 1_179_648 + 12 * 2 * 768


def test_with_one_head_pivots_leave_one_matrix_of_two() -> None:
    asked = model(None, pivoted=True, heads=1, bias="none")
    groups = counted_groups(asked, spec_of(asked), "classify-images")
    assert groups["query_key"] == groups["value_output"] == 3 * 144
    dense = ModelConfig.model_validate(SIZES | {"heads": 1, "bias": "none"})
    # What is the identity is not multiplied with: two of four maps of the four tokens and the class token.
    saved = forward_macs(run_config(dense), spec_of(dense)) - forward_macs(run_config(asked), spec_of(asked))
    assert saved == 3 * 2 * 5 * 144
    verify(run_config(asked), spec_of(asked))


@pytest.mark.parametrize("pivoted", [False, True])
def test_multiplications_follow_the_rank(pivoted: bool) -> None:
    """Four maps of N x R, and pairs compared and mixed at the largest rank; pivots are multiplied like the rest."""
    macs = [
        forward_macs(run_config(each), spec_of(each))
        for each in (model(6, pivoted=pivoted), model((4, 1), pivoted=pivoted))
    ]
    tokens = 5
    assert macs[0] - macs[1] == 3 * (tokens * 4 * 12 * (12 - 5) + tokens**2 * 2 * 2 * (6 - 4))


@pytest.mark.parametrize("pivoted", [False, True])
@pytest.mark.parametrize("rank", [(2, 2), (4, 1)])
def test_generation_keeps_fewer_columns(rank: tuple[int, ...], pivoted: bool) -> None:
    """Heads of fewer columns are kept filled up: what is kept is what the count says."""
    asked = model(rank, pivoted=pivoted, embedding="tokens", readout="tokens", decoder_depth=2)
    kept = cached_numbers(counted_form(asked, spec_of(asked), "translate"))
    assert kept == 2 * 2 * 2 * max(rank)
    module = build(asked)
    assert isinstance(module, EncoderDecoder)
    source, target = examples(asked)
    decoder = CachedDecoder(module)
    decoder.start(source)
    held: list[int] = []
    with torch.no_grad():
        expected = module(source, target).view(*target.shape, -1)
        for place in range(target.shape[1]):
            outputs = decoder.step(target[:, place])
            held.append(decoder.held_numbers)
            torch.testing.assert_close(outputs, expected[:, place], atol=1e-12, rtol=1e-12)  # float64 rounding
    assert held[-1] - held[-2] == len(target) * kept


WRONG = [
    ({"rank": 7}, "rank of 7, and a head has 6 columns (model.dim 12 / model.heads 2); accepted: 1 to 6"),
    ({"rank": [1, 2, 3]}, "lists 3 ranks, and model.heads is 2; accepted: 2, or one for all"),
    ({"rank": [3, 0]}, "has rank 0 in head 1, so that no output depends on its scores"),
]


@pytest.mark.parametrize(("options", "told"), WRONG)
def test_ranks_that_no_head_has_are_refused(options: dict[str, object], told: str) -> None:
    found = legality.problems(ModelConfig.model_validate(SIZES | {"value": {"kind": "low-rank", **options}}))
    assert len(found) == 1
    assert f"model.value 'low-rank' {told}".replace("'low-rank' rank", "'low-rank' has a rank") in found[0]


@pytest.mark.parametrize("rank", ["0", "-1", "2.0", "true", "[]", "[0,0]", "[1,x]", "[1,[2]]", "'8'", "{a: 1}"])
def test_a_rank_is_a_whole_number_or_a_list_of_them(rank: str) -> None:
    with pytest.raises(
        InputError, match=r"model.similarity\.rank: .*(expected a whole number|leaves nothing)"
    ) as error:
        resolve("digits", settings=[f"model.similarity={{kind: low-rank, rank: {rank}}}"])
    assert "\n" not in str(error.value)


def test_keys_that_are_values_need_a_key_projection_of_full_width() -> None:
    with pytest.raises(IllegalModelError, match=r"model.value 'key' does not go with model.similarity 'low-rank'"):
        legality.check(ModelConfig.model_validate(SIZES | {"similarity": "low-rank", "value": "key"}))


def test_settings_and_lists_of_blocks_take_ranks_and_the_count_tells_of_pivots() -> None:
    one = "{kind: low-rank, rank: 8, pivoted: true}"
    config = resolve("digits", settings=[f"model.similarity=[{one}, separate, {{kind: low-rank, rank: [3,2,1,16]}}]",
                                         "model.depth=3"]).config  # fmt: skip
    spec = spec_for(config)
    verify(config, spec)
    note = "pivoted maps: 64 -> 32 with an identity in each head: 1,792 numbers, 256 less than the whole"
    assert note in count_config(config, spec)["notes"]
    again = ModelConfig.model_validate_json(config.model.model_dump_json())
    assert again == config.model


def test_other_maps_may_be_chains_beside_it() -> None:
    chains = {"kind": "tensor-chain", "qkv": 0.5, "output": 0.5, "mlp": 0.5}
    plain, chained = model(3), model(3, linear=chains)
    groups = [counted_groups(each, spec_of(each), "classify-images") for each in (plain, chained)]
    assert groups[0]["query_key"] == groups[1]["query_key"]
    assert groups[0]["value_output"] == groups[1]["value_output"]
    assert groups[0]["mlp"] > groups[1]["mlp"]
    verify(run_config(chained), spec_of(chained))


@pytest.mark.parametrize(("size", "rank"), [(3, 3), (0.5, 4), (0.49, 3), (0.01, 1)])
def test_a_share_is_the_largest_rank_with_so_many_of_the_numbers(size: float, rank: int) -> None:
    """Of a 12 x 24 matrix: 288 numbers, 36 for a rank of one."""
    linear = AXES["linear"].parse({"kind": "low-rank", "mlp": size})
    assert linear.form("mlp", 12, 24) == Factors(12, 24, rank)
    assert linear.form("qkv", 12, 24) is None


@pytest.mark.parametrize("rank", [0.5, 0.01])
def test_a_share_of_the_columns_of_a_head_is_rounded(rank: float) -> None:
    assert ranks_of(rank, model(rank)) == (3, 3) if rank == 0.5 else (1, 1)


def test_numbers_and_multiplications_of_maps_of_low_rank_are_the_formulas() -> None:
    """r (I + O) numbers, as often multiplied as tokens go through: of one block, four maps N x N and two of the MLP."""
    linear = {"kind": "low-rank", "qkv": 3, "output": 2, "mlp": 5}
    dense, low = (ModelConfig.model_validate(SIZES | {"linear": each}) for each in ("dense", linear))
    saved = {"query_key": 2 * (144 - 3 * 24), "value_output": 144 - 3 * 24 + 144 - 2 * 24, "mlp": 2 * (288 - 5 * 36)}
    groups = [counted_groups(each, spec_of(each), "classify-images") for each in (dense, low)]
    assert {group: groups[0][group] - groups[1][group] for group in saved} == {k: 3 * v for k, v in saved.items()}
    macs = [forward_macs(run_config(each), spec_of(each)) for each in (dense, low)]
    assert macs[0] - macs[1] == 5 * 3 * sum(saved.values())
    verify(run_config(low), spec_of(low))


def test_a_count_tells_ranks_and_numbers() -> None:
    config = resolve("digits", "low-rank").config
    assert "maps of low rank: 64 -> 64 with rank 16, 2,048 numbers; 64 -> 256 with rank 25, 8,000 numbers; " in "".join(
        count_config(config, spec_for(config))["notes"]
    )


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({}, "has no rank for any role, so every map is dense; accepted: dense, or a rank: {kind: low-rank, mlp: 0.5}"),
        ({"qkv": 6}, "has rank 6 for qkv, which saves nothing of a 12 x 12 matrix; accepted: 1 to 5, or null, which"),
        ({"output": 6}, "has rank 6 for output, which saves nothing of a 12 x 12 matrix; accepted: 1 to 5, or null,"),
        ({"mlp": 8}, "has rank 8 for mlp, which saves nothing of a 12 x 24 matrix; accepted: 1 to 7, or null, which"),
    ],
)
def test_a_rank_that_saves_nothing_is_refused(sizes: dict[str, object], told: str) -> None:
    (found,) = legality.problems(ModelConfig.model_validate(SIZES | {"linear": {"kind": "low-rank", **sizes}}))
    assert found.startswith(f"model.linear 'low-rank' {told}")


def test_where_no_rank_saves_anything_the_map_is_to_stay_one_matrix() -> None:
    model = ModelConfig.model_validate(SIZES | {"linear": {"kind": "low-rank", "mlp": 0.9}, "mlp_multiple": 1 / 12})
    (found,) = legality.problems(model)
    assert found.endswith("saves nothing of a 12 x 1 matrix; accepted: null, which leaves it one matrix")


@pytest.mark.parametrize("size", ["0", "-1", "1.0", "2.5", "0.0", "true", "[4]", "'4'"])
def test_a_rank_of_a_map_is_a_whole_number_or_a_share(size: str) -> None:
    with pytest.raises(InputError, match=r"model.linear\.mlp: .*expected a rank .* or a share") as error:
        resolve("digits", settings=[f"model.linear={{kind: low-rank, mlp: {size}}}"])
    assert "\n" not in str(error.value)
