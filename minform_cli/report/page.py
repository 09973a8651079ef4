"""A page of the templates: what users named stands in it escaped, and never as a control character.

A page is complete without script. Where scripts run, a small one of ours (`templates/page.js`) makes it something to
work with; the page's policy lets that one run, by its hash, and nothing else.
"""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from minform_cli.report.fit import printable


def page(template: str, **values: Any) -> str:
    """The template of that name, filled with `values`."""
    environment = Environment(
        loader=PackageLoader("minform_cli.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    script = _script()
    script_hash = f"sha256-{b64encode(sha256(script.encode()).digest()).decode()}"
    return environment.get_template(template).render(values, script=script, script_hash=script_hash)


@cache
def _script() -> Markup:
    """The script, which is ours alone: nothing of a study is in it."""
    return Markup((resources.files("minform_cli.report") / "templates" / "page.js").read_text("utf-8"))  # noqa: S704


def _shown(value: object) -> object:
    """What an expression of a template gives; pictures and macros are markup already."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
