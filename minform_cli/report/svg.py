"""Pictures inside a page: a matplotlib figure as SVG that takes the page's colours and needs nothing from outside."""

from __future__ import annotations

import io
import re
from html import escape
from typing import TYPE_CHECKING

from minform_cli.report.marks import marks_of
from minform_cli.report.plots import GRID

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAGE_COLOURS = {
    "#000000": "currentColor",
    "#444444": "currentColor",
    GRID.lower(): "var(--line)",
    "#ffffff": "var(--paper)",
}
"""What the page decides, so that one picture can be read on light and on dark paper."""


def inline_svg(figure: Figure, name: str, alt: str) -> str:
    """The figure as an ``<svg>`` element with text that stays text, and with what its marks say.

    Args:
        figure: drawn in black on white where it is to follow the page.
        name: sets the picture's identifiers apart from those of others on the page; letters and digits.
        alt: what is to be seen, for those who do not see it.
    """
    import matplotlib

    figure.patch.set_visible(False)
    data = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(data, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = data.getvalue().decode()
    text = text[text.index("<svg") :]
    text = re.sub(r' xmlns(:xlink)?="[^"]*"| version="[^"]*"', "", text, count=3)
    text = text.replace("xlink:href=", "href=")
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for drawn, shown in _PAGE_COLOURS.items():
        text = text.replace(drawn, shown)
    for gid, mark in marks_of(figure).items():
        text = text.replace(f'<g id="{name}-{gid}">', mark.opening(name), 1)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', 1)
