"""Errors block by block are those of the scores, of attention, of the MLP and of the block, over real tokens alone."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from minform_cli.models.parts.base import split_heads
from minform_cli.reducing.layers import layer_records
from tests.reducing.test_calibrated import inputs_of, opened


@pytest.fixture
def pair(sentences: Path) -> tuple[Any, Any, Any]:
    """A model, one whose first block has other queries and whose last another W_2, and inputs with filling."""
    run, original = opened(sentences)
    changed: Any = deepcopy(original)
    with torch.no_grad():
        changed.blocks[0].attention.similarity.w_q.weight *= 1.1
        changed.blocks[-1].mlp.w_2.weight *= 0.5
    return original, changed, inputs_of("sentences", run)


def test_nothing_differs_from_itself(pair: tuple[Any, Any, Any]) -> None:
    original, _, batches = pair
    for record in layer_records(original, deepcopy(original), batches):
        assert record["errors"] == dict.fromkeys(("scores", "values", "mlp", "output"), 0.0)


def test_scores_are_compared_as_softmax_sees_them(pair: tuple[Any, Any, Any]) -> None:
    """Queries 1.1 times as large without their bias: scores of real tokens, less their mean over real keys."""
    original, changed, batches = pair
    (tokens, types, real), block = batches[0], original.blocks[0]
    with torch.no_grad():
        x = original.embedding(tokens, types)
        read = block.attention_norm(x) if block.norm_first else x
        scores = []
        for each in (block, changed.blocks[0]):
            similarity = each.attention.similarity
            queries, keys = (split_heads(part(read), 2).double() for part in (similarity.w_q, similarity.w_k))
            scores.append(queries @ keys.mT)
    far = size = 0.0
    for at, row in enumerate(real):
        ours, theirs = (each[at][:, row][:, :, row] for each in scores)
        ours, theirs = (each - each.mean(-1, keepdim=True) for each in (ours, theirs))
        far += float((theirs - ours).square().sum())
        size += float(ours.square().sum())
    errors = layer_records(original, changed, batches)[0]["errors"]
    assert errors["scores"] == pytest.approx(far / size, rel=1e-5)  # products in float32 on both sides
    assert errors["scores"] > 1e-4


def test_errors_stand_where_something_differs_and_behind_it(pair: tuple[Any, Any, Any]) -> None:
    original, changed, batches = pair
    with torch.no_grad():
        changed.blocks[0].attention.similarity.w_q.weight /= 1.1
    *before, last = (record["errors"] for record in layer_records(original, changed, batches))
    for errors in before:
        assert errors == pytest.approx(dict.fromkeys(errors, 0.0), abs=1e-10)
    assert last["scores"] == pytest.approx(0, abs=1e-10)
    assert last["values"] == pytest.approx(0, abs=1e-10)
    assert last["mlp"] is not None and last["mlp"] > 0.01
    assert last["output"] is not None and last["output"] > 1e-8


def test_what_filling_says_counts_nowhere(pair: tuple[Any, Any, Any]) -> None:
    original, changed, batches = pair
    tokens, types, real = batches[0]
    other = torch.where(real, tokens, 1)
    wanted, found = (layer_records(original, changed, [(each, types, real)]) for each in (tokens, other))
    for one, two in zip(wanted, found, strict=True):
        assert one["errors"] == pytest.approx(two["errors"], rel=1e-5)


def test_what_is_absent_or_has_other_heads_is_not_compared(digits: Path, tmp_path: Path) -> None:
    import minform_cli
    from minform_cli.reducing.options import ReduceOptions
    from tests.reducing.test_reduce_command import measuring

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "ROUNDS", 3)
        (record,) = minform_cli.reduce(digits, tmp_path / "run", ReduceOptions(variant="minimal", threads=1))
    for layer in record["layers"]:
        assert layer["errors"]["scores"] is None  # one head in place of two
        assert layer["errors"]["mlp"] is None
        assert layer["errors"]["values"] is not None
