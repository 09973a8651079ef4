"""Options of `count`: order, selection, budget, the tree of modules, costs, and the picture."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from minform_cli.config.axes.similarity import SIMILARITY, Tied
from minform_cli.runs.records import EvaluationRecord
from tests.cli.commands import Command, on_terminal, plain
from tests.report.records import evaluation_record


def records(minform: Command, *arguments: str) -> list[dict]:
    return json.loads(minform("count", *arguments, "--format", "json").out)


def test_the_lines_come_in_the_order_asked_for(minform: Command) -> None:
    sizes = [record["parameters"] for record in records(minform, "--sort", "parameters")]
    assert sizes == sorted(sizes) and len(set(sizes)) > 5
    ratios = [record["determination_ratio"] for record in records(minform, "--sort", "q")]
    assert ratios == sorted(ratios, reverse=True)
    assert "did you mean 'parameters'" in minform("count", "--sort", "paramters").refusal


def test_only_what_is_like_the_pattern_is_listed(minform: Command) -> None:
    assert {record["variant"] for record in records(minform, "--only", "symmetric-*")} == {
        "symmetric-cholesky",
        "symmetric-mirrored",
        "symmetric-pairwise",
        "symmetric-start",
    }
    assert [record["variant"] for record in records(minform, "--only", "minim")] == ["minimal"]
    assert "nothing is like this; there are: baseline" in minform("count", "--only", "zzz").refusal


def test_a_budget_lists_combinations_that_fit(minform: Command) -> None:
    found = records(minform, "--budget", "10%")
    assert "minimal" in [record["variant"] for record in found]
    assert all(record["share_of_baseline"] <= 0.1 for record in found)
    assert "--budget: finds the variants itself" in minform("count", "--budget", "9k", "--variant", "no-mlp").refusal


def test_the_tree_of_modules_shows_names_and_shares(minform: Command) -> None:
    outcome = minform("count", "--preset", "debug", "--by", "layer", "--variant", "minimal")
    lines = outcome.out.splitlines()
    assert lines[0].split()[:3] == ["module", "kind", "parameters"]
    assert "· · · · w_qk" in outcome.out and "1,178" in lines[1]
    found = records(minform, "--preset", "debug", "--by", "layer", "--only", "*w_q")
    assert [record["path"] for record in found] == [f"blocks.{i}.attention.similarity.w_q" for i in range(2)]
    for option in (["--sort", "q"], ["--budget", "10%"], ["--batch-size", "4"]):
        assert f"{option[0]}: has no meaning with --by layer" in minform("count", "--by", "layer", *option).refusal


def test_a_model_that_is_not_what_is_counted_is_a_bug_of_ours(
    minform: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = ("count", "--preset", "debug", "--variant", "minimal", "--format", "json")
    assert minform(*counted, "--verify").out == minform(*counted).out
    monkeypatch.setattr(SIMILARITY.get("collapsed"), "form", lambda _, model: Tied().form(model))
    assert minform(*counted).code == 0
    for by in ("variant", "layer"):
        outcome = minform(*counted, "--by", by, "--verify")
        assert outcome.code == 1
        assert "the Form says" in outcome.err and "this is a bug of minform" in outcome.err


def test_costs_are_in_the_record_and_in_the_table(minform: Command) -> None:
    (record,) = records(minform, "--variant", "minimal", "--batch-size", "32")
    assert record["cost"]["flops_forward"] == 2 * record["macs"]
    assert record["cost"]["weight_bytes"]["float32"] == 4 * record["parameters"]
    assert record["cost"]["activation_bytes"] > 0
    outcome = minform("count", "--preset", "vit-base-16", "--variant", "baseline")
    assert "35.1 G" in outcome.out and "346 MB" in outcome.out
    assert "1 MB = 1,000,000 bytes" in outcome.err


@pytest.mark.slow
def test_costs_fit_an_80_column_terminal() -> None:
    shown = plain(on_terminal("count", "--preset", "vit-base-16", "--batch-size", "8").out)
    assert max(map(len, shown.splitlines())) <= 80
    assert "35.1 G" in shown


def test_the_picture_is_drawn(minform: Command, tmp_path: Path) -> None:
    picture = tmp_path / "groups.svg"
    assert minform("count", "--plot", str(picture)).code == 0
    assert "<svg" in picture.read_text() and "value-output" in picture.read_text()


def test_a_model_of_another_library_is_counted_with_its_reductions(minform: Command) -> None:
    outcome = minform("count", "--model", "torchvision:vit_b_16")
    assert "86,567,656" in outcome.out and "no-mlp+symmetric" in outcome.out
    assert "12 attention blocks and 12 MLP blocks" in outcome.err
    (record,) = records(minform, "--model", "torchvision:vit_b_16")
    assert record["parameters"] == 86_567_656 and record["groups"]["other"] == 0
    assert "--preset has no use beside it" in minform("count", "--model", "timm:x", "--preset", "mnist").refusal
    assert "accepted: hf, python, timm, torchvision" in minform("count", "--model", "x").refusal


@pytest.mark.parametrize("command", ["count", "eval"])
def test_a_picture_asked_for_that_fails_ends_with_the_error_after_the_table(
    command: str, minform: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def measured(*_: object, **__: object) -> EvaluationRecord:
        return evaluation_record(2)

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    monkeypatch.setattr("minform_cli.api.evaluate", measured)
    picture = tmp_path / "picture.png"
    given = [str(tmp_path)] if command == "eval" else ["--preset", "debug", "--variant", "minimal"]
    outcome = minform(command, *given, "--plot", str(picture))
    assert (outcome.code, len(outcome.out.splitlines()) > 1) == (4, True)
    assert outcome.err == f"minform: {picture} cannot be drawn: [Errno 28] No space left on device\n"
