"""What the trials of a search came to: their records, what mattered, and the winner as a variant of its own."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minform_cli import __version__
from minform_cli.config.names import BASELINE
from minform_cli.config.strict_yaml import dump_value, dump_yaml
from minform_cli.files import write_atomic
from minform_cli.report.records import SearchRecord, TrialRecord
from minform_cli.searching.asking import Asked, Trials
from minform_cli.searching.halving import Standing, fronts, rungs
from minform_cli.searching.trial import read_trial

if TYPE_CHECKING:
    from minform_cli.searching.run import Search

WINNER = "winner.yaml"
"""The winner's variant, in the search's folder."""

PROOF_SEEDS = 5

Came = Mapping[int, "dict[str, Any] | None"]
"""Trial -> what its folder says it came to; None while it is under way."""


def search_record(search: Search, trials: Trials) -> SearchRecord:
    """What all trials in the folder came to, those of other commands, too."""
    space, options = search.space, search.options
    asked = trials.all()
    came: Came = {each.number: read_trial(search.folder(each.number)) for each in asked}
    found = _records(search, asked, came)
    ended = [each for each in came.values() if each is not None]
    firsts = {number: each["first_score"] for number, each in came.items() if each is not None}
    scores = {number: score for number, score in firsts.items() if score is not None}
    best = max((each for each in found if each["state"] == "trained"), key=_merit, default=None)
    file = search.out / WINNER
    return {
        "preset": options.preset,
        "metric": ended[0]["metric"] if ended else "accuracy",
        "title": search.source.spec.title,
        "budget": options.budget,
        "limit": space.limit,
        "baseline_parameters": space.baseline_parameters,
        "choices": {key: [setting.value for setting in values.values()] for key, values in space.choices.items()},
        "baseline": {key: space.of_baseline(key) for key in space.choices},
        "combinations": len(space),
        "seed": options.seed,
        "trials": found,
        "importance": trials.importance(scores),
        "importance_epochs": min(rungs(ended[0]["of"]), default=None) if ended else None,
        "winner": None if best is None else best["trial"],
        "winner_file": None if best is None else str(file),
        "proof": None if best is None else _proof(search, best["chosen"], file),
        "command": _command(search),
        "minform": __version__,
    }


def write_winner(record: SearchRecord) -> None:
    """Writes the winner as a variant's YAML file, if there is one.

    Raises:
        MachineError: it cannot be written.
    """
    if record["winner"] is None or record["winner_file"] is None:
        return
    won = next(trial for trial in record["trials"] if trial["trial"] == record["winner"])
    model = {key.removeprefix("model."): value for key, value in won["chosen"].items() if key.startswith("model.")}
    about = {
        "summary": f"the best of {len(record['trials'])} trials under {record['limit']:,} parameters",
        "source": f"minform search, preset {Path(record['preset']).name}, trial {won['trial']}",
    }
    write_atomic(Path(record["winner_file"]), dump_yaml({**about, "model": model}).encode())


def _records(search: Search, asked: Sequence[Asked], came: Came) -> list[TrialRecord]:
    records = [_record(search, each, came[each.number]) for each in asked]
    trained = [record for record in records if record["state"] == "trained"]
    standings = [Standing(record["score"] or 0.0, record["parameters"]) for record in trained]
    for record, front in zip(trained, fronts(standings), strict=True):
        record["front"] = front == 0
    return records


def _record(search: Search, asked: Asked, came: Mapping[str, Any] | None) -> TrialRecord:
    size = search.space.parameters(asked.point)
    assert size is not None, "a trial that is no model"
    return {
        "trial": asked.number,
        "state": "under way" if came is None else came["state"],
        "parameters": size,
        "share": size / search.space.baseline_parameters,
        "score": None if came is None else came["score"],
        "epochs": 0 if came is None else came["epochs"],
        "of": None if came is None else came["of"],
        "front": False,
        "chosen": {key: search.space.choices[key][label].value for key, label in asked.point.items()},
        "folder": str(search.folder(asked.number)),
    }


def _merit(trial: TrialRecord) -> tuple[float, int]:
    """The higher score; of equal ones the fewer parameters."""
    assert trial["score"] is not None
    return trial["score"], -trial["parameters"]


def _proof(search: Search, chosen: Mapping[str, Any], file: Path) -> str:
    """The command that compares the winner with the baseline, on seeds that the search has not seen."""
    words = ["minform", "compare", "--preset", search.options.preset]
    for key, setting in search.settings.items():
        words += ["--set", f"{key}={dump_value(setting.value)}"]
    for key, value in chosen.items():
        if not key.startswith("model."):  # which a variant does not hold: the baseline has it, too
            words += ["--set", f"{key}={dump_value(value)}"]
    words += ["--variant", BASELINE, "--variant", str(file)]
    seed = search.options.seed
    if seed < PROOF_SEEDS:
        fresh = [number for number in range(PROOF_SEEDS + 1) if number != seed]
        words += [word for number in fresh for word in ("--seed", str(number))]
    else:
        words += ["--seeds", str(PROOF_SEEDS)]
    return shlex.join([*words, "--margin", "0.5"])


def _command(search: Search) -> str:
    """The command that goes on with the search, or does it again."""
    options = search.options
    words = ["minform", "search", "--preset", options.preset, "--budget", options.budget]
    for option, texts in (("--axis", options.axes), ("--size", options.sizes), ("--set", options.settings)):
        words += [word for text in texts for word in (option, text)]
    words += ["--seed", str(options.seed)] if options.seed != type(options).seed else []
    return shlex.join([*words, "--trials", str(options.trials), "--out", str(search.out)])
