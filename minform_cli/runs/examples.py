"""What a run got right, example by example: ``examples.json`` in its folder.

A bit an example where an answer is right or wrong, packed; a number each where there are more than two ways to be. The
file says which weights and which data it is of, so that two runs are only ever paired over the same examples.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from minform_cli.errors import InputError
from minform_cli.files import RunFolder, write_json
from minform_cli.runs.records import ResultRecord
from minform_cli.runs.seal import read_sealed, sealed

KIND = "examples"

ScoreName = Literal["right", "share of tokens right", "squared error", "chrF2"]

BITS: ScoreName = "right"
"""The score that is a bit."""

LOWER_IS_BETTER: tuple[ScoreName, ...] = ("squared error",)

Split = Literal["val", "test"]


@dataclass(frozen=True, eq=False)
class ExampleScores:
    """The scores of one split, (n,) in its order; `name` says what they are, larger is better but of errors."""

    name: ScoreName
    values: NDArray[np.float32]


@dataclass(frozen=True)
class RunExamples:
    """What a run says of its examples: those of the data with this fingerprint, by split."""

    fingerprint: str
    splits: Mapping[Split, ExampleScores]


def write_examples(
    folder: RunFolder, weights_sha256: str, fingerprint: str, splits: Mapping[Split, ExampleScores]
) -> None:
    """Writes ``examples.json``; nothing where no split has scores.

    Raises:
        MachineError: it cannot be written.
    """
    if splits:
        content = {"weights_sha256": weights_sha256, "fingerprint": fingerprint}
        packed = {split: _packed(scores) for split, scores in splits.items()}
        write_json(folder.examples, sealed(KIND, {**content, "splits": packed}))


def read_examples(folder: RunFolder, result: ResultRecord) -> RunExamples | None:
    """What ``examples.json`` in the folder of the run with this `result` says; None where there is none.

    Runs of earlier versions have none, nor have those that were made of others or that follow one without labels.

    Raises:
        InputError: it is damaged, or of other weights or data than the result.
    """
    path = folder.examples
    if not path.is_file():
        return None
    content = read_sealed(path, KIND)
    own = (content.get("weights_sha256"), content.get("fingerprint"))
    if own != (result["weights_sha256"], result["data"]["fingerprint"]):
        raise InputError(f"{KIND} {path}: is of other weights or data than {folder.result.name} beside it")
    try:
        splits = {split: _unpacked(packed) for split, packed in content["splits"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise InputError(f"{KIND} {path} is damaged: {error!r}") from None
    return RunExamples(content["fingerprint"], cast("Mapping[Split, ExampleScores]", splits))


def _packed(scores: ExampleScores) -> dict[str, Any]:
    values = scores.values
    raw = np.packbits(values.astype(bool)).tobytes() if scores.name == BITS else values.astype("<f4").tobytes()
    return {"score": scores.name, "number": len(values), "values": base64.b64encode(raw).decode("ascii")}


def _unpacked(packed: Mapping[str, Any]) -> ExampleScores:
    raw, number = base64.b64decode(packed["values"], validate=True), int(packed["number"])
    name = cast(ScoreName, packed["score"])
    if name == BITS:
        if len(raw) != -(-number // 8):
            raise ValueError(f"{len(raw)} bytes for {number} bits")
        return ExampleScores(name, np.unpackbits(np.frombuffer(raw, np.uint8), count=number).astype(np.float32))
    values = np.frombuffer(raw, "<f4").astype(np.float32)
    if len(values) != number or not np.isfinite(values).all():
        raise ValueError(f"{len(values)} values for {number} examples")
    return ExampleScores(name, values)
