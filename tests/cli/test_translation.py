"""The commands on sentence pairs: what they print, and what they refuse in one line with the place it is in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import Command
from tests.data.text.prose import written
from tests.training.test_translation import settings

ON_CPU = ("--device", "cpu", "--threads", "1")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that make `multi30k-tiny` a run of two seconds on files of its own."""
    sets = [*settings(tmp_path_factory.mktemp("pairs")), "train.epochs=1"]
    return ["--preset", "multi30k-tiny", *(word for setting in sets for word in ("--set", setting))]


def test_a_run_is_trained_measured_and_shows_its_sentences(minform: Command, pairs: list[str], tmp_path: Path) -> None:
    trained = minform("train", *pairs, "--variant", "tensor-chain", "--out", str(tmp_path / "run"), *ON_CPU)
    assert trained.code == 0, trained
    assert "val BLEU" in trained.err
    assert "tensor chains, at about 240 tokens a step" in trained.err
    outcome = minform("eval", str(tmp_path / "run"), "--split", "test", "--show", "2", "--beams", "2", *ON_CPU)
    assert outcome.code == 0, outcome
    assert "Sentence 2" in outcome.out
    assert "Sentence 3" not in outcome.out
    assert "written by beam search, 2 beams" in outcome.err
    (record,) = json.loads(minform("eval", str(tmp_path / "run"), "--format", "json", *ON_CPU).out)
    assert set(record["measured"]) == {"bleu", "chrf", "accuracy"}
    assert record["translations"] == []


def test_sentences_have_no_room_in_csv(minform: Command, tmp_path: Path) -> None:
    outcome = minform("eval", str(tmp_path), "--show", "2", "--format", "csv")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.refusal == "--show: 2 has no room in csv; accepted: another --format, or no --show"


def test_a_comparison_prints_bleu_perplexity_and_tokens_a_second(
    minform: Command, pairs: list[str], tmp_path: Path
) -> None:
    variants = ("--variant", "baseline", "--variant", "anthe")
    outcome = minform("compare", *pairs, *variants, "--seeds", "1", "--out", str(tmp_path / "study"), "--jobs", "1")
    assert outcome.code == 0, outcome
    assert all(name in outcome.out for name in ("val BLEU", "val perplexity", "tokens/s"))
    page = (tmp_path / "study" / "report.html").read_text()
    assert page.count("BLEU") > 3
    assert "percentage points" not in page + outcome.err


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("eins\n", "has 1 line, and"),
        ("eins\n\n", "line 2 is empty"),
        ("eins\n" + "sehr lang " * 30 + "\n", "line 2"),
    ],
)
def test_bad_files_are_refused_with_their_line_and_nothing_is_written(
    minform: Command, pairs: list[str], tmp_path: Path, target: str, message: str
) -> None:
    source = written(tmp_path / "source.txt", "one\ntwo\n")
    given = ["--set", f"data.source={source}", "--set", f"data.target={written(tmp_path / 'target.txt', target)}"]
    outcome = minform("train", *pairs, *given, "--out", str(tmp_path / "run"), *ON_CPU)
    assert (outcome.code, outcome.out) == (2, "")
    last = outcome.err.strip().splitlines()[-1]
    assert last.startswith("minform: data.target: ")
    assert message in last
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.batch_tokens=3", "train.batch_tokens: 3 is less than the"),
        ("model.embedding=patches", "model.embedding"),
        ("model.linear={kind: tensor-chain, qkv: null, mlp: null}", "has no ratio for any role"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_and_nothing_is_written(
    minform: Command, pairs: list[str], tmp_path: Path, setting: str, message: str
) -> None:
    outcome = minform("train", *pairs, "--set", setting, "--out", str(tmp_path / "run"), *ON_CPU)
    assert outcome.code == 2
    assert message in outcome.err.strip().splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_a_number_of_tokens_a_step_is_for_sentence_pairs(minform: Command, tmp_path: Path) -> None:
    outcome = minform("train", "--preset", "debug", "--set", "train.batch_tokens=9", "--out", str(tmp_path / "run"))
    assert outcome.code == 2
    assert "train.batch_tokens: is for sentence pairs, and" in outcome.err
    assert not (tmp_path / "run").exists()
