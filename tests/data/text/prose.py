"""Made-up text for tests: words from a fixed list, the same in every process."""

from __future__ import annotations

import random
from pathlib import Path

from minform_cli.config.schema import DataConfig, RunConfig, TrainConfig
from minform_cli.data.spec import DATA_SETS
from minform_cli.data.text.corpora import TextData

WORDS = [f"{a}{b}{c}" for a in ("ba", "ko", "ri", "tu", "me") for b in ("l", "ns", "rt", "") for c in ("o", "ing", "a")]


def prose(documents: int, seed: int = 0, lines: int = 3, words: int = 9) -> str:
    """Documents between blank lines, each of `lines` lines."""
    chosen = random.Random(seed)
    text = ["\n".join(" ".join(chosen.choices(WORDS, k=words)) for _ in range(lines)) for _ in range(documents)]
    return "\n\n".join(text) + "\n"


def written(path: Path, text: str | bytes) -> str:
    """Writes the file, and returns its path as a setting has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def silent(sentence: str) -> None:
    """A `tell` for nobody."""


def load(**settings: object) -> TextData:
    """The text data set, with short sequences and a small vocabulary unless `settings` say otherwise."""
    fields: dict[str, object] = {"name": "text", "seq_len": 12, "vocab_size": 120} | settings
    return DATA_SETS.get(str(fields["name"])).load(DataConfig.model_validate(fields), silent)


def run_config(task: str = "masked-tokens", seed: int = 0, batch_size: int = 16, **data: object) -> RunConfig:
    """A config around a task; only what batches look at matters."""
    section = DataConfig.model_validate({"name": "text", "seq_len": 12} | data)
    train = TrainConfig(batch_size=batch_size, eval_batch_size=10)
    return RunConfig(preset="none", task=task, seed=seed, data=section, train=train)
