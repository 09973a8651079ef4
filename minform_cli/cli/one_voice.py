"""What all processes of a launch would say alike is said by one of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

from minform_cli.errors import MinformError
from minform_cli.training.launch import Launch

GRACE_S = 1.0
"""torchrun ends all processes as soon as one has failed: the one that says why must have had the time to."""


@contextmanager
def silent(*kinds: type[MinformError]) -> Generator[None]:
    """Ends the process without a word at an error of these kinds: another process of the launch says it."""
    try:
        yield
    except kinds as error:
        time.sleep(GRACE_S)
        sys.exit(error.exit_code)


def said_elsewhere(launch: Launch | None) -> tuple[type[MinformError], ...]:
    """The errors that every process meets before it begins, if it is not the first on its machine."""
    return (MinformError,) if launch is not None and launch.local_rank > 0 else ()
