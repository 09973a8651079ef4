"""``minform count``: what each reduction saves."""

from __future__ import annotations

from typing import Annotated

import typer

from minform_cli.cli import options
from minform_cli.cli.console import caption, chosen_format, show
from minform_cli.config.names import DEFAULT_PRESET


def count(
    preset: options.Preset = DEFAULT_PRESET,
    variant: options.Variants = None,
    setting: options.Set = None,
    examples: Annotated[int | None, typer.Option(min=1, help="K of Q = K M / P, over the data set's own.")] = None,
    outputs: Annotated[int | None, typer.Option(min=1, help="M of Q = K M / P, over the data set's own.")] = None,
    fmt: options.Format = None,
    quiet: options.Quiet = False,
) -> None:
    """Count parameters and multiply-accumulates of variants; trains nothing, allocates nothing.

    Without --variant: every shipped variant that is legal for the preset.
    """
    fmt = chosen_format(fmt)
    from minform_cli import api

    variants, settings = variant or [], setting or []
    configs, spec = api.counted_configs(preset, variants, settings)
    from minform_cli.report.count_table import count_caption, count_table

    records = api.count_configs(configs, spec, examples=examples, outputs=outputs)
    show(count_table(records, fmt))
    if not quiet:
        known = {"examples": examples or spec.num_train, "outputs": outputs or spec.num_classes}
        caption(count_caption(records, title=spec.title, **known), fmt)
