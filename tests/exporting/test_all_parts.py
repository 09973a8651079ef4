"""Every part of every axis is exported in every format, and gives there what it gives here."""

from __future__ import annotations

from pathlib import Path

import pytest

import minform_cli
from minform_cli.config.schema import ModelConfig
from tests.exporting.made import BERT, SENTENCES, stored
from tests.zoo import ALL_PARTS, covering, run_config, spec_of

MODELS = covering(depth=2)
ENCODERS = [number for number, model in enumerate(MODELS) if not model.decoder_depth]


def made(folder: Path, model: ModelConfig) -> Path:
    """A run of that model."""
    stored(folder, run_config(model).task, model, spec_of(model))
    return folder


def test_every_part_is_in_a_model_that_is_exported() -> None:
    found = {(axis, part.kind) for number in ENCODERS for axis, part in MODELS[number].parts().items()}
    assert found == set(ALL_PARTS)


@pytest.mark.parametrize("number", ENCODERS)
def test_transformers_loads_every_part(number: int, tmp_path: Path) -> None:
    record = minform_cli.export(made(tmp_path / "run", MODELS[number]), "hf", tmp_path / "out")
    assert all(each["largest"] > 0.01 for each in record["parity"])
    assert record["numbers"] == record["parameters"] + sum(record["filled"].values())


@pytest.mark.soak
@pytest.mark.parametrize("fmt", ["onnx", "torch-export"])
@pytest.mark.parametrize("number", range(len(MODELS)))
def test_graphs_hold_every_part(number: int, fmt: str, tmp_path: Path) -> None:
    record = minform_cli.export(made(tmp_path / "run", MODELS[number]), fmt, tmp_path / "out")
    assert all(each["largest"] > 0.01 for each in record["parity"])


@pytest.mark.soak
@pytest.mark.parametrize("fmt", ["onnx", "torch-export"])
def test_graphs_hold_low_ranks_head_by_head_with_pivots(fmt: str, tmp_path: Path) -> None:
    ranks = {"similarity": {"kind": "low-rank", "rank": [4, 2], "pivoted": True}}
    ranks["value"] = {"kind": "low-rank", "rank": [0, 5], "pivoted": True}
    stored(tmp_path / "run", "classify-sentences", BERT | {"bias": "live"} | ranks, SENTENCES)
    record = minform_cli.export(tmp_path / "run", fmt, tmp_path / "out")
    assert record["numbers"] == record["parameters"]
