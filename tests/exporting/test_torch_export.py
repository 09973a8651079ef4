"""Format torch-export: a graph that torch alone loads, for any number of examples of any length."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import minform_cli
from minform_cli.errors import InputError
from tests.exporting.conftest import RUNS
from tests.exporting.fresh import shapes
from tests.exporting.made import BERT, IMAGES, WORDS, stored

SHAPES = {"masked": [1, 3, 40], "sentences": [1, 2], "next": [1, 3, 40], "images": [1, 3]}


def test_torch_alone_loads_the_graphs(runs: dict[str, Path], tmp_path: Path) -> None:
    for name in RUNS:
        record = minform_cli.export(runs[name], "torch-export", tmp_path / name)
        assert all(each["largest"] > 0.1 for each in record["parity"])
    assert shapes(tmp_path, *RUNS, blocked=("minform_cli",)) == SHAPES


def test_a_graph_that_normalises_takes_pixels_as_they_are_stored(runs: dict[str, Path], tmp_path: Path) -> None:
    record = minform_cli.export(runs["images"], "torch-export", tmp_path / "out", normalise=True)
    assert record["normalised"]
    pixels = torch.randint(256, (5, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.25, 0.3, 0.2])
    module = torch.export.load(tmp_path / "out/model.pt2").module()
    minform_cli.export(runs["images"], "safetensors", tmp_path / "own")
    with torch.no_grad():
        expected = minform_cli.load(tmp_path / "own")((pixels / 255 - mean[:, None, None]) / std[:, None, None])
        torch.testing.assert_close(module(pixel_values=pixels), expected, rtol=0, atol=1e-5)


def test_what_normalises_to_unit_range_is_exported_so(tmp_path: Path) -> None:
    from minform_cli.exporting.source import pixels_of
    from minform_cli.runs.stored import read_run

    config = stored(tmp_path / "run", "classify-images", {"dim": 8, "depth": 1, "heads": 1}, IMAGES)
    run = read_run(tmp_path / "run")
    data = config.data.model_copy(update={"normalize": "unit-range"})
    object.__setattr__(run, "config", config.model_copy(update={"data": data}))
    assert pixels_of(run) == ((0.5,) * 3, (0.5,) * 3)


def test_longer_text_than_seq_len_is_taken_where_there_are_positions(tmp_path: Path) -> None:
    stored(tmp_path / "run", "masked-tokens", BERT | {"position": {"kind": "learned", "rows": 20}}, WORDS)
    record = minform_cli.export(tmp_path / "run", "torch-export", tmp_path / "out")
    assert record["parity"][1]["tokens"] == 20


def test_text_is_not_normalised(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--normalise: is for models of images"):
        minform_cli.export(runs["next"], "torch-export", tmp_path / "out", normalise=True)
    assert not (tmp_path / "out").exists()
