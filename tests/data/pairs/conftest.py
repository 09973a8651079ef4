"""Sentence pairs that many tests share."""

from __future__ import annotations

import pytest

from minform_cli.data.pairs.pair_data import PairData
from tests.data.pairs.made import load, split


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PairData:
    folder = tmp_path_factory.mktemp("pairs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINFORM_CACHE", str(folder / "cache"))
        return load(folder, **split(folder, "val", 43, 5), **split(folder, "test", 23, 7))
