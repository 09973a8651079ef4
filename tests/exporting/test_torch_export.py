"""Format torch-export: a graph that torch alone loads, for any number of examples; and what is exported of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import minform_cli
from minform_cli.errors import InputError
from minform_cli.exporting.parity import example_batch
from minform_cli.exporting.source import exported, pixels_of
from minform_cli.runs.stored import read_run
from tests.exporting.fresh import shapes
from tests.exporting.made import BERT, IMAGES, WORDS, stored


@pytest.fixture(scope="session")
def images(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model of images that normalises by itself; all parts are exported so under `make soak`."""
    root = tmp_path_factory.mktemp("torch-export")
    record = minform_cli.export(runs["images"], "torch-export", root / "images", normalise=True)
    assert record["normalised"]
    assert all(each["largest"] > 0.1 for each in record["parity"])
    return root


def test_torch_alone_loads_the_graph(images: Path) -> None:
    assert shapes(images, "images", blocked=("minform_cli",)) == {"images": [1, 3]}


def test_a_graph_that_normalises_takes_pixels_as_they_are_stored(images: Path, runs: dict[str, Path]) -> None:
    pixels = torch.randint(256, (5, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(each)[:, None, None] for each in ([0.5, 0.4, 0.3], [0.25, 0.3, 0.2]))
    module = torch.export.load(images / "images/model.pt2").module()
    run = read_run(runs["images"])
    assert run.spec is not None
    own = run.model(run.spec, torch.device("cpu")).eval()
    with torch.no_grad():
        expected = own((pixels / 255 - mean) / std)
        torch.testing.assert_close(module(pixel_values=pixels), expected, rtol=0, atol=1e-5)


def test_what_normalises_to_unit_range_is_exported_so(tmp_path: Path) -> None:
    config = stored(tmp_path / "run", "classify-images", {"dim": 8, "depth": 1, "heads": 1}, IMAGES)
    run = read_run(tmp_path / "run")
    data = config.data.model_copy(update={"normalize": "unit-range"})
    object.__setattr__(run, "config", config.model_copy(update={"data": data}))
    assert pixels_of(run) == ((0.5,) * 3, (0.5,) * 3)


def test_longer_text_than_seq_len_is_compared_where_there_are_positions(tmp_path: Path) -> None:
    stored(tmp_path / "run", "masked-tokens", BERT | {"position": {"kind": "learned", "rows": 20}}, WORDS)
    model = exported(read_run(tmp_path / "run"), "last", inside=False, expand=False)
    batch = example_batch(model, 2)
    assert batch["input_ids"].shape == (2, 20)
    assert batch["attention_mask"].sum(1).tolist() == [10, 20]
    lengths = example_batch(model, 64)["attention_mask"].sum(1).tolist()
    assert (min(lengths), max(lengths), len(set(lengths)) > 10) == (1, 20, True)


def test_text_is_not_normalised(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--normalise: is for models of images"):
        minform_cli.export(runs["next"], "torch-export", tmp_path / "out", normalise=True)
    assert not (tmp_path / "out").exists()
