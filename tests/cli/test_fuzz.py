"""Malformed command lines by the hundred: each is understood, or refused in one line with exit code 2.

The soak tries many more.
"""

import random

import pytest

from minform_cli import api
from minform_cli.config.names import preset_names, variant_names
from minform_cli.config.schema import known_keys
from minform_cli.errors import InputError
from tests.cli.commands import Command
from tests.soak.scale import reached, seed, tries

TRIES = tries(300)
COMMANDS = ["count", "train", "eval", "compare", "runs", "schema", "variants", "presets", "datasets"]
OPTIONS = [
    "--preset", "--variant", "--set", "--seed", "--seeds", "--jobs", "--out", "--device", "--threads", "--format",
    "--plot", "--quiet", "-q", "--resume", "--dry-run", "--split", "--checkpoint", "--examples", "--outputs", "--help",
    "-h", "--version",
]  # fmt: skip
VALUES = [
    "digits", "debug", "mnits", "minimal", "no-mlp+symmetric", "symmetric+collapsed-qk", "simmetric", "json", "rich",
    "jsn", "model.dim=8", "model.heads=3", "train.epochs=1e3", "model.norm=[", "=", "model.dim", "data.name=mnist",
    "a.b=c", "data.name=image-folder", "data.path=/nowhere", "-1", "0", "1", "99999999999999999999", "1.5", "nan", "",
    " ", "é", "\x1b[31m", "\n", "\udcff", "/nowhere", "nowhere/x.yaml", "x.png", "x.bmp", "cpu", "gpu", "cuda:99",
    "val", "tset", "--", "-", "---", "-qq", "--preset=", "--preset=mnits", "--set=model.dim=8", "--quiet=1", "a" * 3000,
]  # fmt: skip
"""``--install-completion`` is missing on purpose: it would write to the shell's own files."""


def command_line(rng: random.Random) -> list[str]:
    """A command with a few options and values, most of them in place, some of them not."""
    words = [rng.choice([*COMMANDS, *COMMANDS, *VALUES])]
    for _ in range(rng.randint(0, 5)):
        words.append(rng.choice(OPTIONS))
        if rng.random() < 0.8:
            words.append(
                rng.choice([*VALUES, *preset_names(), *variant_names(), *(f"{key}=1" for key in known_keys())])
            )
    if rng.random() < 0.3:
        rng.shuffle(words)
    if rng.random() < 0.2:
        at = rng.randrange(len(words))
        word = words[at]
        words[at] = word[: len(word) // 2] + rng.choice("x-=\x07 ") + word[len(word) // 2 :]
    return words


@pytest.fixture
def _understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is understood is not done: training of whatever a random command line asks for could take for ever."""

    def stop(*args: object, **kwargs: object) -> None:
        raise InputError("understood")

    monkeypatch.setattr(api, "count", stop)
    monkeypatch.setattr("minform_cli.study.comparison.run_comparison", stop)
    monkeypatch.setattr("minform_cli.study.comparison.preview", stop)
    monkeypatch.setattr("minform_cli.training.run.train", stop)
    monkeypatch.setattr("minform_cli.training.run.dry_run", stop)


@pytest.mark.usefixtures("_understood")
def test_a_random_command_line_is_understood_or_refused_in_one_line(
    minform: Command, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # type: ignore[arg-type]
    rng, refused = random.Random(f"command lines {seed()}"), 0
    for _ in range(TRIES):
        words = command_line(rng)
        outcome = minform(*words)
        if outcome.code == 0 or "Usage:" in outcome.out:
            continue
        assert outcome.refusal, words
        refused += outcome.refusal != "understood"
    assert refused > TRIES / 3
    reached("R5", TRIES)
    assert not list(tmp_path.iterdir())  # type: ignore[attr-defined]
