"""``minform variants``, ``presets``, ``datasets``: what there is, one line each with its source."""

from __future__ import annotations

from minform_cli.cli import options
from minform_cli.cli.console import chosen_format, show
from minform_cli.report.list_table import Listed, list_table


def variants(fmt: options.Format = None) -> None:
    """List the shipped variants."""
    from minform_cli.config.presets import BASELINE, read_variant, variant_names

    entries = [Listed(name=BASELINE, meaning="the preset with no variant", source="the preset's own")]
    entries += [_listed(name, read_variant(name).about) for name in variant_names() if name != BASELINE]
    show(list_table(entries, "variant", chosen_format(fmt)))


def presets(fmt: options.Format = None) -> None:
    """List the shipped presets."""
    from minform_cli.config.presets import preset_names, read_preset

    entries = [_listed(name, read_preset(name).about) for name in preset_names()]
    show(list_table(entries, "preset", chosen_format(fmt)))


def datasets(fmt: options.Format = None) -> None:
    """List the data sets."""
    from minform_cli.data.spec import DATA_SETS

    modules = [(name, DATA_SETS.get(name)) for name in DATA_SETS.names()]
    entries = [Listed(name=name, meaning=module.SUMMARY, source=module.SOURCE) for name, module in modules]
    show(list_table(entries, "data set", chosen_format(fmt)))


def _listed(name: str, about: dict[str, str]) -> Listed:
    return Listed(name=name, meaning=about.get("summary", ""), source=about.get("source", ""))
