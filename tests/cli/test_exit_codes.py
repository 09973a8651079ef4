"""Whatever happens inside a command becomes one line and the exit code that belongs to it."""

import signal

import pytest

from minform_cli import api
from minform_cli.errors import InputError, Interrupted, MachineError, NumericalError
from tests.cli.commands import Command


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("wrong"), 2, "wrong"),
        (NumericalError("not finite"), 3, "not finite"),
        (MachineError("disk full"), 4, "disk full"),
        (Interrupted(signal.SIGINT, "stopped"), 130, "stopped"),
        (Interrupted(signal.SIGTERM, "stopped"), 143, "stopped"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 4, "out of memory; a smaller train.batch_size or model needs less"),
        (OutOfMemoryError(), 4, "the device is out of memory; a smaller train.batch_size or model needs less"),
        (PermissionError(13, "Permission denied", "/some/file"), 4, "/some/file: Permission denied"),
        (OSError("odd"), 4, "input/output: odd"),
        (InputError("two\nlines \x1b[31m"), 2, "two\\nlines \\x1b[31m"),
    ],
)
def test_an_error_inside_a_command_is_one_line_and_its_code(
    error: BaseException, code: int, line: str, minform: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(api, "counted_configs", fail)
    outcome = minform("count")
    assert (outcome.code, outcome.out, outcome.err) == (code, "", f"minform: {line}\n")


def test_a_bug_of_ours_shows_its_traceback_and_exits_with_1(minform: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "counted_configs", lambda *_: 1 / 0)
    outcome = minform("count")
    assert outcome.code == 1
    assert "ZeroDivisionError" in outcome.err
    assert outcome.err.endswith("minform: this is a bug of minform, not of your input; please report the lines above\n")
