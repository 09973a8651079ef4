"""How findings are gathered: a check that fails is a finding too."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from minform_cli.diagnosis.records import FindingRecord, State
from minform_cli.errors import MinformError

Check = Callable[[], Iterable[FindingRecord]]


def finding(
    section: str, name: str, value: str, state: State = "ok", number: float | None = None, unit: str | None = None
) -> FindingRecord:
    """A line of the section."""
    return {"section": section, "name": name, "value": value, "state": state, "number": number, "unit": unit}


def checked(section: str, name: str, check: Check, failed: State = "problem") -> list[FindingRecord]:
    """What `check` finds; if it fails, why, as the finding `name` in the state `failed`."""
    found: list[FindingRecord] = []
    try:
        found.extend(check())
    except Exception as error:  # whatever a broken machine comes up with is what is to be told
        found.append(finding(section, name, reason(error), failed))
    return found


def reason(error: Exception) -> str:
    """What went wrong, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    first = (str(error).splitlines() or [""])[0]
    return first if isinstance(error, MinformError) else f"{type(error).__name__}: {first}"
