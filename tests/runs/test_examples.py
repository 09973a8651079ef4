"""`examples.json`: what was written comes back, and nothing else is taken for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from minform_cli.errors import InputError
from minform_cli.files import RunFolder
from minform_cli.runs.examples import ExampleScores, ScoreName, read_examples, write_examples
from tests.report.records import result_record

RESULT = result_record("baseline")


def written(folder: Path, name: ScoreName = "right", number: int = 13) -> tuple[RunFolder, ExampleScores]:
    random = np.random.default_rng(number)
    values = random.random(number).astype(np.float32)
    scores = ExampleScores(name, (values < 0.8).astype(np.float32) if name == "right" else values)
    files = RunFolder(folder)
    write_examples(files, RESULT["weights_sha256"], RESULT["data"]["fingerprint"], {"val": scores})
    return files, scores


@pytest.mark.parametrize("name", ["right", "share of tokens right", "squared error", "chrF2"])
@pytest.mark.parametrize("number", [1, 8, 13])
def test_scores_come_back(tmp_path: Path, name: ScoreName, number: int) -> None:
    files, scores = written(tmp_path, name, number)
    found = read_examples(files, RESULT)
    assert found is not None and found.splits.keys() == {"val"}
    assert found.splits["val"].name == name
    assert found.splits["val"].values.tolist() == scores.values.tolist()


def test_a_bit_an_example(tmp_path: Path) -> None:
    files, _ = written(tmp_path, number=80_000)
    assert files.examples.stat().st_size < 80_000 / 8 * 4 / 3 + 500


def test_a_run_without_them_says_nothing(tmp_path: Path) -> None:
    assert read_examples(RunFolder(tmp_path), RESULT) is None
    write_examples(RunFolder(tmp_path), "0", "0", {})
    assert not RunFolder(tmp_path).examples.exists()


def test_no_damaged_digit_is_read(tmp_path: Path) -> None:
    files, _ = written(tmp_path)
    good = files.examples.read_bytes()
    for place in range(0, len(good), 7):
        files.examples.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(InputError, match="examples"):
            read_examples(files, RESULT)


def test_those_of_other_weights_are_not_taken(tmp_path: Path) -> None:
    files, _ = written(tmp_path)
    other = {**RESULT, "weights_sha256": "1" * 64}
    with pytest.raises(InputError, match="other weights or data"):
        read_examples(files, other)  # type: ignore[arg-type]


def test_lengths_must_fit(tmp_path: Path) -> None:
    files, _ = written(tmp_path)
    content = json.loads(files.examples.read_text())
    from minform_cli.runs.seal import sealed

    del content["sha256"]
    for number in (99, -1):
        content["splits"]["val"]["number"] = number
        body = {key: value for key, value in content.items() if key not in ("kind", "format")}
        files.examples.write_text(json.dumps(sealed("examples", body)))
        with pytest.raises(InputError, match="damaged"):
            read_examples(files, RESULT)
