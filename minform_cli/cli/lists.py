"""``minform variants``, ``presets``, ``studies``, ``datasets``: what there is, one line each with its source."""

from __future__ import annotations

from collections.abc import Iterable

from minform_cli.cli import options
from minform_cli.cli.console import chosen_format, show

Line = tuple[str, str, str]
"""A name, its meaning, its source."""


def variants(fmt: options.Format = None, as_json: options.Json = False) -> None:
    """List the shipped variants."""
    fmt = chosen_format(fmt, as_json=as_json)
    from minform_cli.config.names import BASELINE, variant_names
    from minform_cli.config.presets import read_variant

    abouts = [(name, read_variant(name).about) for name in variant_names() if name != BASELINE]
    baseline = (BASELINE, "the preset with no variant", "the preset's own")
    _show("variant", [baseline, *((name, about["summary"], about["source"]) for name, about in abouts)], fmt)


def presets(fmt: options.Format = None, as_json: options.Json = False) -> None:
    """List the shipped presets."""
    fmt = chosen_format(fmt, as_json=as_json)
    from minform_cli.config.names import preset_names
    from minform_cli.config.presets import read_preset

    abouts = [(name, read_preset(name).about) for name in preset_names()]
    _show("preset", [(name, about["summary"], about["source"]) for name, about in abouts], fmt)


def studies(fmt: options.Format = None, as_json: options.Json = False) -> None:
    """List the shipped studies, for compare --study."""
    fmt = chosen_format(fmt, as_json=as_json)
    from minform_cli.config.names import study_names
    from minform_cli.study.study_file import about_study

    _show("study", [(name, *about_study(name)) for name in study_names()], fmt)


def datasets(fmt: options.Format = None, as_json: options.Json = False) -> None:
    """List the data sets."""
    fmt = chosen_format(fmt, as_json=as_json)
    from minform_cli.data.spec import DATA_SETS

    modules = [(name, DATA_SETS.get(name)) for name in DATA_SETS.names()]
    _show("data set", [(name, module.SUMMARY, module.SOURCE) for name, module in modules], fmt)


def _show(what: str, lines: Iterable[Line], fmt: str) -> None:
    from minform_cli.report.list_table import Named, list_table

    entries = [Named(name=name, meaning=meaning, source=source) for name, meaning, source in lines]
    show(list_table(entries, what, fmt))
