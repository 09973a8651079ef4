"""Which parts go together: what every part declares, in both directions, and what sizes allow."""

import pytest

from minform_cli.config import legality
from minform_cli.config.axes import AXES
from minform_cli.config.presets import resolve
from minform_cli.config.schema import ModelConfig
from minform_cli.data.spec import spec_for
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
    expected = f"model.heads {heads} does not divide model.dim 12; accepted: 1, 2, 3, 4, 6, 12, or a model.head_width"
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


@pytest.mark.parametrize("levels", [1, 2, 4, 8])
def test_h_softpos_needs_two_columns_a_level(levels: int) -> None:
    def found(dim: int) -> list[str]:
        embedding = {"kind": "h-softpos", "levels": levels}
        fields = SIZES | {"dim": dim, "heads": 1, "embedding": embedding, "position": "sinusoidal"}
        return legality.problems(ModelConfig.model_validate(fields))

    assert found(2 * levels) == []
    assert found(2 * levels - 1) == [
        f"model.embedding 'h-softpos' with {levels} levels needs model.dim {2 * levels} or more"
    ]


def test_a_chain_has_a_ratio_for_some_role() -> None:
    def found(**ratios: float | None) -> list[str]:
        linear = {"kind": "tensor-chain", "qkv": None, "output": None, "mlp": None} | ratios
        return legality.problems(ModelConfig.model_validate(SIZES | {"linear": linear}))

    assert found() == ["model.linear 'tensor-chain' has no ratio for any role, so every map is dense; accepted: dense"]
    assert [found(**{role: 0.1}) for role in ("qkv", "output", "mlp")] == [[], [], []]


@pytest.mark.parametrize(("kind", "least"), [("gelu", 1), ("relu", 1), ("swiglu", 2), ("geglu", 2)])
def test_a_hidden_layer_has_a_width(kind: str, least: int) -> None:
    """A gated one has two thirds of `mlp_multiple` times `dim`, rounded down."""
    for hidden in range(4):
        model = ModelConfig.model_validate(SIZES | {"mlp": kind, "mlp_multiple": max(hidden / 12, 0.01)})
        assert model.mlp_dim == hidden
        found = legality.problems(model)
        assert found == ([] if hidden >= least else [
            f"model.mlp {kind!r} has a hidden layer of width 0 with model.mlp_multiple {model.mlp_multiple:g} and "
            "model.dim 12; accepted: a larger model.mlp_multiple"
        ])  # fmt: skip


REFUSED = [
    (
        "digits", "h-softpos", (),
        "model.embedding 'h-softpos' takes text and pairs, and digits is images; accepted: patches, "
        "convolutions",
    ),
    (
        "gpt2", "h-softpos", ("model.position=learned",),
        "model.embedding 'h-softpos' does not go with model.position 'learned': its word vectors are narrower than the "
        "model, so a learned table does not fit them; accepted for model.position: sinusoidal, none (model.embedding "
        "from presets/variants/h-softpos.yaml:6, model.position from --set)",
    ),
    (
        "digits", "baseline", ("model.similarity=identity-keys",),
        "--set: model.similarity: unknown similarity 'identity-keys'; did you mean 'identity-key'?; accepted: "
        "separate, collapsed, tied, mirrored, cholesky, pairwise, identity-key, identity-query, low-rank, none, "
        "grouped, latent, cross-layer",
    ),
    (
        "digits", "baseline", ("model.value=kvg",),
        "--set: model.value: unknown value 'kvg'; did you mean 'kgv'?; accepted: separate, collapsed, stack-collapsed, "
        "omitted, kgv, key, low-rank, none, grouped, "
        "latent, cross-layer",
    ),
    (
        "digits", "baseline", ("model.mlp=swigl",),
        "--set: model.mlp: unknown mlp 'swigl'; did you mean 'swiglu'?; accepted: gelu, gelu-tanh, relu, swiglu, none, "
        "depthwise, geglu, mix-ffn",
    ),
    (
        "digits", "baseline", ("model.linear=chain",),
        "--set: model.linear: unknown linear 'chain'; did you mean 'tensor-chain'?; accepted: dense, tensor-chain, "
        "low-rank, lora, kronecker, monarch",
    ),
    (
        "digits", "baseline", ("model.linear={kind: tensor-chain, lenght: 3}",),
        "--set: model.linear: unknown option 'lenght' of linear 'tensor-chain'; did you mean 'length'?; accepted: "
        "length, qkv, output, mlp",
    ),
    (
        "gpt2", "h-softpos", ("model.embedding={kind: h-softpos, level: 3}",),
        "--set: model.embedding: unknown option 'level' of embedding 'h-softpos'; did you mean 'levels'?; accepted: "
        "levels",
    ),
    (
        "digits", "baseline", ("model.linear={kind: tensor-chain, length: 5}",),
        "--set: model.linear.length: should be less than or equal to 4, not 5",
    ),
    (
        "digits", "baseline", ("model.linear={kind: tensor-chain, qkv: 0.0}",),
        "--set: model.linear.qkv: should be greater than 0, not 0.0",
    ),
    (
        "digits", "baseline", ("model.linear={kind: tensor-chain, mlp: big}",),
        "--set: model.linear.mlp: expected a number, not 'big'",
    ),
    (
        "gpt2", "h-softpos", ("model.embedding={kind: h-softpos, levels: 0}",),
        "--set: model.embedding.levels: should be greater than or equal to 1, not 0",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("preset", "variant", "settings", "message"), REFUSED)
def test_parts_of_anthe_are_refused_in_one_line_with_what_is_accepted(
    preset: str, variant: str, settings: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        spec_for(resolve(preset, variant, settings).config)
    assert str(caught.value) == message


def test_check_says_the_first_problem_with_where_and_the_origins_of_the_keys_it_names() -> None:
    model = ModelConfig.model_validate(SIZES | {"heads": 5})
    with pytest.raises(InputError) as caught:
        legality.check(model, "here", {"model.heads": "--set", "model.depth": "elsewhere"})
    assert str(caught.value) == (
        "here: model.heads 5 does not divide model.dim 12; accepted: 1, 2, 3, 4, 6, 12, or a model.head_width "
        "(model.heads from --set)"
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
