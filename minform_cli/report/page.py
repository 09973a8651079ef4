"""A page of the templates: what users named stands in it escaped, and never as a control character."""

from __future__ import annotations

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
    return environment.get_template(template).render(values)


def _shown(value: object) -> object:
    """What an expression of a template gives; pictures and macros are markup already."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
