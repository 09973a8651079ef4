"""A study of Optuna, as its SQLite storage or its journal keeps it; optuna itself is not needed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minform_cli.errors import InputError, counted
from minform_cli.tables.records import Better, Cell, Row, Sheet
from minform_cli.tables.sqlite import is_sqlite, opened, tables_of
from minform_cli.tables.text_files import at_least_one, read_text

_BETTER: dict[str, Better] = {"MAXIMIZE": "higher", "MINIMIZE": "lower"}

_DIRECTIONS = {1: "MINIMIZE", 2: "MAXIMIZE"}
_STATES = {0: "RUNNING", 1: "COMPLETE", 2: "PRUNED", 3: "FAIL", 4: "WAITING"}
"""Numbers of the journal."""


@dataclass
class _Trial:
    number: int
    state: str = "RUNNING"
    values: list[float] = field(default_factory=list[float])
    cells: dict[str, Cell] = field(default_factory=dict[str, Cell])


def is_optuna(path: Path) -> bool:
    """Whether it is a storage of Optuna."""
    return is_sqlite(path) and tables_of(path) >= {"studies", "trials", "trial_values"}


def is_journal(path: Path) -> bool:
    """Whether it is a journal of Optuna."""
    try:
        with path.open("rb") as file:
            first: Any = json.loads(file.readline(10_000))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and "op_code" in first and "worker_id" in first


def read_optuna(path: Path) -> Sheet:
    """The complete trials of the one study in an SQLite storage, with parameters and what the user noted.

    Raises:
        InputError: it is damaged, holds several studies or none, or several objectives.
    """
    trials: dict[int, _Trial] = {}
    with opened(path) as connection:
        names = [str(name) for (name,) in connection.execute("SELECT study_name FROM studies")]
        directions = [str(direction) for (direction,) in connection.execute("SELECT direction FROM study_directions")]
        for trial, number, state in connection.execute("SELECT trial_id, number, state FROM trials"):
            trials[trial] = _Trial(int(number), str(state))
        for trial, value, kind in connection.execute("SELECT trial_id, value, value_type FROM trial_values"):
            trials[trial].values.append(float(value) if kind == "FINITE" else float("nan"))
        query = "SELECT trial_id, param_name, param_value, distribution_json FROM trial_params"
        for trial, name, value, distribution in connection.execute(query):
            trials[trial].cells[f"params_{name}"] = _chosen(value, distribution, path)
        for trial, name, value in connection.execute("SELECT trial_id, key, value_json FROM trial_user_attributes"):
            trials[trial].cells |= _noted(name, value, path)
    return _sheet(path, names, directions, list(trials.values()))


def read_journal(path: Path) -> Sheet:
    """As `read_optuna`, of a journal."""
    names: list[str] = []
    directions: list[str] = []
    trials: list[_Trial] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        try:
            entry: Any = json.loads(line)
            code = int(entry["op_code"])
            if code == 0:
                names.append(str(entry["study_name"]))
                directions += [_DIRECTIONS[one] for one in entry["directions"]]
            elif code == 4:
                trials.append(_Trial(len(trials), _STATES[entry.get("state", 0)], [*(entry.get("values") or [])]))
            elif code == 5:
                chosen = _chosen(entry["param_value_internal"], entry["distribution"], path)
                trials[entry["trial_id"]].cells[f"params_{entry['param_name']}"] = chosen
            elif code == 6:
                trial = trials[entry["trial_id"]]
                trial.state, trial.values = _STATES[entry["state"]], [*(entry.get("values") or [])]
            elif code == 8:
                for name, value in entry["user_attr"].items():
                    trials[entry["trial_id"]].cells |= _noted(name, json.dumps(value), path)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            raise InputError(f"{path}, line {number}: is no entry of an Optuna journal") from None
    return _sheet(path, names, directions, trials)


def _chosen(value: Any, distribution: str, path: Path) -> Cell:
    """A parameter's value: storages keep a choice as its number, and whole numbers as fractions."""
    try:
        told: Any = json.loads(distribution)
        choices: Any = told["attributes"].get("choices")
        if choices is not None:
            chosen: Any = choices[int(value)]
            return chosen if isinstance(chosen, str | int | float) else str(chosen)
        return int(value) if told["name"].startswith("Int") else float(value)
    except (ValueError, TypeError, KeyError, IndexError):
        raise InputError(f"{path} is damaged: the values of a parameter cannot be read") from None


def _noted(name: str, text: str, path: Path) -> dict[str, Cell]:
    try:
        value: Any = json.loads(text)
    except (ValueError, TypeError):
        raise InputError(f"{path} is damaged: the user's attribute {name!r} is no JSON") from None
    return {f"user_attrs_{name}": value} if isinstance(value, str | int | float) else {}


def _sheet(path: Path, names: list[str], directions: list[str], trials: list[_Trial]) -> Sheet:
    if len(names) != 1:
        raise InputError(f"{path}: holds {counted(len(names), 'study', 'studies')}; accepted: one")
    if len(directions) != 1:
        raise InputError(f"{path}: its study has {len(directions)} objectives; accepted: one")
    done = [trial for trial in trials if trial.state == "COMPLETE" and trial.values]
    states = Counter(trial.state.lower() for trial in trials if trial not in done)
    rows = [
        Row(f"{path}, trial {trial.number}", {"value": trial.values[0], **trial.cells})
        for trial in sorted(done, key=lambda trial: trial.number)
    ]
    columns = tuple(dict.fromkeys(key for row in rows for key in row.cells))
    return Sheet(
        shape=f"the study {names[0]!r} of Optuna",
        columns=columns,
        rows=at_least_one(rows, path),
        score="value",
        better=_BETTER.get(directions[0]),
        notes=tuple(f"{counted(num, 'trial')} left out: {state}" for state, num in states.items()),
    )
