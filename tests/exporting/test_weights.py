"""Format safetensors: every number once, under our names, and one call that makes a model of them again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import minform_cli
from minform_cli.errors import InputError
from minform_cli.runs.stored import read_run
from tests.exporting.conftest import RUNS
from tests.exporting.fresh import snippet
from tests.exporting.made import SIZES, WORDS, stored


@pytest.mark.parametrize("name", RUNS)
def test_a_run_comes_back_to_the_bit(name: str, runs: dict[str, Path], tmp_path: Path) -> None:
    record = minform_cli.export(runs[name], "safetensors", tmp_path / "out")
    run = read_run(runs[name])
    loaded = minform_cli.load(tmp_path / "out")
    assert run.spec is not None
    own = run.model(run.spec, torch.device("cpu"))
    assert {key: value.tolist() for key, value in loaded.state_dict().items()} == {
        key: value.tolist() for key, value in own.state_dict().items()
    }
    assert not loaded.training
    assert [each["batch"] for each in record["parity"]] == [1, 2, 7, 64]
    assert all(each["difference"] == 0 and each["largest"] > 0.1 for each in record["parity"])


def test_the_file_holds_every_number_once(runs: dict[str, Path], tmp_path: Path) -> None:
    record = minform_cli.export(runs["next"], "safetensors", tmp_path / "out")
    tensors = safetensors.torch.load_file(tmp_path / "out/model.safetensors")
    assert sum(tensor.numel() for tensor in tensors.values()) == record["numbers"] == record["parameters"]
    assert not [name for name in tensors if "readout" in name]  # its output is tied


def test_a_translator_comes_back(tmp_path: Path) -> None:
    from minform_cli.data.spec import PairSpec

    pairs = PairSpec(name="parallel-text", title="pairs", source="made here", vocab_size=40, seq_len=12)
    model = SIZES | {"embedding": {"kind": "tokens", "scale": True}, "readout": "tokens", "decoder_depth": 1}
    stored(tmp_path / "run", "translate", model, pairs)
    record = minform_cli.export(tmp_path / "run", "safetensors", tmp_path / "out")
    assert record["inputs"] == ["input_ids", "attention_mask", "decoder_input_ids"]
    assert record["parity"][-1]["difference"] == 0


@pytest.mark.parametrize("name", ["images", "masked"])
def test_the_cards_python_runs_where_the_folder_lies(
    name: str, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minform_cli.export(runs[name], "safetensors", tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    scope: dict[str, Any] = {}
    exec(snippet(tmp_path / "out"), scope)
    assert tuple(scope["outputs"].shape) == {"images": (1, 3), "masked": (3, WORDS.vocab_size)}[name]


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors", "spec"])
def test_a_damaged_folder_is_refused_in_one_line(damage: str, runs: dict[str, Path], tmp_path: Path) -> None:
    minform_cli.export(runs["next"], "safetensors", tmp_path / "out")
    path = tmp_path / "out" / (damage if "." in damage else "config.json")
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"spec"', b'"sepc"') if damage == "spec" else content[: len(content) // 2])
    with pytest.raises(InputError) as raised:
        minform_cli.load(tmp_path / "out")
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_weights_of_another_model_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    for name in ("next", "masked"):
        minform_cli.export(runs[name], "safetensors", tmp_path / name)
    (tmp_path / "next/model.safetensors").replace(tmp_path / "masked/model.safetensors")
    with pytest.raises(InputError, match=r"does not fit its config\.json: embedding\.norm"):
        minform_cli.load(tmp_path / "masked")
