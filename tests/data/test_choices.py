"""A setting that names files, or says what of them, is used by the data set or refused."""

from typing import Any

import pytest

from minform_cli.config.schema import DataConfig
from minform_cli.data.load import load_data
from minform_cli.data.spec import AUGMENTATION, CHOICES, DATA_SETS, described
from minform_cli.errors import InputError

USED = {  # name: settings of `CHOICES` that it uses
    "image-folder": {"path", "image_size", "channels", "exif_orientation", "max_megapixels"},
    "imagenet-folder": {"path", "image_size", "channels", "exif_orientation", "max_megapixels"},
    "text": {"path", "val_path", "test_path"},
    "parallel-text": {"source", "target", "val_source", "val_target", "test_source", "test_target"},
    "multi30k": {"path", "subset"},
    "glue": {"path", "subset"},
}


@pytest.mark.parametrize("name", DATA_SETS.names())
@pytest.mark.parametrize("key", CHOICES)
def test_a_setting_that_would_be_ignored_is_refused(name: str, key: str, refused) -> None:
    value: Any = {"image_size": 8, "channels": 1, "exif_orientation": True, "max_megapixels": 8}.get(key, "x")
    config = DataConfig(name=name, **{key: value})
    if key in USED.get(name, ()):
        assert key in DATA_SETS.get(name).TAKES
    else:
        for read in (described, load_data):
            message = refused(InputError, read, config)
            assert message.startswith(f"data.{key}: {value!r} has no use for {name}; accepted: ")


def test_the_refusal_names_what_the_set_takes_and_who_takes_the_setting(refused) -> None:
    for name, taken in (("mnist", "no such setting"), ("multi30k", "data.path, data.subset")):
        message = refused(InputError, described, DataConfig(name=name, source="a.en"))
        expected = f"'a.en' has no use for {name}; accepted: {taken}; data.source is for parallel-text"
        assert message == f"data.source: {expected}"


def test_choices_are_all_settings_that_are_unset_at_first_but_the_limit_and_those_of_images() -> None:
    unset = {key for key, field in DataConfig.model_fields.items() if field.default is None}
    assert {*CHOICES, "limit"} == unset - set(AUGMENTATION) | {"exif_orientation", "max_megapixels"}
