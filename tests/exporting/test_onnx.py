"""Format onnx: a graph that ONNX Runtime runs, for any number of examples of any length."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import minform_cli
from minform_cli.errors import InputError
from tests.exporting.fresh import shapes


@pytest.fixture(scope="session")
def sentences(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model of pairs of sentences, and one of images beside it."""
    root = tmp_path_factory.mktemp("onnx")
    record = minform_cli.export(runs["sentences"], "onnx", root / "sentences")
    assert [each["batch"] for each in record["parity"]] == [1, 2, 7, 64]
    assert all(0 <= each["relative"] <= 1e-5 for each in record["parity"])
    minform_cli.export(runs["images"], "onnx", root / "images", normalise=True)
    return root


def test_onnx_runtime_alone_runs_the_graphs(sentences: Path) -> None:
    found = shapes(sentences, "sentences", "images", blocked=("minform_cli", "torch"))
    assert found == {"sentences": [1, 2], "images": [1, 3]}


def test_inputs_are_int64_tokens_under_the_names_of_tokenizers_with_free_sizes(sentences: Path) -> None:
    model = onnxruntime.InferenceSession(sentences / "sentences/model.onnx")
    assert [(each.name, each.type, each.shape) for each in model.get_inputs()] == [
        (name, "tensor(int64)", ["batch", "tokens"]) for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    assert [(each.name, each.shape) for each in model.get_outputs()] == [("logits", ["batch", 2])]


def test_images_come_as_uint8_where_they_are_normalised_inside(sentences: Path) -> None:
    model = onnxruntime.InferenceSession(sentences / "images/model.onnx")
    (given,) = model.get_inputs()
    assert (given.name, given.type, given.shape) == ("pixel_values", "tensor(uint8)", ["batch", 3, 8, 8])


def test_the_graph_tells_nothing_of_this_machine_and_is_valid(sentences: Path) -> None:
    content = (sentences / "sentences/model.onnx").read_bytes()
    assert str(Path(minform_cli.__file__).parent).encode() not in content
    assert b"stack_trace" not in content
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)


def test_what_fills_up_changes_nothing(sentences: Path) -> None:
    model = onnxruntime.InferenceSession(sentences / "sentences/model.onnx")
    tokens = np.array([[5, 6, 7]])
    short = {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "token_type_ids": np.zeros_like(tokens)}
    longer = {name: np.pad(value, ((0, 0), (0, 4))) for name, value in short.items()}
    longer["input_ids"][:, 3:] = 9
    np.testing.assert_allclose(model.run(None, short)[0], model.run(None, longer)[0], rtol=0, atol=1e-6)


def test_a_library_that_is_not_installed_is_named_in_one_line(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = importlib.import_module

    def importing(name: str, *package: str) -> Any:
        if name == "onnxscript":
            raise ModuleNotFoundError("No module named 'onnxscript'", name="onnxscript")
        return whole(name, *package)

    monkeypatch.setattr(importlib, "import_module", importing)
    with pytest.raises(InputError, match=r"onnxscript is not installed; pip install 'minform\[export\]'"):
        minform_cli.export(runs["images"], "onnx", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
