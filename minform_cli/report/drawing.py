"""Drawing to files and pages with matplotlib, whatever the user's environment says of windows, styles or fonts.

A picture that fails costs the picture: in a report it is left out and the page says why; `compare --plot` says it in a
line and ends as the study did; `count --plot` and `eval --plot` print their table, then end with the error, since the
picture was asked for by name and nothing that took long is lost.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager

from minform_cli.errors import InputError, MachineError, MinformError

_SETTINGS = {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
"""In place of the user's, where matplotlib cannot be imported with those."""


def check_matplotlib(what: str) -> None:
    """Raises `InputError` if matplotlib is not installed; `what` names what needs it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError(f"{what} needs matplotlib, which is not installed; try: pip install 'minform[plot]'")


@contextmanager
def drawing(what: str) -> Generator[None]:
    """Inside, matplotlib has its own defaults and says nothing; `what` is drawn or an error of ours is raised.

    Raises:
        InputError: matplotlib is not installed.
        MachineError: whatever else went wrong, in one line.
    """
    check_matplotlib(what)
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _import_matplotlib()
            import matplotlib

            with matplotlib.rc_context():
                matplotlib.rcdefaults()  # a user's style must not change, or break, what equal results look like
                yield
    except MinformError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise MachineError(f"{what} cannot be drawn: {reason}") from error
    finally:
        logger.setLevel(level)


def _import_matplotlib() -> None:
    """Imports matplotlib: with the user's settings, which a notebook goes on with, or else without them."""
    try:
        importlib.import_module("matplotlib")
    except Exception:
        for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            del sys.modules[name]  # what was imported before it failed
        before = {name: os.environ.get(name) for name in _SETTINGS}
        os.environ.update(_SETTINGS)
        try:
            importlib.import_module("matplotlib")
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
