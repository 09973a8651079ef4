"""The typed settings: frozen, nothing unknown, nothing taken for something else."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from minform_cli.config.axes import AXES
from minform_cli.config.schema import SECTIONS, DataConfig, ModelConfig, RunConfig, TrainConfig, known_keys
from tests.zoo import ALL_PARTS, options

Section = type[BaseModel]


def fields_of(*types: object) -> list[tuple[Section, str]]:
    return [(cls, name) for cls in SECTIONS.values() for name, f in cls.model_fields.items() if f.annotation in types]


WHOLE = fields_of(int, int | None)
REAL = fields_of(float, float | None)


def made(cls: Section, **fields: Any) -> BaseModel:
    return cls.model_validate(({"name": "digits"} if cls is DataConfig else {}) | fields)


def refused(cls: Section, **fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        made(cls, **fields)
    return caught.value.errors()[0]["type"]


def test_the_fields_were_found() -> None:
    assert len(WHOLE) >= 9
    assert len(REAL) >= 8


@pytest.mark.parametrize(("cls", "name"), WHOLE)
def test_a_whole_number_is_no_bool_no_text_and_no_fraction(cls: Section, name: str) -> None:
    for value in (True, "8", 8.0, 8.5, [8], float("nan"), float("inf")):
        assert refused(cls, **{name: value}) in ("int_type", "int_from_float", "finite_number")


@pytest.mark.parametrize(("cls", "name"), REAL)
def test_a_number_is_finite_and_no_bool_and_no_text(cls: Section, name: str) -> None:
    for value in (float("nan"), float("inf"), -float("inf")):
        assert refused(cls, **{name: value}) == "finite_number"
    for value in (True, "0.5", [0.5]):
        assert refused(cls, **{name: value}) == "float_type"


@pytest.mark.parametrize("cls", [*SECTIONS.values(), RunConfig])
def test_an_unknown_field_is_refused(cls: Section) -> None:
    base: dict[str, Any] = {"preset": "x", "data": DataConfig(name="digits")} if cls is RunConfig else {}
    with pytest.raises(ValidationError) as caught:
        made(cls, **base, nonsense=1)
    assert [error["type"] for error in caught.value.errors()] == ["extra_forbidden"]


@pytest.mark.parametrize(("cls", "name"), [(cls, name) for cls in SECTIONS.values() for name in cls.model_fields])
def test_a_config_cannot_be_changed(cls: Section, name: str) -> None:
    config = made(cls)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(config, name, getattr(config, name))


@pytest.mark.parametrize(("axis", "kind"), ALL_PARTS)
def test_the_options_of_a_part_cannot_be_changed_and_take_nothing_unknown(axis: str, kind: str) -> None:
    part = AXES[axis].parse(options(axis, kind))
    with pytest.raises(ValidationError, match="frozen"):
        part.kind = "other"
    value = options(axis, kind)
    with pytest.raises(ValueError, match=f"unknown option 'nonsense' of {axis} '{kind}'"):
        AXES[axis].parse((value if isinstance(value, dict) else {"kind": kind}) | {"nonsense": 1})


@pytest.mark.parametrize(("axis", "kind"), ALL_PARTS)
def test_every_number_of_a_part_is_finite_and_no_bool(axis: str, kind: str) -> None:
    for name, field in AXES[axis].get(kind).model_fields.items():
        if field.annotation is not float:
            continue
        for value in (float("nan"), float("inf"), True, "1"):
            with pytest.raises(ValidationError):
                AXES[axis].parse({"kind": kind, name: value})


@pytest.mark.parametrize(("axis", "kind"), ALL_PARTS)
def test_a_part_says_what_it_means_and_whence_it_comes(axis: str, kind: str) -> None:
    part = AXES[axis].get(kind)
    assert part.meaning
    assert part.source
    assert "\n" not in part.meaning + part.source
    assert part.__doc__


@pytest.mark.parametrize(("axis", "kind"), ALL_PARTS)
def test_a_part_without_options_is_written_as_its_name(axis: str, kind: str) -> None:
    part = AXES[axis].parse(options(axis, kind))
    written = part.model_dump(mode="json")
    assert AXES[axis].parse(written) == part
    told = [option for option in type(part).model_fields.values() if option.exclude_if is None]
    assert (written == kind) == (len(told) == 1)


def test_every_axis_is_a_field_of_the_model_and_the_other_way_round() -> None:
    parts = ModelConfig().parts()
    assert set(parts) == set(AXES)
    assert {f"model.{axis}" for axis in AXES} <= set(known_keys())


def test_every_field_is_explained_where_it_is_declared() -> None:
    for cls in (*SECTIONS.values(), RunConfig):
        attributes = (cls.__doc__ or "").partition("Attributes:")[2]
        named = {name.strip() for line in attributes.splitlines() for name in line.partition(":")[0].split(",")}
        assert set(cls.model_fields) - named - set(SECTIONS) == set(), cls.__name__


def test_identity_is_blind_to_names_and_to_how_often_is_saved_but_to_nothing_else() -> None:
    config = RunConfig(preset="a", data=DataConfig(name="digits"))
    same = config.model_copy(
        update={"preset": "b", "variant": "c", "train": TrainConfig(checkpoint_every_s=1.0), "baseline": ModelConfig()}
    )
    assert config.identity() == same.identity()
    others = {
        "seed": 1,
        "data": DataConfig(name="digits", limit=5),
        "model": ModelConfig(dim=32),
        "train": TrainConfig(epochs=2),
    }
    for name, value in others.items():
        assert config.model_copy(update={name: value}).identity() != config.identity(), name


def test_derived_sizes() -> None:
    model = ModelConfig.model_validate({"dim": 12, "heads": 3, "mlp_multiple": 2.3, "depth": 3, "order": [0, 1, 0]})
    assert (model.head_dim, model.mlp_dim, model.block_order, model.num_blocks) == (4, 28, (0, 1, 0), 2)
    shared = ModelConfig.model_validate({"depth": 3, "order": "shared"})
    assert (shared.block_order, shared.num_blocks) == ((0, 0, 0), 1)
