"""Made-up sentence pairs for tests: words from fixed lists, the same in every process."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

from minform_cli.config.schema import DataConfig, RunConfig, TrainConfig
from minform_cli.data.load import load_data
from minform_cli.data.pairs.pair_data import PairData, PairSplit
from minform_cli.data.text.ragged import Ragged
from minform_cli.data.text.tokenizer import from_json
from tests.data.text.prose import WORDS, written

LONGEST = 12
"""Words of the longest sentence."""


def sentences(num: int, seed: int = 0) -> list[str]:
    """`num` sentences of 1 to `LONGEST` words, no two of them equal."""
    chosen = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < num:
        found[" ".join(chosen.choices(WORDS, k=chosen.randint(1, LONGEST)))] = None
    return list(found)


def translated(source: list[str], seed: int = 1) -> list[str]:
    """A sentence for each: its words backwards in capitals, some of them left out."""
    chosen = random.Random(seed)
    found = []
    for sentence in source:
        words = sentence.upper().split()[::-1]
        found.append(" ".join(words[: chosen.randint((len(words) + 1) // 2, len(words))]))
    return found


def content(lines: list[str]) -> str:
    """A file of them."""
    return "".join(f"{line}\n" for line in lines)


def settings(folder: Path, num: int = 200, **more: object) -> DataConfig:
    """Files of `num` training pairs in `folder`, short sentences and a small vocabulary; `more` says otherwise."""
    source = sentences(num)
    fields: dict[str, object] = {
        "name": "parallel-text",
        "source": written(folder / "train.one", content(source)),
        "target": written(folder / "train.two", content(translated(source))),
        "tokenizer": "byte-bpe",
        "vocab_size": 400,
        "seq_len": 60,
    }
    return DataConfig.model_validate(fields | more)


def split(folder: Path, name: str, num: int, seed: int) -> dict[str, object]:
    """Files of `num` pairs to validate or to test on; `name` is ``val`` or ``test``."""
    source = sentences(num, seed)
    return {
        f"{name}_source": written(folder / f"{name}.one", content(source)),
        f"{name}_target": written(folder / f"{name}.two", content(translated(source, seed + 1))),
    }


def load(folder: Path, num: int = 200, **more: object) -> PairData:
    """The pairs of `settings`, loaded."""
    data = load_data(settings(folder, num, **more))
    assert isinstance(data, PairData)
    return data


def run_config(seed: int = 0, **train: object) -> RunConfig:
    """A config around the task; only what batches look at matters."""
    fields: dict[str, object] = {"batch_size": 16, "eval_batch_size": 10} | train
    return RunConfig(
        preset="none",
        task="translate",
        seed=seed,
        data=DataConfig(name="parallel-text"),
        train=TrainConfig.model_validate(fields),
    )


def texts(data: PairData, side: Ragged) -> list[str]:
    """The sentences again, from their tokens."""
    tokenizer = from_json(data.tokenizer, "").tokenizer
    return tokenizer.decode_batch([side.tokens[a:b].tolist() for a, b in pairwise(side.offsets)])


def pairs(data: PairData, part: PairSplit) -> list[tuple[str, str]]:
    return list(zip(texts(data, part.source), texts(data, part.target), strict=True))


def all_pairs(num: int, seed: int = 0) -> list[tuple[str, str]]:
    source = sentences(num, seed)
    return list(zip(source, translated(source, seed + 1), strict=True))


def equal(first: PairData, second: PairData) -> bool:
    return first.fingerprint == second.fingerprint and first.tokenizer == second.tokenizer
