"""Which parts go together: what every part declares, in both directions, and what sizes allow."""

import pytest

from minform_cli.config import legality
from minform_cli.config.axes import AXES
from minform_cli.config.schema import ModelConfig
from minform_cli.errors import InputError
from tests.zoo import ALL_PARTS, SIZES, model_with, options

DEMANDS = [
    (axis, kind, other, accepted)
    for axis, kind in ALL_PARTS
    for other, accepted in AXES[axis].get(kind).requires.items()
]


def test_some_part_demands_something() -> None:
    assert len(DEMANDS) >= 5


@pytest.mark.parametrize(("axis", "kind"), ALL_PARTS)
def test_what_a_part_demands_names_axes_and_kinds_that_exist_and_a_reason(axis: str, kind: str) -> None:
    part = AXES[axis].get(kind)
    for other, accepted in part.requires.items():
        assert other != axis
        assert accepted
        assert set(accepted) <= set(AXES[other].names())
    assert bool(part.requires) == bool(part.why)


@pytest.mark.parametrize(("axis", "kind", "other", "accepted"), DEMANDS)
def test_a_part_is_legal_with_what_it_demands_and_illegal_with_everything_else(
    axis: str, kind: str, other: str, accepted: tuple[str, ...]
) -> None:
    legal = model_with(axis, kind)
    for candidate in AXES[other].names():
        part = AXES[other].parse(options(other, candidate))
        found = legality.problems(legal.model_copy(update={other: part}))
        own = [text for text in found if text.startswith(f"model.{axis} {kind!r} does not go with model.{other}")]
        assert bool(own) == (candidate not in accepted)
        if own:
            assert AXES[axis].get(kind).why in own[0]
            assert own[0].endswith(f"accepted for model.{other}: {', '.join(accepted)}")


@pytest.mark.parametrize(("axis", "kind"), [part for part in ALL_PARTS if not AXES[part[0]].get(part[1]).requires])
def test_a_part_without_demands_is_legal_in_an_ordinary_model(axis: str, kind: str) -> None:
    assert legality.problems(model_with(axis, kind)) == []


@pytest.mark.parametrize("heads", [2, 3, 4])
def test_stack_collapsed_has_one_head(heads: int) -> None:
    model = model_with("value", "stack-collapsed")
    assert model.heads == 1
    found = legality.problems(model.model_copy(update={"heads": heads}))
    assert found == [f"value 'stack-collapsed' needs model.heads 1, not {heads}: heads mix before the next attention"]


@pytest.mark.parametrize("heads", range(1, 14))
def test_heads_divide_the_width(heads: int) -> None:
    found = legality.problems(ModelConfig.model_validate(SIZES | {"heads": heads}))
    expected = f"model.heads {heads} does not divide model.dim 12; accepted: 1, 2, 3, 4, 6, 12"
    assert found == ([] if 12 % heads == 0 else [expected])


@pytest.mark.parametrize(
    ("blocks", "problem"),
    [
        ([0, 1, 2], None),
        ([0, 0, 0], None),
        ([2, 1, 0], None),
        ([0, 1, 0, 1], "model.order lists 4 blocks, but model.depth is 3; they must be equal"),
        ([0, 1], "model.order lists 2 blocks, but model.depth is 3; they must be equal"),
        ([0, 2, 2], "model.order [0,2,2] must use every block number from 0 to its largest"),
        ([1, 1, 1], "model.order [1,1,1] must use every block number from 0 to its largest"),
        ([-1, 0, 1], "model.order [-1,0,1] must use every block number from 0 to its largest"),
        ([0, 1, 10**18], f"model.order [0,1,{10**18}] must use every block number from 0 to its largest"),
    ],
)
def test_a_listed_order_is_as_long_as_the_depth_and_leaves_no_block_out(blocks: list[int], problem: str | None) -> None:
    found = legality.problems(ModelConfig.model_validate(SIZES | {"order": blocks}))
    assert found == ([] if problem is None else [problem])


def test_check_says_the_first_problem_with_where_and_the_origins_of_the_keys_it_names() -> None:
    model = ModelConfig.model_validate(SIZES | {"heads": 5})
    with pytest.raises(InputError) as caught:
        legality.check(model, "here", {"model.heads": "--set", "model.depth": "elsewhere"})
    assert str(caught.value) == (
        "here: model.heads 5 does not divide model.dim 12; accepted: 1, 2, 3, 4, 6, 12 (model.heads from --set)"
    )
    legality.check(ModelConfig.model_validate(SIZES))


@pytest.mark.parametrize(
    ("height", "width", "fits"), [(28, 28, True), (28, 14, True), (28, 30, False), (27, 28, False)]
)
def test_the_patch_divides_height_and_width_of_the_images(height: int, width: int, fits: bool) -> None:
    model = ModelConfig.model_validate(SIZES | {"patch_size": 7})
    if fits:
        legality.check_image(model, height, width, "toys")
        return
    with pytest.raises(
        InputError, match=rf"^model.patch_size 7 does not divide the {height}x{width} images of toys; acc"
    ):
        legality.check_image(model, height, width, "toys")
