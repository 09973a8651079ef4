"""A translator in a folder of transformers: `generate` writes what we write, and its loss is the library's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers

import minform_cli
from minform_cli.data.spec import PairSpec
from minform_cli.decoding.greedy import greedy
from minform_cli.runs.stored import read_run
from tests.exporting.fresh import snippet
from tests.exporting.made import SIZES, WORDS, stored, tokenizer

PAIRS = PairSpec(name="parallel-text", title="pairs", source="made here", vocab_size=WORDS.vocab_size, seq_len=12)
MODEL = SIZES | {"embedding": {"kind": "tokens", "scale": True}, "readout": "tokens", "decoder_depth": 1}
START, END, BANNED = 2, 3, (0, 2, 4)


def farther(weights: list[torch.Tensor]) -> None:
    """Far enough from the start that translations differ."""
    for each in weights:
        each.mul_(4 if each.dim() > 1 else 1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run, and its model in format `hf`."""
    root = tmp_path_factory.mktemp("translator")
    stored(root / "run", "translate", MODEL | {"value": "kgv"}, PAIRS, tokenizer().json, farther)
    record = minform_cli.export(root / "run", "hf", root / "hf")
    assert record["parity"][-1]["difference"] == 0
    assert record["loader"] == "MinformForConditionalGeneration of minform, by trust_remote_code"
    return root / "run", root / "hf"


@pytest.fixture(scope="module")
def model(folders: tuple[Path, Path]) -> Any:
    return transformers.AutoModelForSeq2SeqLM.from_pretrained(folders[1], trust_remote_code=True)


def batch() -> dict[str, torch.Tensor]:
    """Four sources, two of them filled up."""
    source = torch.randint(5, 30, (4, 7), generator=torch.Generator().manual_seed(3))
    real = torch.ones(4, 7, dtype=torch.long)
    real[1, 5:] = real[3, 2:] = 0
    return {"input_ids": source * real, "attention_mask": real}


def test_generate_writes_greedily_what_we_write(folders: tuple[Path, Path], model: Any) -> None:
    run, given = read_run(folders[0]), batch()
    ours: Any = run.model(run.spec, torch.device("cpu")).eval()
    real = given["attention_mask"].bool()
    wanted = greedy(ours, given["input_ids"], real, start=START, end=END, most=12, banned=BANNED)
    written = model.generate(**given, num_beams=1)
    assert written[:, 0].eq(START).all()
    for row, hypothesis in zip(written[:, 1:].tolist(), wanted, strict=True):
        tokens = row[: row.index(END)] if END in row else row
        assert tokens == [each for each in hypothesis.tokens if each != END]
    assert len({tuple(each.tokens) for each in wanted}) > 1


def test_by_default_it_writes_with_the_beams_of_our_test_sets(folders: tuple[Path, Path], model: Any) -> None:
    settings = json.loads((folders[1] / "generation_config.json").read_text())
    assert (settings["num_beams"], settings["length_penalty"], settings["max_length"]) == (4, 1.0, 13)
    special = (settings["decoder_start_token_id"], settings["eos_token_id"], settings["suppress_tokens"])
    assert special == (START, END, list(BANNED))
    written = model.generate(**batch())
    assert written.shape[1] <= 13 and not torch.isin(written[:, 1:-1], torch.tensor([2, 4])).any()


def test_its_loss_is_of_the_labels_after_the_start(model: Any) -> None:
    given, labels = batch(), torch.tensor([[7, 8, 3], [9, 3, -100], [6, 6, 3], [3, -100, -100]])
    before = torch.tensor([[START, 7, 8], [START, 9, 3], [START, 6, 6], [START, 3, 0]])
    outputs, known = model(**given, labels=labels), model(**given, decoder_input_ids=before)
    torch.testing.assert_close(outputs.logits, known.logits)
    expected = F.cross_entropy(known.logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    torch.testing.assert_close(outputs.loss, expected)


def test_the_cards_python_translates(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folders[1])
    scope: dict[str, Any] = {}
    exec(snippet(folders[1]), scope)
    assert len(scope["outputs"]) == 1 and isinstance(scope["outputs"][0], str)


def test_without_a_tokenizer_it_is_still_a_model(tmp_path: Path) -> None:
    stored(tmp_path / "run", "translate", MODEL, PAIRS)
    record = minform_cli.export(tmp_path / "run", "hf", tmp_path / "out")
    assert record["parity"][-1]["difference"] == 0
    assert "generate" not in record["load"]
